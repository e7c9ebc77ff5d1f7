//go:build linux

package pluginhost

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

func withLog(o Options) Options {
	o.Log = hclog.NewNullLogger()
	return o
}

func TestConfigurationComesFromFourPlacesAndTheMostParticularWins(t *testing.T) {
	schema, err := compileSchema(fakeSchema)
	if err != nil {
		t.Fatal(err)
	}
	layers := configLayers{
		manifest:   map[string]any{"word": "manifest", "list": []any{1}, "thresholds": map[string]any{"cpu_percent": 1, "mine": 2}},
		thresholds: map[string]float64{"cpu_percent": 80, "memory_mb": 500},
		strategy:   map[string]any{"warning_threshold": 2, "critical_threshold": 1},
		settings:   map[string]any{"word": "settings"},
	}
	for _, c := range []struct {
		settings map[string]any
		kinds    []Kind
		want     string
		why      string
	}{
		{layers.settings, []Kind{Checker}, `{"list":[1],"thresholds":{"cpu_percent":80,"mine":2},"word":"settings"}`, "only a threshold that the schema names is passed on"},
		{map[string]any{"thresholds": map[string]any{"cpu_percent": 9}}, []Kind{Checker}, `{"list":[1],"thresholds":{"cpu_percent":9,"mine":2},"word":"manifest"}`, "the plugin's own settings win"},
		{nil, []Kind{Recovery}, `{"list":[1],"thresholds":{"cpu_percent":80,"mine":2},"warning_threshold":2,"word":"manifest"}`, "a strategy gets what its schema names"},
	} {
		layers.settings = c.settings
		got, err := json.Marshal(layers.merge(schema, Description{Kinds: c.kinds}))
		if err != nil || string(got) != c.want {
			t.Errorf("%s, %v\nwant %s: %s", got, err, c.want, c.why)
		}
	}
	if got := layers.manifest["thresholds"].(map[string]any)["cpu_percent"]; got != 1 {
		t.Errorf("merging changed its source: %v", got)
	}
	if got := (configLayers{thresholds: layers.thresholds}).merge(nil, Description{}); len(got) != 0 {
		t.Errorf("a plugin without a schema gets %v", got)
	}
}

func TestSchemaThatRefersToItselfEndsTheSearch(t *testing.T) {
	schema, err := compileSchema(`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`)
	if err == nil && property(schema, "x") != nil {
		t.Error("found a property where there is none")
	}
	schema, err = compileSchema(`{"allOf":[{"properties":{"thresholds":{"properties":{"x":{}}}}}]}`)
	if err != nil || property(property(schema, "thresholds"), "x") == nil {
		t.Errorf("a property in allOf was not found (%v)", err)
	}
}

func TestConfigurationThatJSONCannotCarryIsRefused(t *testing.T) {
	if _, err := configToProto(map[string]any{"a": math.NaN()}); err == nil {
		t.Error("NaN was accepted")
	}
	p, err := configToProto(map[string]any{"a": []string{"x"}, "b": map[string]int{"c": 1}})
	if err != nil || p.AsMap()["b"].(map[string]any)["c"] != 1.0 {
		t.Errorf("typed Go values were sent as %v, %v", p, err)
	}
}

func TestDiagnosticsNameEveryMistakeWithItsPath(t *testing.T) {
	warnings, err := judgeDiagnostics([]*pluginv1.Diagnostic{
		{Severity: 2, Path: "a.b", Summary: "is bad", Detail: "want good"}, {Severity: 1, Summary: "odd"}, {Severity: 0, Summary: "no severity"},
	})
	if err == nil || !strings.Contains(err.Error(), "a.b: is bad (want good); no severity") || len(warnings) != 1 {
		t.Errorf("%v, %v", warnings, err)
	}
}

func TestPluginGetsItsConfigurationOrSaysWhatIsWrongWithIt(t *testing.T) {
	dir := pluginDir(t)
	install(t, dir, "good", "good", map[string]any{"config": map[string]any{"word": "from the manifest"}})
	install(t, dir, "bad", "good", nil)
	install(t, dir, "plain", "no-schema", nil)
	install(t, dir, "burdened", "no-schema", nil)
	off := false
	install(t, dir, "off", "good", nil)
	b := run(t, dir, func(o *Options) {
		o.Thresholds = map[string]float64{"cpu_percent": 80}
		o.Settings = map[string]Settings{
			"bad": {Config: map[string]any{"word": "bad"}}, "burdened": {Config: map[string]any{"a": 1}}, "off": {Enabled: &off}, "typo": {},
		}
	})
	b.is("good", Running)
	b.is("plain", Running)
	out, err := b.check("good", "config", patience)
	if err != nil || out.Result.Message != `{"thresholds":{"cpu_percent":80},"word":"from the manifest"}` {
		t.Errorf("%q, %v", out.Result.Message, err)
	}
	if s := b.is("bad", Refused); !strings.Contains(s.LastError, "word: the word is bad (want a good one)") || !strings.Contains(s.LastHint, "plugins.bad.config") {
		t.Errorf("%q (%s)", s.LastError, s.LastHint)
	}
	if s := b.is("burdened", Refused); !strings.Contains(s.LastError, "takes no configuration, but has a") {
		t.Errorf("%q", s.LastError)
	}
	skipped := b.host.Skipped()
	if len(skipped) != 2 || skipped[0].Name != "off" || skipped[1].Name != "typo" || !strings.Contains(skipped[1].Reason, "no such plugin") {
		t.Errorf("skipped: %+v", skipped)
	}
}

func TestPinnedFileRunsOnlyAsItWas(t *testing.T) {
	dir := pluginDir(t)
	exe := install(t, dir, "changed", "good", nil)
	install(t, dir, "tampered", "good", map[string]any{"sha256": strings.Repeat("0", 64)})
	install(t, dir, "settings", "good", nil)
	b := run(t, dir, func(o *Options) { o.Settings = map[string]Settings{"settings": {SHA256: strings.Repeat("1", 64)}} })
	for _, name := range []string{"tampered", "settings"} {
		if s := b.is(name, Refused); !strings.Contains(s.LastError, "its SHA-256 is") || s.PID != 0 {
			t.Errorf("%s: %q", name, s.LastError)
		}
	}
	first := b.is("changed", Running)
	content, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(dir, "changed", "new")
	if err := errors.Join(os.WriteFile(fresh, append(content, '\n'), 0o755), os.Chmod(fresh, 0o755), os.Rename(fresh, exe)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.check("changed", "", patience); err != nil {
		t.Errorf("the running process: %v", err)
	}
	if _, err := b.check("changed", "exit", patience); !errors.Is(err, ErrExited) {
		t.Fatal(err)
	}
	if s := b.is("changed", Refused); !strings.Contains(s.LastError, errChanged.Error()) {
		t.Errorf("a file exchanged under a running host: %q", s.LastError)
	}
	b.instance("changed").Release()
	if s := b.is("changed", Running); s.PID == first.PID {
		t.Error("released, but not started anew")
	}
	if err := os.Chmod(exe, 0o757); err != nil {
		t.Fatal(err)
	}
	if _, err := b.check("changed", "exit", patience); !errors.Is(err, ErrExited) {
		t.Fatal(err)
	}
	if s := b.is("changed", Refused); !strings.Contains(s.LastError, "anybody may write") {
		t.Errorf("a file opened to everybody under a running host: %q", s.LastError)
	}
}

func TestOptionsNameEveryMistake(t *testing.T) {
	_, err := New(Options{RuntimeDir: "/" + strings.Repeat("x", 100)})
	for _, want := range []string{"Options.Dir", "Options.Log", "Options.RuntimeDir", "Options.StartTimeout", "Options.HealthMisses"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestRuntimeFolderIsPrivateAndSwept(t *testing.T) {
	base := shortDir(t)
	runtime := filepath.Join(base, "run")
	if err := os.MkdirAll(filepath.Join(runtime, "plugin-dir123"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := New(withLog(quick(pluginDir(t), runtime))); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(runtime)
	info, statErr := os.Stat(runtime)
	if err != nil || statErr != nil || len(left) != 0 || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v: holds %v with mode %v, want it empty and private", err, statErr, left, info.Mode())
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(runtime, link); err != nil {
		t.Fatal(err)
	}
	if _, err := New(withLog(quick(pluginDir(t), link))); err == nil {
		t.Error("a link was taken as the runtime folder")
	}
}
