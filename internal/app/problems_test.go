package app

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/upkeephub/upkeep/core/problem"
)

// Row 78.
func TestAPortConflictAtStartNamesWhoHasThePort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	var log bytes.Buffer
	_, err = New(Options{Plugins: t.TempDir(), Port: &port, Admin: AdminOff, StateDir: filepath.Join(t.TempDir(), "state"), Stdout: &log, Stderr: &log})
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Code != problem.PortConflict {
		t.Fatalf("got %v, want %s", err, problem.PortConflict)
	}
	who, ok := p.Context["conflicting_process"].(problem.Process)
	if !ok || who.PID != os.Getpid() || who.Name == "" || who.CommandLine == "" {
		t.Errorf("conflicting_process is %+v, want this process", p.Context["conflicting_process"])
	}
	for _, want := range []string{"PID: " + strconv.Itoa(os.Getpid()), taken.Addr().String(), "host start --port"} {
		if !strings.Contains(p.Text(), want) {
			t.Errorf("%q is missing in\n%s", want, p.Text())
		}
	}
}
