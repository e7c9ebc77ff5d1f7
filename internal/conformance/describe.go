package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/upkeephub/upkeep/internal/trial"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

var (
	word          = regexp.MustCompile(`^[a-z][a-z0-9_]{0,127}$`)
	checkName     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	pluginVersion = regexp.MustCompile(`^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$`)
)

// hostActions are words that a plugin's own action must not have.
var hostActions = []string{"none", "log_warning", "quarantine_offender", "clear_connections", "restart_service", "emergency_stop"}

const (
	maxSchema = 256 << 10 // bytes
	maxListed = 256       // metrics and actions
)

func describeRule(ctx context.Context, k *kit) *breach {
	p, end, b := k.open(ctx)
	defer end()
	if b != nil {
		return b
	}
	asked, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	d, err := p.Plugin().Describe(asked, &pluginv1.DescribeRequest{})
	if err != nil {
		return &breach{"Describe: " + k.explain(p, err), "serve upkeep.plugin.v1.PluginService and answer Describe without a configuration"}
	}
	again, err := p.Plugin().Describe(asked, &pluginv1.DescribeRequest{})
	if err != nil || !proto.Equal(d, again) {
		return &breach{"asked twice, Describe gives two answers", "make Describe a constant: host asks before it configures"}
	}
	if b := judgeDescription(k.Spec.Name, d); b != nil {
		return b
	}
	k.description = d
	return nil
}

// judgeDescription looks at what a plugin with that file name says of itself.
func judgeDescription(name string, d *pluginv1.DescribeResponse) *breach {
	if d.GetName() != name {
		return &breach{fmt.Sprintf("it calls itself %q, and its file or folder is %q", d.GetName(), name), "give both the same name"}
	}
	if !pluginVersion.MatchString(d.GetVersion()) {
		return &breach{fmt.Sprintf("its version is %q", d.GetVersion()), "give a version x.y.z"}
	}
	kinds := d.GetKinds()
	if !slices.Contains(kinds, pluginv1.Kind_KIND_CHECKER) && !slices.Contains(kinds, pluginv1.Kind_KIND_RECOVERY) {
		return &breach{fmt.Sprintf("its kinds are %v", kinds), "name KIND_CHECKER, KIND_RECOVERY or both"}
	}
	if n := d.GetCheckName(); n != "" && !checkName.MatchString(n) {
		return &breach{fmt.Sprintf("its check name is %q", n), "use lower-case words joined by underscores"}
	}
	if len(d.GetMetrics()) > maxListed || len(d.GetActions()) > maxListed {
		return &breach{fmt.Sprintf("it lists %d metrics and %d actions", len(d.GetMetrics()), len(d.GetActions())), fmt.Sprintf("host reads %d of each", maxListed)}
	}
	seen := map[string]bool{}
	for _, m := range d.GetMetrics() {
		switch {
		case !word.MatchString(m.GetName()):
			return &breach{fmt.Sprintf("it describes a metric %q", m.GetName()), "name metrics in lower-case words joined by underscores"}
		case seen[m.GetName()]:
			return &breach{fmt.Sprintf("it describes the metric %s twice", m.GetName()), "describe each metric once; labels tell instances apart"}
		case m.GetHelp() == "":
			return &breach{fmt.Sprintf("its metric %s has no help", m.GetName()), "say in a sentence what the metric means and when it is not healthy"}
		}
		seen[m.GetName()] = true
	}
	for _, a := range d.GetActions() {
		switch {
		case !word.MatchString(a.GetName()) || slices.Contains(hostActions, a.GetName()):
			return &breach{fmt.Sprintf("it describes an action %q of its own", a.GetName()), "choose lower-case words joined by underscores that are no action of host"}
		case a.GetDescription() == "":
			return &breach{fmt.Sprintf("its action %s has no description", a.GetName()), "say in a sentence what the action does"}
		case !slices.Contains(kinds, pluginv1.Kind_KIND_RECOVERY):
			return &breach{fmt.Sprintf("it has the action %s and is no strategy", a.GetName()), "add KIND_RECOVERY, or remove the action"}
		}
	}
	for _, d := range []interface {
		CheckValid() error
		GetSeconds() int64
	}{d.GetDefaultInterval(), d.GetDefaultTimeout()} {
		if d.GetSeconds() < 0 || d.GetSeconds() > 24*60*60 {
			return &breach{fmt.Sprintf("its default interval or timeout is %d s", d.GetSeconds()), "want something from 0 to a day"}
		}
	}
	return nil
}

func schemaRule(_ context.Context, k *kit) *breach {
	text := k.description.GetConfigSchema()
	if text == "" {
		return nil
	}
	if len(text) > maxSchema {
		return &breach{fmt.Sprintf("its schema has %d bytes", len(text)), fmt.Sprintf("host reads %d", maxSchema)}
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return &breach{fmt.Sprintf("config_schema is no JSON: %v", err), "send the text of a JSON Schema, or nothing if the plugin takes no configuration"}
	}
	const location = "upkeep:///config.json"
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	err = compiler.AddResource(location, document)
	var schema *jsonschema.Schema
	if err == nil {
		schema, err = compiler.Compile(location)
	}
	if err != nil {
		return &breach{fmt.Sprintf("config_schema is no valid JSON Schema: %v", err), "correct the schema; it must hold everything itself"}
	}
	if err := schema.Validate(map[string]any{}); err != nil && len(schema.Required) == 0 {
		return &breach{fmt.Sprintf("the schema refuses a configuration without any key: %v", err), "describe an object"}
	}
	for key, property := range schema.Properties {
		if property.Default == nil {
			continue
		}
		if err := property.Validate(*property.Default); err != nil {
			return &breach{fmt.Sprintf("the default of %s breaks the schema: %v", key, err), "correct the default or the schema"}
		}
	}
	return nil
}

// noLoader keeps schemas from making us read files or addresses.
type noLoader struct{}

// Load refuses.
func (noLoader) Load(url string) (any, error) { return nil, fmt.Errorf("it refers to %s", url) }

func configurationRule(ctx context.Context, k *kit) *breach {
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	for _, bad := range badSettings(k.description.GetConfigSchema()) {
		if b := k.refuses(ctx, p, bad); b != nil {
			return b
		}
	}
	return nil
}

// refuses wants a diagnostic of a mistake, with its path, from Validate and from
// Configure.
func (k *kit) refuses(ctx context.Context, p *trial.Process, bad setting) *breach {
	const change = "answer with a Diagnostic of SEVERITY_ERROR with the field in path, nested keys joined by dots, what is wrong in summary; never with a gRPC error"
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	values, err := structpb.NewStruct(bad.config)
	if err != nil {
		return &breach{err.Error(), ""}
	}
	sent, _ := json.Marshal(bad.config)
	judged, err := p.Plugin().Validate(ctx, &pluginv1.ValidateRequest{Config: values})
	for _, call := range []string{"Validate", "Configure"} {
		found := judged.GetDiagnostics()
		if call == "Configure" {
			applied, failed := p.Plugin().Configure(ctx, &pluginv1.ConfigureRequest{Config: values})
			found, err = applied.GetDiagnostics(), failed
		}
		if err != nil {
			return &breach{fmt.Sprintf("%s(%s) ended with an error: %s", call, sent, k.explain(p, err)), change}
		}
		named := slices.ContainsFunc(found, func(d *pluginv1.Diagnostic) bool {
			return d.GetSeverity() == pluginv1.Severity_SEVERITY_ERROR && d.GetSummary() != "" &&
				(d.GetPath() == bad.path || strings.HasPrefix(d.GetPath(), bad.path+"."))
		})
		if !named {
			return &breach{fmt.Sprintf("%s(%s) gave %s; want a mistake with the path %s", call, sent, diagnostics(found), bad.path), change}
		}
	}
	return nil
}

// setting is a configuration with one mistake.
type setting struct {
	path   string
	config map[string]any
}

// badSettings makes, from a schema, configurations that it surely does not
// allow: an unknown key where none is allowed, and wrong types.
func badSettings(text string) []setting {
	var root map[string]any
	if json.Unmarshal([]byte(text), &root) != nil {
		return nil
	}
	var bad []setting
	var look func(node map[string]any, path []string, depth int)
	look = func(node map[string]any, path []string, depth int) {
		node = resolve(root, node)
		add := func(key string, value any) {
			at := append(slices.Clone(path), key)
			for i := len(at) - 1; i >= 0; i-- {
				value = map[string]any{at[i]: value}
			}
			bad = append(bad, setting{strings.Join(at, "."), value.(map[string]any)})
		}
		if allowed, is := node["additionalProperties"].(bool); is && !allowed && node["patternProperties"] == nil {
			add("no_such_key", 1)
		}
		properties, _ := node["properties"].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(properties)) {
			property, _ := properties[key].(map[string]any)
			property = resolve(root, property)
			switch property["type"] {
			case "string":
				add(key, 5.5)
			case "number", "integer", "boolean", "array":
				add(key, "a text")
			case "object":
				add(key, "a text")
				if depth < 4 {
					look(property, append(slices.Clone(path), key), depth+1)
				}
			}
		}
	}
	look(root, nil, 0)
	return bad
}

// resolve follows references within the document.
func resolve(root, node map[string]any) map[string]any {
	for range 8 {
		reference, is := node["$ref"].(string)
		if !is {
			return node
		}
		at := any(root)
		for _, key := range strings.Split(strings.TrimPrefix(strings.TrimPrefix(reference, "#"), "/"), "/") {
			object, _ := at.(map[string]any)
			at = object[key]
		}
		next, is := at.(map[string]any)
		if !is {
			return node
		}
		node = next
	}
	return node
}

// unimplemented says whether a service or a method is not there.
func unimplemented(err error) bool { return status.Code(err) == codes.Unimplemented }
