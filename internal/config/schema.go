package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// SchemaID is where the schema of the newest release is published.
const SchemaID = "https://raw.githubusercontent.com/upkeephub/upkeep/main/docs/configuration.schema.json"

// Schema is a JSON Schema (draft 2020-12) of a configuration file, made of the
// types. It says what one key can say by itself: that a key is given twice, or
// that two keys contradict each other, only Load sees.
func Schema() ([]byte, error) {
	schema := annotated(reflected(Config{}), "", configType, reflect.ValueOf(Default()), false)
	schema.ID, schema.Title = SchemaID, "Upkeep configuration"
	schema.Properties.Set(schemaKey, &jsonschema.Schema{Type: "string", Description: "Address of this schema, for editors."})
	for _, key := range sortedKeys(ignoredKeys) {
		ignore(schema, strings.Split(key, "."), ignoredKeys[key])
	}
	data, err := json.MarshalIndent(schema, "", "  ")
	return append(data, '\n'), err
}

// reflected is the schema of a struct as its types tell it: no key is required
// and none is unknown.
func reflected(v any) *jsonschema.Schema {
	r := jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, ExpandedStruct: true, RequiredFromJSONSchemaTags: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			if t == secondsType {
				return &jsonschema.Schema{Type: "number"}
			}
			return nil
		},
	}
	return r.Reflect(v)
}

// annotated adds to the schema of a struct what the tags and descriptions say.
// live says that a reload changes what is in it.
func annotated(schema *jsonschema.Schema, path string, t reflect.Type, defaults reflect.Value, live bool) *jsonschema.Schema {
	for i := range t.NumField() {
		f := t.Field(i)
		key, live := join(path, fieldKey(f)), live || f.Tag.Get("live") != ""
		when := " Taken up at the next start."
		if live {
			when = " Taken up at a reload too."
		}
		property, _ := schema.Properties.Get(fieldKey(f))
		value := defaults.Field(i)
		switch f.Type {
		case limitsType:
			property = section()
			for _, name := range sortedKeys(thresholdRules) {
				limit := ranged(&jsonschema.Schema{Type: "number"}, thresholdRules[name])
				limit.Description = describe(join(key, name)) + when
				property.Properties.Set(name, limit)
			}
		case strategyType:
			graded := annotated(reflected(Graded{}), key, gradedType, reflect.ValueOf(defaultGraded()), live)
			graded.Version = ""
			property = &jsonschema.Schema{Default: GradedName, OneOf: []*jsonschema.Schema{{Type: "string", Pattern: pluginName.String()}, graded}}
		case pluginsType:
			plugin := annotated(property.AdditionalProperties, join(key, "NAME"), pluginType, reflect.ValueOf(Plugin{Enabled: true, Required: true}), live)
			property = section()
			property.PatternProperties = map[string]*jsonschema.Schema{pluginName.String(): plugin}
		default:
			if f.Type.Kind() == reflect.Struct {
				property, when = annotated(property, key, f.Type, value, live), ""
				break
			}
			property = ruled(property, f.Tag.Get("want"))
			property.Default = defaultOf(value)
		}
		property.Description = describe(key)
		if property.Description != "" && f.Type != limitsType && f.Type != pluginsType {
			property.Description += when
		}
		schema.Properties.Set(fieldKey(f), property)
	}
	return schema
}

func section() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
}

func defaultOf(v reflect.Value) any {
	switch value := v.Interface().(type) {
	case map[string]any:
		return nil
	case Secret:
		return nil
	case []string:
		if value == nil {
			return nil
		}
		return value
	case Seconds:
		return value.Duration().Seconds()
	default:
		return value
	}
}

// ruled adds what the tag want says.
func ruled(schema *jsonschema.Schema, rule string) *jsonschema.Schema {
	if schema.Items != nil {
		schema.Items, schema.MaxItems, schema.UniqueItems = ruled(schema.Items, rule), new(uint64(maxList)), true
		return schema
	}
	named, isNamed := textRules[rule]
	switch {
	case rule == "":
	case secretRules[rule].pattern != nil:
		schema.Type, schema.Pattern, schema.WriteOnly = "string", secretRules[rule].pattern.String(), true
	case isNamed:
		schema.Pattern = named.pattern
		if named.never != "" {
			schema.Not = &jsonschema.Schema{Pattern: named.never}
		}
	case strings.Contains(rule, ".."):
		return ranged(schema, rule)
	default:
		for word := range strings.SplitSeq(rule, "|") {
			schema.Enum = append(schema.Enum, word)
		}
	}
	return schema
}

func ranged(schema *jsonschema.Schema, rule string) *jsonschema.Schema {
	least, most, _ := strings.Cut(rule, "..")
	schema.Minimum, schema.Maximum = json.Number(least), json.Number(most)
	return schema
}

// ignore adds a key that is accepted without effect.
func ignore(schema *jsonschema.Schema, path []string, key ignoredKey) {
	for _, name := range path[:len(path)-1] {
		below, found := schema.Properties.Get(name)
		if !found {
			below = section()
			below.Deprecated, below.Description = true, "Accepted for compatibility, has no effect."
			schema.Properties.Set(name, below)
		}
		schema = below
	}
	leaf := &jsonschema.Schema{
		Type: "boolean", Deprecated: true, Description: fmt.Sprintf("Accepted for compatibility, has no effect: %s.", key.why),
	}
	if key.number {
		leaf.Type = "number"
	}
	schema.Properties.Set(path[len(path)-1], leaf)
}
