package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/upkeephub/upkeep/internal/adminapi"
)

// terminal opens a pseudo terminal and gives its two ends.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	var number, unlocked uint32
	for request, value := range map[uintptr]*uint32{syscall.TIOCSPTLCK: &unlocked, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}

func TestColourOnlyOnATerminalThatWantsIt(t *testing.T) {
	_, slave := terminal(t)
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, tc := range []struct {
		why  string
		out  *os.File
		env  map[string]string
		want bool
	}{
		{"a terminal", slave, nil, true},
		{"NO_COLOR", slave, map[string]string{"NO_COLOR": "1"}, false},
		{"a dumb terminal", slave, map[string]string{"TERM": "dumb"}, false},
		{"a file", file, nil, false},
	} {
		c := &cli{stdout: tc.out, getenv: func(k string) string { return tc.env[k] }}
		if got := c.colour(); got != tc.want {
			t.Errorf("%s: colour %v, want %v", tc.why, got, tc.want)
		}
	}
}

func TestColouredColumnsStandUnderEachOther(t *testing.T) {
	s := adminapi.Status{Status: "critical", Phase: "running", Checks: []adminapi.CheckState{{Name: "a", Status: "critical"}, {Name: "b", Status: "healthy"}}}
	plain, coloured := &page{}, &page{colour: true}
	statusPage(plain, s)
	statusPage(coloured, s)
	if !strings.Contains(coloured.String(), "\x1b[31mcritical\x1b[0m") || !strings.Contains(coloured.String(), "\x1b[31mCRITICAL\x1b[0m") {
		t.Errorf("no colour in %q", coloured.String())
	}
	bare := coloured.String()
	for _, code := range []string{"\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[35m", "\x1b[0m"} {
		bare = strings.ReplaceAll(bare, code, "")
	}
	if bare != plain.String() {
		t.Errorf("without its colours:\n%s\nwant:\n%s", bare, plain.String())
	}
}
