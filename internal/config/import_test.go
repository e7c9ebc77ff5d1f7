package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/upkeephub/upkeep/core/problem"
)

// imported loads what Import made and gives it with the keys that it noticed.
func imported(t *testing.T, files, environ []string) (Config, map[string]string, []byte) {
	t.Helper()
	got, err := Import(files, environ)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "upkeep.json")
	if err := WriteNew(path, got.JSON); err != nil {
		t.Fatal(err)
	}
	cfg, origins, err := Load(Sources{File: path, Environ: []string{"HOME=/home/me"}})
	if err != nil {
		t.Fatalf("%v in\n%s", err, got.JSON)
	}
	if len(origins.Notices()) > 0 {
		t.Errorf("the file that was made earns notices: %v", origins.Notices())
	}
	if err := againstSchema(compileSchema(t), got.JSON); err != nil {
		t.Errorf("%v in\n%s", err, got.JSON)
	}
	notices := map[string]string{}
	for _, n := range got.Notices {
		notices[n.Key] = n.Text
	}
	return cfg, notices, got.JSON
}

func TestTheNestedFileIsTakenOverKeyByKey(t *testing.T) {
	cfg, notices, data := imported(t, []string{"testdata/good/reference.json"}, nil)
	want, err := loadFile("testdata/good/reference.json")
	if err != nil || !reflect.DeepEqual(cfg, want) {
		t.Errorf("imported\n%+v\nwant\n%+v, %v", cfg, want, err)
	}
	for key := range ignoredKeys {
		if !strings.Contains(notices[key], "has no effect") {
			t.Errorf("%s: said %q", key, notices[key])
		}
		if strings.Contains(string(data), strings.TrimPrefix(key, "pid_validation.")+`"`) && strings.HasPrefix(key, "pid_validation.") {
			t.Errorf("%s is in the new file:\n%s", key, data)
		}
	}
	if len(notices) != len(ignoredKeys) {
		t.Errorf("notices %v", notices)
	}
	if !strings.HasPrefix(string(data), "{\n  \"$schema\": \""+SchemaID+"\",\n  \"server\": {") {
		t.Errorf("the file begins\n%.200s", data)
	}
}

func TestTheFlatFileAndTheVariablesAreTranslated(t *testing.T) {
	cfg, notices, _ := imported(t, []string{"testdata/import/flat.json"}, []string{
		"CLAUDE_MPM_SOCKETIO_PORT=9100", "CLAUDE_MPM_SOCKETIO_HISTORY_SIZE=500", "CLAUDE_MPM_SOCKETIO_PING_TIMEOUT=30", "CLAUDE_MPM_SOCKETIO_MODE=auto",
		"CLAUDE_MPM_SOCKETIO_COLOUR=blue", "CLAUDE_MPM_OTHER=1", "HOME=/elsewhere",
	})
	want := Default()
	want.Server.Host, want.Server.Port, want.Server.ServerID = "0.0.0.0", 9100, "prod-1"
	want.Events.History = 500
	want.HealthMonitoring.CheckInterval = seconds(15)
	want.Logging.Level, want.Logging.File = "warn", filepath.Join("/home/me", "socketio.log")
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("imported\n%+v\nwant\n%+v", cfg, want)
	}
	for key, part := range map[string]string{
		"cors_allowed_origins": "unless server.allowed_origins names them", "ping_timeout": "60 s", "ping_interval": "25 s", "max_http_buffer_size": "1000000",
		"min_client_version": "0.7.0", "deployment_mode": "concerns the client", "auto_start": "concerns the client", "persistent": "concerns the client",
		"max_connection_attempts": "concerns the client", "reconnection_delay": "concerns the client",
		"CLAUDE_MPM_SOCKETIO_PING_TIMEOUT": "60 s", "CLAUDE_MPM_SOCKETIO_MODE": "concerns the client", "CLAUDE_MPM_SOCKETIO_COLOUR": "no variable",
		"favourite": "no key",
	} {
		if !strings.Contains(notices[key], part) {
			t.Errorf("%s: said %q, want %q", key, notices[key], part)
		}
	}
	if len(notices) != 14 {
		t.Errorf("%d notices: %v", len(notices), notices)
	}
}

func TestVariablesAloneCanBeImported(t *testing.T) {
	cfg, notices, _ := imported(t, nil, []string{
		"CLAUDE_MPM_SOCKETIO_HOST=localhost", "CLAUDE_MPM_SOCKETIO_SERVER_ID=a", "CLAUDE_MPM_SOCKETIO_CORS=", "CLAUDE_MPM_SOCKETIO_LOG_LEVEL=INFO", "CLAUDE_MPM_DEBUG=1",
	})
	want := Default()
	want.Server.ServerID, want.Server.EnableCORS, want.Logging.Level = "a", false, "debug"
	if !reflect.DeepEqual(cfg, want) || len(notices) != 1 {
		t.Errorf("imported %+v, notices %v", cfg, notices)
	}
	if got, err := Import(nil, []string{"PATH=/bin"}); err != nil || !got.Empty {
		t.Errorf("nothing to import gives %+v, %v", got, err)
	}
}

func TestWhatCannotBeImportedIsRefusedByNameAndFile(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flat := file("flat.json", "{\"log_level\": \"LOUD\",\n\"max_history_size\": 0}")
	nested := file("nested.json", `{"health_monitoring": {"thresholds": {"cpu_percent": 150}}}`)
	_, err := Import([]string{flat, nested}, []string{"CLAUDE_MPM_SOCKETIO_PORT=eighty"})
	p, _ := errors.AsType[*problem.Error](err)
	if p == nil || p.Code != problem.ConfigInvalid {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		`logging.level (line 1 of ` + flat + `): got the text "LOUD"`, "events.history (line 2 of " + flat + "): got 0",
		"health_monitoring.thresholds.cpu_percent (line 1 of " + nested + "): got 150",
		`server.port (CLAUDE_MPM_SOCKETIO_PORT): got the text "eighty"`,
	} {
		if !strings.Contains(p.Why, want) {
			t.Errorf("%q is missing in\n%s", want, p.Why)
		}
	}
	for _, text := range []string{"", "[]", "{"} {
		if _, err := Import([]string{file("broken.json", text)}, nil); problem.Code(err) != problem.ConfigInvalid || !strings.Contains(err.Error(), "broken.json") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Import([]string{filepath.Join(dir, "absent.json")}, nil); problem.Code(err) != problem.ConfigInvalid {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestUnknownNestedKeysAreLeftOutAndSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mixed.json")
	if err := os.WriteFile(path, []byte(`{"port": 9000, "server": {"workers": 4, "host": null}, "dashboard": {"theme": "dark"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, notices, data := imported(t, []string{path}, nil)
	if cfg.Server.Port != 9000 || notices["server.workers"] == "" || notices["dashboard.theme"] == "" || len(notices) != 2 {
		t.Errorf("imported %s with notices %v", data, notices)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil || len(m) != 2 {
		t.Errorf("the file has %v, %v", m, err)
	}
}

func TestAFileThatExistsIsNeverOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.json")
	if err := WriteNew(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := WriteNew(path, []byte("two")); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v", err)
	}
	if data, err := os.ReadFile(path); string(data) != "one" || err != nil {
		t.Errorf("it has %q, %v", data, err)
	}
}
