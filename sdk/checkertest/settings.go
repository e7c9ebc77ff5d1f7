package checkertest

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

var metricName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,127}$`)

// describes fetches the description; without one there is nothing more to try.
func (r *trial) describes() {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	d, err := r.plugin.Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil {
		r.Errorf("checkertest: Describe: %v", err)
		return
	}
	r.description = d
	for _, m := range d.Metrics {
		if m.Help == "" {
			r.Errorf("checkertest: Describe: metric %q has no Help: say in a sentence what it means", m.Name)
		}
	}
}

// hasValidSchema judges the schema, and the defaults in it, by an independent
// JSON Schema validator.
func (r *trial) hasValidSchema() {
	r.Helper()
	if r.description.ConfigSchema == "" {
		return
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(r.description.ConfigSchema))
	if err != nil {
		r.Errorf("checkertest: the configuration schema is no JSON: %v", err)
		return
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.json", document); err != nil {
		r.Errorf("checkertest: the configuration schema is unusable: %v", err)
		return
	}
	schema, err := compiler.Compile("config.json")
	if err != nil {
		r.Errorf("checkertest: the configuration schema is no valid JSON Schema: %v", err)
		return
	}
	if err := schema.Validate(defaultsOf(document)); err != nil {
		r.Errorf("checkertest: the defaults break the checker's own schema: %v", err)
	}
}

// defaultsOf collects the defaults of a schema into one configuration.
func defaultsOf(schema any) any {
	node, _ := schema.(map[string]any)
	properties, ok := node["properties"].(map[string]any)
	if !ok {
		return node["default"]
	}
	out := map[string]any{}
	for key, property := range properties {
		if value := defaultsOf(property); value != nil {
			out[key] = value
		}
	}
	return out
}

// refusesBadSettings offers an unknown key, and a value of a wrong type for
// each property, and wants each refused by path. What was in force stays so.
func (r *trial) refusesBadSettings() {
	r.Helper()
	const unknown = "no_such_key"
	r.refuses(unknown, map[string]any{unknown: 1})
	var schema map[string]any
	_ = json.Unmarshal([]byte(r.description.ConfigSchema), &schema) // judged already
	r.refusesWrongTypes(schema, nil)
	if found, err := r.configure(nil); err != nil || refused(found) {
		r.Errorf("checkertest: Configure without any key: %v, %v: want every key to have a default", found, err)
	}
}

func (r *trial) refusesWrongTypes(schema map[string]any, path []string) {
	r.Helper()
	properties, _ := schema["properties"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		property, _ := properties[key].(map[string]any)
		at := append(slices.Clone(path), key)
		if _, nested := property["properties"]; nested {
			r.refusesWrongTypes(property, at)
		}
		var wrong any = "a text"
		switch property["type"] {
		case nil:
			continue // of several types: none is surely wrong
		case "string":
			wrong = 5.5
		}
		config := map[string]any{key: wrong}
		for i := len(path) - 1; i >= 0; i-- {
			config = map[string]any{path[i]: config}
		}
		r.refuses(strings.Join(at, "."), config)
	}
}

// refuses wants an error that names the path, from Validate and Configure alike.
func (r *trial) refuses(path string, config map[string]any) {
	r.Helper()
	found, err := r.configure(config)
	if err != nil {
		r.Errorf("checkertest: Configure(%v): %v: want a diagnostic, not an error", config, err)
		return
	}
	for _, d := range found {
		if d.Severity == pluginv1.Severity_SEVERITY_ERROR && d.Path == path {
			if d.Summary == "" {
				r.Errorf("checkertest: Configure(%v): the diagnostic of %s says nothing", config, path)
			}
			return
		}
	}
	r.Errorf("checkertest: Configure(%v): %v: want a diagnostic with the path %q", config, found, path)
}

// acceptsSettings applies what the author gave.
func (r *trial) acceptsSettings() {
	r.Helper()
	if found, err := r.configure(r.settings); err != nil || refused(found) {
		r.Errorf("checkertest: the settings %v are refused: %v, %v", r.settings, found, err)
	}
}

func refused(found []*pluginv1.Diagnostic) bool {
	return slices.ContainsFunc(found, func(d *pluginv1.Diagnostic) bool { return d.Severity != pluginv1.Severity_SEVERITY_WARNING })
}
