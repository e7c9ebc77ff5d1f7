package child

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// modeKey makes the test binary play a child instead of running tests.
const modeKey = "CHILD_TEST_MODE"

// raceExit spares a child that was built with the race detector its last second.
const raceExit = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if mode := os.Getenv(modeKey); mode != "" {
		play(mode)
		return
	}
	os.Exit(m.Run())
}

// play is the life of a child in the given mode.
func play(mode string) {
	switch mode {
	case "sleep": // says its pid and stays
		fmt.Println(os.Getpid())
		forever()
	case "ignore-term":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		forever()
	case "flood": // 100 MB on standard error, in lines of 100 bytes
		line := append(bytes.Repeat([]byte{'x'}, 99), '\n')
		w := bufio.NewWriterSize(os.Stderr, 1<<16)
		for range 1_000_000 {
			_, _ = w.Write(line)
		}
		_ = w.Flush()
		if os.Getenv("THEN_STAY") != "" {
			forever()
		}
	case "holder": // leaves a process behind that holds its pipes
		grand := exec.Command("/proc/self/exe")
		grand.Env = append(os.Environ(), modeKey+"=sleep")
		grand.Stdout, grand.Stderr = os.Stdout, os.Stderr
		grand.SysProcAttr = &syscall.SysProcAttr{Setsid: os.Getenv("OWN_SESSION") != ""}
		if err := grand.Start(); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, "last words")
		if os.Getenv("THEN_STAY") != "" {
			forever()
		}
	case "exit7":
		for i := range 30 {
			fmt.Fprintf(os.Stderr, "line %d\n", i)
		}
		fmt.Fprint(os.Stderr, "cannot go on")
		os.Exit(7)
	case "spin":
		fmt.Println("ready")
		for began := time.Now(); time.Since(began) < time.Minute; {
		}
	case "stop-self":
		fmt.Println("ready")
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		forever()
	case "print": // what it was told, on standard output
		_, _ = io.WriteString(os.Stdout, os.Getenv("TEXT"))
	case "long-line":
		fmt.Println(strings.Repeat("a", 200<<10))
		fmt.Println("next")
	case "until-stdin-ends":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
		fmt.Println("end of input")
	case "environment":
		for _, entry := range os.Environ() {
			fmt.Println(entry)
		}
		wd, _ := os.Getwd()
		fmt.Println("dir", wd)
		fmt.Println("args", os.Args)
	case "file4": // reads its second extra file
		data, err := io.ReadAll(os.NewFile(4, "extra"))
		fmt.Println(string(data), err)
	case "descriptors":
		entries, _ := os.ReadDir("/proc/self/fd")
		for _, entry := range entries {
			target, err := os.Readlink("/proc/self/fd/" + entry.Name())
			if err == nil {
				fmt.Println(entry.Name(), target)
			}
		}
	case "middle": // a parent: starts a child of its own and reports it
		p, err := Start(Spec{
			Path:   "/proc/self/exe",
			Env:    []string{modeKey + "=" + os.Getenv("CHILD_MODE"), "THEN_STAY=1", "OWN_SESSION=1", "TEST_MARKER=" + NewMarker(os.Getenv("MARKER_DIR")).String()},
			Stdout: func(line string) { fmt.Println("says", line) },
		})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("child", p.PID())
		<-p.Done()
		fmt.Println("child ended", p.Exit())
	default:
		fmt.Println("unknown mode", mode)
		os.Exit(2)
	}
}

// forever outlasts any test, and yet not for ever.
func forever() {
	time.Sleep(5 * time.Minute)
	os.Exit(99)
}
