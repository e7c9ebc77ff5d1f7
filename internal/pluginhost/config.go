package pluginhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/types/known/structpb"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// thresholdsKey is where a checker's configuration holds its thresholds.
const thresholdsKey = "thresholds"

// noLoader keeps schemas from making host read files or addresses.
type noLoader struct{}

// Load refuses.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("it refers to %s: a schema must hold everything itself", cleanText(url, 100))
}

// compileSchema reads the JSON Schema text of a plugin; nil for an empty one.
func compileSchema(text string) (*jsonschema.Schema, error) {
	if text == "" {
		return nil, nil
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("its configuration schema is no JSON: %s", cleanText(err.Error(), 300))
	}
	const location = "upkeep:///config.json"
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	err = c.AddResource(location, doc)
	var schema *jsonschema.Schema
	if err == nil {
		schema, err = c.Compile(location)
	}
	if err != nil {
		return nil, fmt.Errorf("its configuration schema is no valid JSON Schema: %s", cleanText(err.Error(), 300))
	}
	return schema, nil
}

// property finds what schema says about properties.KEY, references followed.
func property(schema *jsonschema.Schema, key string) *jsonschema.Schema {
	const deepest = 16 // references may form a circle
	for range deepest {
		switch {
		case schema == nil:
			return nil
		case schema.Properties[key] != nil:
			return schema.Properties[key]
		case schema.Ref == nil:
			for _, part := range schema.AllOf {
				if p := part.Properties[key]; p != nil {
					return p
				}
			}
			return nil
		}
		schema = schema.Ref
	}
	return nil
}

// configLayers are the sources of one plugin's configuration; later ones win.
type configLayers struct {
	manifest   map[string]any     // defaults of plugin.json
	thresholds map[string]float64 // of health monitoring, for whoever names them
	strategy   map[string]any     // of recovery, for strategies that name them
	settings   map[string]any     // of this plugin
}

// merge gives the configuration of a plugin with that schema and description.
func (l configLayers) merge(schema *jsonschema.Schema, d Description) map[string]any {
	config := map[string]any{}
	overlay(config, l.manifest)
	if wanted := property(schema, thresholdsKey); wanted != nil {
		for key, value := range l.thresholds {
			if property(wanted, key) != nil {
				overlay(config, map[string]any{thresholdsKey: map[string]any{key: value}})
			}
		}
	}
	if d.Is(Recovery) {
		for key, value := range l.strategy {
			if property(schema, key) != nil {
				overlay(config, map[string]any{key: value})
			}
		}
	}
	overlay(config, l.settings)
	return config
}

// overlay writes src over dst; objects are merged key by key.
func overlay(dst, src map[string]any) {
	for key, value := range src {
		object, isObject := value.(map[string]any)
		if !isObject {
			dst[key] = value
			continue
		}
		below, _ := dst[key].(map[string]any)
		merged := maps.Clone(below)
		if merged == nil {
			merged = map[string]any{}
		}
		overlay(merged, object)
		dst[key] = merged
	}
}

// configToProto writes a configuration; any value that JSON can carry will do.
func configToProto(config map[string]any) (*structpb.Struct, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("its configuration cannot be written as JSON: %w", err)
	}
	p := &structpb.Struct{}
	if err := p.UnmarshalJSON(text); err != nil {
		return nil, fmt.Errorf("its configuration cannot be sent: %w", err)
	}
	return p, nil
}

// judgeDiagnostics splits what a plugin says about its configuration into
// warnings and one error that names every mistake; a finding without a known
// severity counts as a mistake.
func judgeDiagnostics(list []*pluginv1.Diagnostic) (warnings []string, err error) {
	var mistakes []string
	for _, d := range firstOf(list) {
		text := cleanText(d.GetSummary(), 300)
		if path := cleanText(d.GetPath(), maxWord); path != "" {
			text = path + ": " + text
		}
		if detail := cleanText(d.GetDetail(), 300); detail != "" {
			text += " (" + detail + ")"
		}
		if d.GetSeverity() == pluginv1.Severity_SEVERITY_WARNING {
			warnings = append(warnings, text)
		} else {
			mistakes = append(mistakes, text)
		}
	}
	if len(mistakes) > 0 {
		return warnings, errors.New("it refuses its configuration: " + strings.Join(mistakes, "; "))
	}
	return warnings, nil
}

// keysOf lists the keys of a configuration for people.
func keysOf(config map[string]any) string {
	return strings.Join(slices.Sorted(maps.Keys(config)), ", ")
}
