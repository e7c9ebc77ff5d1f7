package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	data, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func againstSchema(schema *jsonschema.Schema, data []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(bytes.TrimPrefix(data, utf8Mark)))
	if err != nil {
		return err
	}
	return schema.Validate(doc)
}

func TestTheSchemaAcceptsWhatLoadAccepts(t *testing.T) {
	schema := compileSchema(t)
	def, err := Default().File()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{"the defaults": def}
	for name, text := range profiles {
		texts["the profile "+name] = []byte(text)
	}
	files, err := filepath.Glob("testdata/good/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("good files %v, %v", files, err)
	}
	for _, file := range files {
		if texts[file], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range texts {
		if err := againstSchema(schema, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, mistakes := parse(text); len(mistakes) > 0 {
			t.Errorf("%s: %v", name, mistakes)
		}
	}
}

// noSchemaMatter are the bad files whose mistake no schema can see.
var noSchemaMatter = []string{
	"fast_interval_is_slower", "strategy_interval_twice", "tls_half", // two keys that contradict each other
	"flapping_low_above_high", "max_interval_is_shorter", "trial_is_shorter_than_an_attempt", // two keys
	"key_given_twice", "plugin_config_key_twice", // gone once the file is parsed
	"plugin_config_overflow",            // a number is a number
	"admin_address_port",                // a range inside a text
	"tokens_twice", "tokens_name_twice", // a comparison inside a text
}

func TestTheSchemaRefusesWhatLoadRefuses(t *testing.T) {
	schema := compileSchema(t)
	files, _ := filepath.Glob("testdata/bad/*.json")
	refused := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(data) {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		err = againstSchema(schema, data)
		switch {
		case slices.Contains(noSchemaMatter, name) && err != nil:
			t.Errorf("%s: the schema sees it after all: %v", name, err)
		case !slices.Contains(noSchemaMatter, name) && err == nil:
			t.Errorf("%s: the schema accepts it", name)
		case err != nil:
			refused++
		}
	}
	if refused < 40 {
		t.Errorf("the schema refused %d files, want at least 40", refused)
	}
}

// schemaKeys lists the keys of a schema, with NAME for those of a pattern.
func schemaKeys(path string, schema map[string]any, each func(key string, schema map[string]any)) {
	walk := func(key string, v any) {
		below := v.(map[string]any)
		each(key, below)
		schemaKeys(key, below, each)
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, v := range properties {
		walk(strings.TrimPrefix(path+"."+name, "."), v)
	}
	patterns, _ := schema["patternProperties"].(map[string]any)
	for _, v := range patterns {
		schemaKeys(path+".NAME", v.(map[string]any), each)
	}
	choices, _ := schema["oneOf"].([]any)
	for _, v := range choices {
		schemaKeys(path, v.(map[string]any), each)
	}
}

func TestEveryKeyOfTheSchemaHasADescriptionAndTheDocumentedDefault(t *testing.T) {
	data, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	if schema["$schema"] != "https://json-schema.org/draft/2020-12/schema" || schema["$id"] != SchemaID {
		t.Errorf("schema %v of %v", schema["$id"], schema["$schema"])
	}
	defaults := map[string]any{}
	for _, s := range Default().Settings() {
		defaults[s.Key] = s.Value
	}
	seen := map[string]bool{}
	schemaKeys("", schema, func(key string, schema map[string]any) {
		seen[key] = true
		if text, _ := schema["description"].(string); text == "" {
			t.Errorf("%s has no description", key)
		}
		want, has := defaults[key]
		got, given := schema["default"]
		if number, ok := got.(float64); ok && number == math.Trunc(number) {
			got = int64(number)
		}
		if has && !leafKeys()[key].secret && (!given || fmt.Sprint(got) != fmt.Sprint(want)) {
			t.Errorf("%s: the schema's default is %v, want %v", key, got, want)
		}
	})
	for key := range descriptions {
		if !seen[key] {
			t.Errorf("%s is described but is no key of the schema", key)
		}
	}
	for _, key := range allKeys("", configType) {
		if !seen[key] {
			t.Errorf("%s is no key of the schema", key)
		}
	}
}

func TestThePublishedSchemaIsTheGeneratedOne(t *testing.T) {
	const file = "../../docs/configuration.schema.json"
	data, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	published, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(published, data) {
		t.Errorf("%s is not what the types say (%v): go test ./internal/config -update", file, err)
	}
}

const documentation = "../../docs/configuration.md"

// documented is the configuration that the documentation shows.
func documented(t *testing.T) (text string, example []byte) {
	t.Helper()
	data, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(data), "```json\n")
	block, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("the documentation has no JSON")
	}
	return string(data), []byte(block)
}

func TestTheDocumentedFileIsTheDefaults(t *testing.T) {
	_, example := documented(t)
	cfg, mistakes := parse(example)
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	if !slices.Equal(sortedKeys(cfg.HealthMonitoring.Thresholds), sortedKeys(thresholdRules)) {
		t.Errorf("the documentation shows the thresholds %v", sortedKeys(cfg.HealthMonitoring.Thresholds))
	}
	cfg.HealthMonitoring.Thresholds = Thresholds{} // those of the plugins, shown for their names
	if !reflect.DeepEqual(cfg, Default()) {
		t.Errorf("the documentation shows\n%+v\nthe defaults are\n%+v", cfg, Default())
	}
	var keys map[string]any
	if err := json.Unmarshal(example, &keys); err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, s := range Default().Settings() {
		missing[s.Key] = !strings.HasPrefix(s.Key, "recovery.strategy.")
	}
	var shown func(path string, m map[string]any)
	shown = func(path string, m map[string]any) {
		for key, v := range m {
			missing[join(path, key)] = false
			if below, ok := v.(map[string]any); ok {
				shown(join(path, key), below)
			}
		}
	}
	shown("", keys)
	for key, is := range missing {
		if is {
			t.Errorf("the documentation does not show %s", key)
		}
	}
}

var keyRow = regexp.MustCompile("(?m)^\\| `([a-z_.A-Z]+)` \\|.*$")

// The table of keys is written by -update, so that documentation, schema and
// reader cannot say different things.
func TestTheDocumentationHasEveryKeyInItsTable(t *testing.T) {
	text, _ := documented(t)
	const begin, end = "<!-- keys: go test ./internal/config -update -->\n", "<!-- end of keys -->\n"
	before, rest, found := strings.Cut(text, begin)
	table, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("the documentation has no table of keys between %q and %q", begin, end)
	}
	var want strings.Builder
	want.WriteString("| key | accepted | live | |\n|---|---|---|---|\n")
	for _, key := range allKeys("", configType) {
		leaf, known := leafKeys()[key]
		switch {
		case !known && strings.Contains(key, "."):
			fmt.Fprintf(&want, "| `%s` | a section | | %s |\n", key, describe(key))
			continue
		case !known:
			continue
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", key, accepted(leaf), yes(leaf.live), describe(key))
	}
	for _, name := range keysOf(pluginType) {
		f, _ := pluginType.FieldByNameFunc(func(n string) bool { field, _ := pluginType.FieldByName(n); return fieldKey(field) == name })
		kind := "`true`, `false`"
		switch f.Type.Kind() {
		case reflect.Map:
			kind = "an object"
		case reflect.Slice:
			kind = "a list, each " + textRules[f.Tag.Get("want")].want
		}
		fmt.Fprintf(&want, "| `plugins.NAME.%s` | %s | %s | %s |\n", name, kind, yes(f.Tag.Get("live") != ""), describe("plugins.x."+name))
	}
	if *update {
		if err := os.WriteFile(documentation, []byte(before+begin+want.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		table = want.String()
	}
	if table != want.String() {
		t.Errorf("the table of keys in %s is old: go test ./internal/config -update", documentation)
	}
	if len(keyRow.FindAllString(table, -1)) < len(leafKeys()) {
		t.Errorf("the table has %d rows for %d keys", len(keyRow.FindAllString(table, -1)), len(leafKeys()))
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func accepted(leaf leafKey) string {
	named, isNamed := textRules[leaf.rule]
	switch {
	case leaf.secret:
		return "16 to 512 printable letters"
	case leaf.rule == "level":
		return "`" + strings.Join(levels, "`, `") + "`"
	case isNamed && leaf.kind == arrayNode:
		return "a list, each " + named.want
	case isNamed:
		return strings.ReplaceAll(named.want, `"`, "`")
	case leaf.kind == boolNode:
		return "`true`, `false`"
	case leaf.kind == numberNode:
		least, most, _ := strings.Cut(leaf.rule, "..")
		return least + " to " + most
	case leaf.rule == "":
		return "`graded`, a plugin's name, or an object"
	}
	return "`" + strings.ReplaceAll(leaf.rule, "|", "`, `") + "`"
}
