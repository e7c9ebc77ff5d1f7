package main

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/upkeephub/upkeep/internal/doctor"
)

func TestDoctorFindsThePortTakenAndEndsWithOne(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	state, plugins := filepath.Join(t.TempDir(), "state"), t.TempDir()
	out, err := execute(t, "", newDoctorCommand, "--port", port, "--state-dir", state, "--plugins", plugins, "--admin", "off")
	if exit, ok := errors.AsType[*exitError](err); !ok || exit.code != 1 {
		t.Errorf("it ends with %v, want exit code 1", err)
	}
	for _, want := range []string{"error  port " + port, "process " + strconv.Itoa(os.Getpid()), "fix: serve on another port: host start --port ", "1 error."} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("it created the state directory")
	}
}

func TestDoctorEndsWithZeroWhereWarningsAreAll(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	state, plugins := filepath.Join(t.TempDir(), "state"), t.TempDir()
	bundle := filepath.Join(t.TempDir(), "report.tar.gz")
	args := []string{"--host", "127.0.0.1", "--port", port, "--state-dir", state, "--plugins", plugins, "--admin", "off", "--json", "--bundle", bundle}
	out, err := execute(t, "", newDoctorCommand, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var report struct {
		Schema   int              `json:"schema_version"`
		Errors   int              `json:"errors"`
		Warnings int              `json:"warnings"`
		Findings []doctor.Finding `json:"findings"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Schema != 1 || report.Errors != 0 || report.Warnings == 0 || len(report.Findings) < 10 {
		t.Errorf("%v\n%s", err, out)
	}
	if info, err := os.Stat(bundle); err != nil || info.Size() == 0 {
		t.Errorf("the bundle is %v, %v", info, err)
	}
	if _, err := execute(t, "", newDoctorCommand, args...); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("a second bundle of the same name: %v", err)
	}
}

func TestDoctorNamesTheMistakesInAConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "upkeep.json")
	if err := os.WriteFile(file, []byte(`{"server": {"prot": 1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := execute(t, "", newDoctorCommand, "--config", file, "--state-dir", filepath.Join(t.TempDir(), "state"), "--plugins", t.TempDir())
	if exit, ok := errors.AsType[*exitError](err); !ok || exit.code != 1 || !strings.Contains(out, "server.prot") || !strings.Contains(out, "error  configuration") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := execute(t, "", newDoctorCommand, "--port", "70000"); !errors.As(err, new(*usageError)) {
		t.Errorf("port 70000: %v", err)
	}
}
