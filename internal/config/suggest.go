package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/upkeephub/upkeep/core/spelling"
)

func fieldKey(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// keysOf lists the keys of a struct in its order.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = fieldKey(t.Field(i))
	}
	return keys
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// allKeys lists every key of a configuration with its sections.
func allKeys(path string, t reflect.Type) []string {
	var all []string
	switch t {
	case reflect.TypeFor[Strategy]():
		all = allKeys(path, reflect.TypeFor[Graded]())
	case reflect.TypeFor[Thresholds]():
		for _, key := range sortedKeys(thresholdRules) {
			all = append(all, join(path, key))
		}
	default:
		if t.Kind() != reflect.Struct {
			break
		}
		for i := range t.NumField() {
			key := join(path, fieldKey(t.Field(i)))
			all = append(append(all, key), allKeys(key, t.Field(i).Type)...)
		}
	}
	return all
}

// suggestion says what the author of an unknown key may have meant: a key of the
// same section that is spelt alike, else the same key of another section, else
// the keys that there are.
func suggestion(section, key string, known []string) string {
	if near := spelling.Nearest(strings.ToLower(key), known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	for _, k := range allKeys("", reflect.TypeFor[Config]()) {
		if strings.HasSuffix(k, "."+key) {
			return fmt.Sprintf("did you mean %q?", k)
		}
	}
	if section == "" {
		return "the sections are " + strings.Join(known, ", ")
	}
	return fmt.Sprintf("the keys of %s are %s", section, strings.Join(known, ", "))
}
