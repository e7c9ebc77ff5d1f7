package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/invopop/jsonschema"
)

// schemaOf generates the JSON Schema of a configuration: one tree without
// references, so that the host finds properties by walking, with the defaults in it.
func schemaOf(t reflect.Type, defaults any) (schema *jsonschema.Schema, text string, err error) {
	defer func() {
		if p := recover(); p != nil { // the reflector panics on types JSON has no word for
			err = fmt.Errorf("no JSON Schema can be made of %s: %v", t, p)
		}
	}()
	reflector := jsonschema.Reflector{
		Anonymous:                  true,
		DoNotReference:             true,
		RequiredFromJSONSchemaTags: true,
		Mapper:                     numberBounds,
	}
	schema = reflector.ReflectFromType(t)
	schema.Definitions = nil
	var values any
	if err := copyJSON(defaults, &values); err != nil {
		return nil, "", fmt.Errorf("the defaults of %s are no JSON: %w", t, err)
	}
	fillDefaults(schema, values)
	encoded, err := json.Marshal(schema)
	if err != nil {
		return nil, "", fmt.Errorf("encode the JSON Schema of %s: %w", t, err)
	}
	return schema, string(encoded), nil
}

// numberBounds gives integers the range of their Go type, and refuses what
// would be nanoseconds.
func numberBounds(t reflect.Type) *jsonschema.Schema {
	if t == reflect.TypeFor[time.Duration]() {
		panic(errors.New("time.Duration would be nanoseconds: use sdk.Seconds"))
	}
	if t.Implements(reflect.TypeFor[json.Marshaler]()) {
		return nil
	}
	bounded := &jsonschema.Schema{Type: "integer"}
	switch t.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32:
		bounded.Minimum = json.Number(strconv.FormatInt(-1<<(t.Bits()-1), 10))
		bounded.Maximum = json.Number(strconv.FormatInt(1<<(t.Bits()-1)-1, 10))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		bounded.Minimum = "0"
		bounded.Maximum = json.Number(strconv.FormatUint(1<<t.Bits()-1, 10))
	case reflect.Uint, reflect.Uint64:
		bounded.Minimum = "0"
	default:
		return nil
	}
	return bounded
}

// fillDefaults writes the default of each leaf into the schema.
func fillDefaults(s *jsonschema.Schema, value any) {
	object, ok := value.(map[string]any)
	if !ok || s.Properties == nil {
		if value != nil && s != jsonschema.TrueSchema && s != jsonschema.FalseSchema {
			s.Default = value
		}
		return
	}
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		if v, ok := object[pair.Key]; ok {
			fillDefaults(pair.Value, v)
		}
	}
}

// checkSchema reports everything in value that the schema does not allow. It
// knows the keywords that the struct tags can produce.
func checkSchema(s *jsonschema.Schema, value any, path string) []Diagnostic {
	if s == nil || s == jsonschema.TrueSchema {
		return nil
	}
	if alternatives := slices.Concat(s.OneOf, s.AnyOf); len(alternatives) > 0 {
		return checkAlternatives(alternatives, value, path)
	}
	wrong := func(summary, format string, args ...any) []Diagnostic {
		return []Diagnostic{{Path: path, Summary: summary, Detail: fmt.Sprintf(format, args...)}}
	}
	if value == nil && s.Type != "" && s.Type != "null" {
		return wrong("is null", "want %s, or leave the key out for its default", article(s.Type))
	}
	if got := jsonType(value); s.Type != "" && got != s.Type && !(s.Type == "number" && got == "integer") {
		return wrong("is "+described(value, got), "want %s", article(s.Type))
	}
	var found []Diagnostic
	switch v := value.(type) {
	case map[string]any:
		found = checkObject(s, v, path)
	case []any:
		found = checkArray(s, v, path)
	case string:
		found = checkText(s, v, path)
	case float64:
		found = checkNumber(s, v, path)
	}
	if len(s.Enum) > 0 && !slices.ContainsFunc(s.Enum, func(e any) bool { return fmt.Sprint(e) == fmt.Sprint(value) }) {
		words := make([]string, len(s.Enum))
		for i, e := range s.Enum {
			words[i] = fmt.Sprint(e)
		}
		found = append(found, wrong(fmt.Sprintf("is %v", quoted(value)), "want one of %s", strings.Join(words, ", "))...)
	}
	return found
}

func checkAlternatives(alternatives []*jsonschema.Schema, value any, path string) []Diagnostic {
	var first []Diagnostic
	for i, alternative := range alternatives {
		found := checkSchema(alternative, value, path)
		if len(found) == 0 {
			return nil
		}
		if i == 0 {
			first = found
		}
	}
	return first
}

func checkObject(s *jsonschema.Schema, object map[string]any, path string) []Diagnostic {
	var found []Diagnostic
	var known []string
	if s.Properties != nil {
		for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
			known = append(known, pair.Key)
		}
	}
	for _, key := range sortedKeys(object) {
		at := joinPath(path, key)
		if slices.Contains(known, key) {
			property, _ := s.Properties.Get(key)
			found = append(found, checkSchema(property, object[key], at)...)
			continue
		}
		if matched := patternProperty(s, key); matched != nil {
			found = append(found, checkSchema(matched, object[key], at)...)
			continue
		}
		if s.AdditionalProperties == jsonschema.FalseSchema {
			detail := "remove the key"
			if len(known) > 0 {
				detail = "known keys are " + strings.Join(known, ", ")
			}
			if meant := nearest(key, known); meant != "" {
				detail = fmt.Sprintf("did you mean %s?", meant)
			}
			found = append(found, Diagnostic{Path: at, Summary: "is not known", Detail: detail})
			continue
		}
		found = append(found, checkSchema(s.AdditionalProperties, object[key], at)...)
	}
	for _, key := range s.Required {
		if _, ok := object[key]; !ok {
			found = append(found, Diagnostic{Path: joinPath(path, key), Summary: "is missing", Detail: "this key is required"})
		}
	}
	return found
}

func patternProperty(s *jsonschema.Schema, key string) *jsonschema.Schema {
	for _, pattern := range slices.Sorted(maps.Keys(s.PatternProperties)) {
		if expression, err := regexp.Compile(pattern); err == nil && expression.MatchString(key) {
			return s.PatternProperties[pattern]
		}
	}
	return nil
}

func checkArray(s *jsonschema.Schema, items []any, path string) []Diagnostic {
	var found []Diagnostic
	wrong := func(format string, args ...any) {
		found = append(found, Diagnostic{Path: path, Summary: fmt.Sprintf("has %d entries", len(items)), Detail: fmt.Sprintf(format, args...)})
	}
	if s.MinItems != nil && uint64(len(items)) < *s.MinItems {
		wrong("want at least %d", *s.MinItems)
	}
	if s.MaxItems != nil && uint64(len(items)) > *s.MaxItems {
		wrong("want at most %d", *s.MaxItems)
	}
	for i, item := range items {
		at := joinPath(path, strconv.Itoa(i))
		found = append(found, checkSchema(s.Items, item, at)...)
		if s.UniqueItems && slices.ContainsFunc(items[:i], func(earlier any) bool { return reflect.DeepEqual(earlier, item) }) {
			found = append(found, Diagnostic{Path: at, Summary: "is there twice", Detail: "want each entry once"})
		}
	}
	return found
}

func checkText(s *jsonschema.Schema, text, path string) []Diagnostic {
	var found []Diagnostic
	wrong := func(format string, args ...any) {
		found = append(found, Diagnostic{Path: path, Summary: "is " + quoted(text), Detail: fmt.Sprintf(format, args...)})
	}
	length := uint64(utf8.RuneCountInString(text))
	if s.MinLength != nil && length < *s.MinLength {
		wrong("want at least %d characters", *s.MinLength)
	}
	if s.MaxLength != nil && length > *s.MaxLength {
		wrong("want at most %d characters", *s.MaxLength)
	}
	if s.Pattern != "" {
		if expression, err := regexp.Compile(s.Pattern); err == nil && !expression.MatchString(text) {
			wrong("want text that matches %s", s.Pattern)
		}
	}
	return found
}

func checkNumber(s *jsonschema.Schema, n float64, path string) []Diagnostic {
	var found []Diagnostic
	limit := func(bound json.Number, broken func(bound float64) bool, want string) {
		if b, err := bound.Float64(); err == nil && broken(b) {
			found = append(found, Diagnostic{Path: path, Summary: "is " + quoted(n), Detail: "want " + want + " " + bound.String()})
		}
	}
	limit(s.Minimum, func(b float64) bool { return n < b }, "at least")
	limit(s.Maximum, func(b float64) bool { return n > b }, "at most")
	limit(s.ExclusiveMinimum, func(b float64) bool { return n <= b }, "more than")
	limit(s.ExclusiveMaximum, func(b float64) bool { return n >= b }, "less than")
	limit(s.MultipleOf, func(b float64) bool { return b > 0 && math.Mod(n, b) != 0 }, "a multiple of")
	return found
}

// jsonType names the JSON type of a decoded value; a number without a fraction
// is an integer.
func jsonType(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<63 {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return fmt.Sprintf("%T", value)
}

func article(word string) string {
	switch word {
	case "integer", "array", "object":
		return "an " + word
	case "null":
		return word
	}
	return "a " + word
}

// described names a value of the wrong type: what it is, and if it is short, which.
func described(value any, kind string) string {
	switch value.(type) {
	case string, bool:
		return "the " + kind + " " + quoted(value)
	case float64:
		return quoted(value)
	}
	return article(kind)
}

// quoted shows a value; a long text is cut.
func quoted(value any) string {
	const most = 60
	switch v := value.(type) {
	case string:
		if utf8.RuneCountInString(v) > most {
			v = string([]rune(v)[:most]) + "…"
		}
		return strconv.Quote(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(value)
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
