package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

type limits struct {
	CPU     float64 `json:"cpu_percent" jsonschema:"exclusiveMinimum=0,maximum=100" jsonschema_description:"CPU in percent."`
	Clients int     `json:"max_clients" jsonschema:"minimum=1"`
}

type settings struct {
	Path    string            `json:"path" jsonschema:"minLength=1,maxLength=8,pattern=^/"`
	Mode    string            `json:"mode" jsonschema:"enum=fast,enum=slow"`
	Timeout Seconds           `json:"timeout" jsonschema:"exclusiveMinimum=0"`
	Retries uint8             `json:"retries"`
	Even    int               `json:"even" jsonschema:"multipleOf=2,exclusiveMaximum=10"`
	Names   []string          `json:"names" jsonschema:"minItems=1,maxItems=2,uniqueItems=true"`
	Tags    map[string]string `json:"tags"`
	On      bool              `json:"on"`
	Maybe   string            `json:"maybe" jsonschema:"nullable"`
	Limits  limits            `json:"thresholds"`
	private int
}

func (s *settings) Validate() error {
	if s.On && s.Retries == 0 {
		return errors.Join(
			Diagnostic{Path: "retries", Summary: "is 0", Detail: "want at least 1 while on is true"},
			errors.New("on and retries do not go together"))
	}
	if s.Mode == "slow" {
		return Diagnostic{Path: "mode", Summary: "slow is slow", Warning: true}
	}
	return nil
}

func defaults() settings {
	return settings{
		Path: "/", Mode: "fast", Timeout: 2, Retries: 3, Names: []string{"a"}, Tags: map[string]string{"k": "v"},
		Limits: limits{CPU: 80, Clients: 1000},
	}
}

func parsed(t testing.TB, text string) map[string]any {
	t.Helper()
	var raw map[string]any
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return raw
}

func TestEveryMistakeInAConfigurationIsReportedWithItsPath(t *testing.T) {
	for _, c := range []struct {
		config string
		want   []string // path: part of the text
		why    string
	}{
		{`{}`, nil, "every key has a default"},
		{`{"path":"/x","retries":255,"even":8,"names":["a","b"],"tags":{"a":"b"},"maybe":null}`, nil, "all in range"},
		{`{"pth":"/"}`, []string{"pth: did you mean path?"}, "a slip of the finger"},
		{`{"colour":1}`, []string{"colour: known keys are path"}, "a key nobody knows"},
		{`{"PATH":"/"}`, []string{"PATH: did you mean path?"}, "keys keep their case"},
		{`{"path":7}`, []string{"path: is 7: want a string"}, "a wrong type says what it got and wants"},
		{`{"path":null}`, []string{"path: is null: want a string, or leave the key out"}, "null is no value"},
		{`{"path":""}`, []string{"path: want at least 1", "path: want text that matches ^/"}, "both rules are broken"},
		{`{"path":"/123456789"}`, []string{"path: want at most 8"}, "too long"},
		{`{"mode":"medium"}`, []string{`mode: is "medium": want one of fast, slow`}, "not one of the words"},
		{`{"timeout":0}`, []string{"timeout: want more than 0"}, "the bound itself is excluded"},
		{`{"timeout":"2s"}`, []string{`timeout: is the string "2s": want a number`}, "durations are seconds"},
		{`{"retries":2.5}`, []string{"retries: is 2.5: want an integer"}, "a fraction of a retry"},
		{`{"retries":256}`, []string{"retries: want at most 255"}, "the Go type is a bound too"},
		{`{"retries":-1}`, []string{"retries: want at least 0"}, "unsigned"},
		{`{"even":3}`, []string{"even: want a multiple of 2"}, "odd"},
		{`{"even":10}`, []string{"even: want less than 10"}, "the bound itself is excluded"},
		{`{"even":1e300}`, []string{"even: want an integer"}, "larger than any integer"},
		{`{"names":[]}`, []string{"names: want at least 1"}, "too few"},
		{`{"names":["a","b","a"]}`, []string{"names: want at most 2", "names.2: is there twice"}, "too many, and one twice"},
		{`{"names":["a",5]}`, []string{"names.1: is 5: want a string"}, "one entry is wrong"},
		{`{"tags":{"a":1}}`, []string{"tags.a: is 1: want a string"}, "a value of a map"},
		{`{"tags":[]}`, []string{"tags: is an array: want an object"}, "the wrong kind of container"},
		{`{"on":"yes"}`, []string{`on: is the string "yes": want a boolean`}, "yes is no boolean"},
		{`{"thresholds":{"cpu_percent":150,"max_clients":0}}`, []string{"thresholds.cpu_percent: want at most 100", "thresholds.max_clients: want at least 1"}, "nested keys have dotted paths"},
		{`{"thresholds":{"cpu_percnt":1}}`, []string{"thresholds.cpu_percnt: did you mean cpu_percent?"}, "nested slip"},
		{`{"path":7,"mode":"x","nope":1,"thresholds":{"max_clients":1.5}}`,
			[]string{"path: ", "mode: ", "nope: ", "thresholds.max_clients: "}, "all at once"},
		{`{"on":true,"retries":0}`, []string{"retries: want at least 1", ": on and retries do not go together"}, "the author's own rule, with and without a path"},
	} {
		apply, found := NewConfig(defaults()).prepare(parsed(t, c.config))
		if len(found) != len(c.want) || (apply == nil) != (len(c.want) > 0) {
			t.Errorf("%s gives %v, want %d findings: %s", c.config, found, len(c.want), c.why)
			continue
		}
		for _, want := range c.want {
			path, text, _ := strings.Cut(want, ": ")
			if !slices.ContainsFunc(found, func(d Diagnostic) bool { return d.Path == path && strings.Contains(d.Summary+": "+d.Detail, text) }) {
				t.Errorf("%s gives %v, want %q: %s", c.config, found, want, c.why)
			}
		}
	}
}

func TestAWarningDoesNotStopAConfiguration(t *testing.T) {
	c := NewConfig(defaults())
	apply, found := c.prepare(parsed(t, `{"mode":"slow"}`))
	if len(found) != 1 || !found[0].Warning || apply == nil {
		t.Fatalf("findings %v, want one warning and something to apply", found)
	}
	apply()
	if got := c.Current().Mode; got != "slow" {
		t.Errorf("mode is %q after applying, want slow", got)
	}
}

func TestAnAppliedConfigurationReplacesTheFormerWholly(t *testing.T) {
	c := NewConfig(defaults())
	for _, step := range []struct {
		config string
		want   func(*settings)
		why    string
	}{
		{`{"names":["x","y"],"tags":{"n":"1"},"thresholds":{"cpu_percent":50}}`, func(s *settings) {
			s.Names, s.Tags, s.Limits.CPU = []string{"x", "y"}, map[string]string{"k": "v", "n": "1"}, 50
		}, "what is named changes, nested and maps included"},
		{`{"retries":9}`, func(s *settings) { s.Retries = 9 }, "what is left out is the default again, not the former value"},
		{`{}`, func(*settings) {}, "the defaults are as they were"},
	} {
		apply, found := c.prepare(parsed(t, step.config))
		if apply == nil {
			t.Fatalf("%s: %v", step.config, found)
		}
		apply()
		want := defaults()
		step.want(&want)
		if got := c.Current(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: configuration is %+v, want %+v: %s", step.config, got, want, step.why)
		}
	}
}

func TestARefusedConfigurationLeavesTheFormerInForce(t *testing.T) {
	c := NewConfig(defaults())
	apply, _ := c.prepare(parsed(t, `{"retries":7}`))
	apply()
	if apply, _ := c.prepare(parsed(t, `{"retries":8,"nope":1}`)); apply != nil {
		t.Error("a configuration with an unknown key can be applied")
	}
	if got := c.Current().Retries; got != 7 {
		t.Errorf("retries is %d, want 7", got)
	}
}

func TestConcurrentReadersSeeOneConfigurationAndNeverAMix(t *testing.T) {
	c := NewConfig(settings{Path: "/0", Limits: limits{Clients: 0}})
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if now := c.Current(); now.Path != fmt.Sprint("/", now.Limits.Clients) {
					t.Errorf("a mix: path %q with %d clients", now.Path, now.Limits.Clients)
					return
				}
			}
		})
	}
	for n := 1; n <= 200; n++ {
		apply, found := c.prepare(map[string]any{"path": fmt.Sprint("/", n), "mode": "fast", "timeout": 1.0, "names": []any{"a"},
			"thresholds": map[string]any{"max_clients": float64(n), "cpu_percent": 1.0}})
		if apply == nil {
			t.Fatal(found)
		}
		apply()
	}
	close(stop)
	readers.Wait()
}

func TestTheSchemaIsValidAndHoldsTheDefaults(t *testing.T) {
	text, err := NewConfig(defaults()).schemaText()
	if err != nil {
		t.Fatal(err)
	}
	compileSchema(t, text)
	schema := parsed(t, text)
	thresholds := schema["properties"].(map[string]any)["thresholds"].(map[string]any)["properties"].(map[string]any)
	cpu := thresholds["cpu_percent"].(map[string]any)
	if cpu["default"] != 80.0 || cpu["maximum"] != 100.0 || cpu["description"] != "CPU in percent." {
		t.Errorf("thresholds.cpu_percent is %v, want default, bounds and description in place, without references", cpu)
	}
	if _, there := schema["properties"].(map[string]any)["private"]; there {
		t.Error("an unexported field is in the schema")
	}
}

func TestOurJudgementAgreesWithAJSONSchemaValidator(t *testing.T) {
	c := NewConfig(defaults())
	text, err := c.schemaText()
	if err != nil {
		t.Fatal(err)
	}
	judge := compileSchema(t, text)
	scalar := rapid.OneOf(
		rapid.Just[any](nil), rapid.Just[any](true), rapid.Just[any]("/"), rapid.Just[any]("fast"), rapid.Just[any]("/too long for it"),
		rapid.Just[any](""), rapid.Map(rapid.IntRange(-3, 300), func(n int) any { return float64(n) }),
		rapid.Map(rapid.Float64Range(-2, 200), func(n float64) any { return n }))
	text1 := rapid.SampledFrom([]string{"a", "b", "c"})
	value := rapid.OneOf(scalar,
		rapid.Map(rapid.SliceOfN(rapid.OneOf(scalar, rapid.Map(text1, func(s string) any { return s })), 0, 3), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"cpu_percent", "max_clients", "x"}), scalar, 0, 3), func(m map[string]any) any { return m }))
	keys := rapid.SampledFrom([]string{"path", "mode", "timeout", "retries", "even", "names", "tags", "on", "maybe", "thresholds", "unknown"})
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.MapOfN(keys, value, 0, 4).Draw(t, "config")
		ours := checkSchema(c.schema, any(raw), "")
		if theirs := judge.Validate(any(raw)); (len(ours) == 0) != (theirs == nil) {
			t.Fatalf("%v: we say %v, the validator says %v", raw, ours, theirs)
		}
	})
}

func compileSchema(t testing.TB, text string) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("the schema is no JSON: %v\n%s", err, text)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("config.json")
	if err != nil {
		t.Fatalf("the schema is invalid: %v\n%s", err, text)
	}
	return schema
}

func TestTypesThatCannotBeConfiguredAreNamed(t *testing.T) {
	type nanoseconds struct {
		Wait time.Duration `json:"wait"`
	}
	type function struct {
		Call func() `json:"call"`
	}
	for _, c := range []struct {
		config configuration
		want   string
		why    string
	}{
		{NewConfig(nanoseconds{}), "sdk.Seconds", "a time.Duration would be nanoseconds"},
		{NewConfig(function{}), "no JSON", "a function is no JSON"},
	} {
		if _, err := c.config.schemaText(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("schema error %v, want one with %q: %s", err, c.want, c.why)
		}
		if apply, found := c.config.prepare(nil); apply != nil || len(found) != 1 {
			t.Errorf("it can be applied (%v): %s", found, c.why)
		}
	}
	if err := NewConfig(5).ready(); err == nil || !strings.Contains(err.Error(), "want a struct") {
		t.Errorf("a number as configuration: %v, want an error", err)
	}
	var missing *Config[settings]
	if err := missing.ready(); err == nil || !strings.Contains(err.Error(), "sdk.NewConfig") {
		t.Errorf("an embedded nil: %v, want an error that names sdk.NewConfig", err)
	}
}

func TestTheZeroConfigHasTheZeroDefaults(t *testing.T) {
	var c Config[limits]
	if got := c.Current(); got != (limits{}) {
		t.Errorf("zero config holds %+v", got)
	}
	apply, found := c.prepare(parsed(t, `{"max_clients":4}`))
	if apply == nil {
		t.Fatal(found)
	}
	apply()
	if got := c.Current().Clients; got != 4 {
		t.Errorf("max_clients is %d, want 4", got)
	}
}

func TestAPluginWithoutConfigurationRefusesEveryKey(t *testing.T) {
	_, found := noConfig{}.prepare(map[string]any{"b": 1, "a": 2})
	if len(found) != 2 || found[0].Path != "a" || found[1].Path != "b" || !refused(found) {
		t.Errorf("findings %v, want one for a and one for b", found)
	}
	if _, found := (noConfig{}).prepare(nil); refused(found) {
		t.Errorf("no configuration is refused: %v", found)
	}
}

func TestSecondsConvert(t *testing.T) {
	for s, want := range map[Seconds]time.Duration{2: 2 * time.Second, 0.25: 250 * time.Millisecond, 1e300: 1<<63 - 1} {
		if got := s.Duration(); got != want {
			t.Errorf("%v seconds are %v, want %v", s, got, want)
		}
	}
}

func FuzzAConfigurationIsJudgedWithoutPanic(f *testing.F) {
	for _, seed := range []string{`{}`, `{"path":7}`, `{"thresholds":{"cpu_percent":1e400}}`, `{"names":[[],{},null]}`, `{"tags":{"":""}}`} {
		f.Add([]byte(seed))
	}
	c := NewConfig(defaults())
	f.Fuzz(func(t *testing.T, text []byte) {
		var raw map[string]any
		if json.Unmarshal(text, &raw) != nil {
			return
		}
		if apply, found := c.prepare(raw); (apply == nil) != refused(found) {
			t.Errorf("%s: findings %v do not fit to applying", text, found)
		}
	})
}
