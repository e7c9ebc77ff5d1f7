package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
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
	if near := nearest(strings.ToLower(key), known); near != "" {
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

// nearest is the one among known that is spelt most like word, or empty when none
// is spelt alike.
func nearest(word string, known []string) string {
	near, least := "", 1+max(1, min(len(word)/3, 8))
	for _, k := range known {
		if d := distance(word, k, least); d < least {
			near, least = k, d
		}
	}
	return near
}

// distance counts the letters to insert, drop, replace or swap with their
// neighbour to make a into b; it gives up with limit when they are further apart.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row := rows[(i+2)%3], rows[i%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return min(limit, rows[(len(a)+1)%3][len(b)])
}
