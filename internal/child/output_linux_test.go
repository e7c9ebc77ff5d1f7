package child

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestFloodIsDroppedAndCounted(t *testing.T) {
	var said []string // Stderr is called from one goroutine, which Done waits for
	p, _ := start(t, "flood", func(s *Spec) { s.Stderr = func(line string) { said = append(said, line) } })
	began := time.Now()
	exit := await(t, p)
	seconds := time.Since(began).Seconds()
	if exit.Code != 0 {
		t.Fatalf("exit is %+v", exit)
	}
	passed, dropped, notices := 0, 0, 0
	for _, line := range said {
		var n int
		if _, err := fmt.Sscanf(line, "[%d lines dropped: more than 200 a second]", &n); err == nil {
			dropped += n
			notices++
			continue
		}
		passed++
	}
	if passed+dropped != 1_000_000 {
		t.Errorf("%d lines passed and %d dropped, want a million in all", passed, dropped)
	}
	if most := defaultLineBurst + int(seconds*defaultLineRate) + 1; passed < defaultLineBurst || passed > most {
		t.Errorf("%d lines passed in %.1f s, want %d to %d", passed, seconds, defaultLineBurst, most)
	}
	if most := int(seconds) + 2; notices < 1 || notices > most {
		t.Errorf("%d notices in %.1f s, want one a second at most", notices, seconds)
	}
	if len(exit.Tail) != defaultTailLines {
		t.Errorf("the tail has %d lines, want %d: dropped lines are in it", len(exit.Tail), defaultTailLines)
	}
}

func TestDroppedLinesAreToldWhileTheChildLives(t *testing.T) {
	errs := newLines()
	start(t, "flood", func(s *Spec) {
		s.Env = append(s.Env, "THEN_STAY=1")
		s.Stderr = errs.add
	})
	for {
		total := 0
		for _, line := range errs.get() {
			var n int
			if _, err := fmt.Sscanf(line, "[%d lines dropped", &n); err == nil {
				total += n
			}
		}
		if total > 1_000_000-10*defaultLineBurst {
			return
		}
		select {
		case <-errs.more:
		case <-time.After(patience):
			t.Fatalf("the child is silent now, and only %d dropped lines were told", total)
		}
	}
}

func TestLongLineIsCut(t *testing.T) {
	p, out := start(t, "long-line", nil)
	await(t, p)
	got := out.get()
	want := strings.Repeat("a", 64<<10) + " … [cut at 65536 bytes]"
	if len(got) != 2 || got[0] != want || got[1] != "next" {
		t.Errorf("%d lines, the first with %d bytes; want the long one cut, then the next", len(got), len(got[0]))
	}
}

func TestLinesAreSanitised(t *testing.T) {
	p, out := start(t, "print", func(s *Spec) { s.Env = append(s.Env, "TEXT=grün\t\x1b[31mred\x07\xff\r\nend") })
	await(t, p)
	if got, want := strings.Join(out.get(), "|"), "grün\t\\x1b[31mred\\x07\\xff|end"; got != want {
		t.Errorf("lines are %q, want %q", got, want)
	}
}

func TestFirstLineIsGivenRawAndTheRestIsDrained(t *testing.T) {
	p, out := start(t, "print", func(s *Spec) {
		s.FirstStdoutRaw = true
		s.Env = append(s.Env, "TEXT=1|1|unix|/tmp/\xff|grpc\r\nsecond\nthird")
	})
	await(t, p) // nobody reads, and yet the child ends
	raw, err := io.ReadAll(p.FirstStdout())
	if want := "1|1|unix|/tmp/\xff|grpc\r\n"; err != nil || string(raw) != want {
		t.Errorf("first line is %q (%v), want %q", raw, err, want)
	}
	if got, want := strings.Join(out.get(), "|"), "second|third"; got != want {
		t.Errorf("the rest is %q, want %q", got, want)
	}
}

func TestFirstLineWithoutAnEndIsBounded(t *testing.T) {
	p, out := start(t, "long-line", func(s *Spec) { s.FirstStdoutRaw = true })
	raw, err := io.ReadAll(p.FirstStdout())
	if err != nil || len(raw) != firstLineLimit+1 || raw[firstLineLimit] != '\n' {
		t.Errorf("first line has %d bytes (%v), want %d and an end", len(raw), err, firstLineLimit)
	}
	if out.await(t, "next") != "" {
		t.Error("the second line is not whole")
	}
}

func TestFirstLineReaderEndsWithASilentChild(t *testing.T) {
	p, _ := start(t, "sleep", func(s *Spec) { s.FirstStdoutRaw = true; s.Env[0] = modeKey + "=ignore-term" })
	r := p.FirstStdout()
	buf := make([]byte, 100)
	if n, err := r.Read(buf); err != nil || string(buf[:n]) != "ready\n" {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := r.Read(buf)
		got <- err
	}()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != io.EOF {
		t.Errorf("read after Close: %v, want io.EOF", err)
	}
}
