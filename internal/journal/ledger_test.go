package journal

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

type remembered struct {
	N       int    `json:"n"`
	Journal Head   `json:"journal"`
	Padding string `json:"padding,omitempty"`
}

// keeping is a ledger that is being written.
type keeping struct {
	*Ledger
	t    *testing.T
	log  *said
	end  context.CancelFunc
	done chan error
}

func keep(t *testing.T, o LedgerOptions) *keeping {
	t.Helper()
	k := &keeping{t: t, log: &said{}, done: make(chan error, 1)}
	o.Log = k.log.logger()
	k.Ledger = NewLedger(o)
	ctx, cancel := context.WithCancel(t.Context())
	k.end = cancel
	go func() { k.done <- k.Run(ctx) }()
	return k
}

func (k *keeping) stop() {
	k.t.Helper()
	k.end()
	if err := <-k.done; err != nil {
		k.t.Fatal(err)
	}
}

func TestTheLedgerIsReadBackAsItWasSaved(t *testing.T) {
	dir := t.TempDir()
	var got remembered
	if err := LoadLedger(dir, &got); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a folder without one: %v", err)
	}
	want := remembered{N: 7, Journal: Head{3, "abc"}}
	before := NewLedger(LedgerOptions{Dir: dir, Content: func() any { return remembered{N: 6} }})
	if err := errors.Join(before.Write(), LoadLedger(dir, &got)); err != nil || got.N != 6 {
		t.Fatalf("written before Run: %+v, %v", got, err)
	}
	k := keep(t, LedgerOptions{Dir: dir, Content: func() any { return want }})
	if err := k.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := LoadLedger(dir, &got); err != nil || got != want {
		t.Errorf("read %+v, %v; want %+v", got, err, want)
	}
	if head, err := KnownHead(dir); err != nil || head != want.Journal {
		t.Errorf("the journal's end is %+v, %v", head, err)
	}
	info, err := os.Stat(filepath.Join(dir, ledgerName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	k.stop()
	if err := k.Save(t.Context()); !errors.Is(err, ErrEnded) {
		t.Errorf("Save after the end: %v", err)
	}
}

func TestAChangeIsWrittenSoonAndNotMoreOftenThanNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var n, made atomic.Int32
		k := keep(t, LedgerOptions{
			Dir:     dir,
			Content: func() any { return remembered{N: int(n.Load())} },
			create: func(dir string) (ledgerFile, error) {
				made.Add(1)
				return os.CreateTemp(dir, ".ledger.json.*")
			},
		})
		for range 100 { // a change each 10 ms, for a second
			n.Add(1)
			k.Changed()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(ledgerPace)
		synctest.Wait()
		var got remembered
		if err := LoadLedger(dir, &got); err != nil || got.N != 100 {
			t.Errorf("read %+v, %v; want the newest", got, err)
		}
		if m := made.Load(); m < 3 || m > 6 {
			t.Errorf("written %d times in a second, want about 4", m)
		}
		was := made.Load()
		k.Changed() // and nothing is new
		time.Sleep(time.Second)
		if made.Load() != was {
			t.Error("the same content was written again")
		}
		n.Add(1)
		k.stop()
		if err := LoadLedger(dir, &got); err != nil || got.N != 101 {
			t.Errorf("after the end %+v, %v; want the last content", got, err)
		}
	})
}

func TestALedgerThatCannotBeUsedIsPutAsideAndSaid(t *testing.T) {
	good := func(t *testing.T) string {
		dir := t.TempDir()
		k := keep(t, LedgerOptions{Dir: dir, Content: func() any { return remembered{N: 7} }})
		k.stop()
		text, err := os.ReadFile(filepath.Join(dir, ledgerName))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}(t)
	for _, c := range []struct {
		why, text, says string
		newer           bool
	}{
		{"it is empty", "", "damaged", false},
		{"it is cut off", good[:len(good)/2], "damaged", false},
		{"it is zeros", strings.Repeat("\x00", 300), "damaged", false},
		{"a number is another", strings.Replace(good, `"n":7`, `"n":8`, 1), "does not fit its checksum", false},
		{"it is of a newer host", strings.Replace(good, `"version":1`, `"version":2`, 1), "this host knows version 1", true},
		{"it is something else", `{"hello":"world"}`, "damaged", false},
		{"its content has another shape", func() string {
			content := `{"n":"seven"}`
			text, _ := json.Marshal(envelope{1, time.Now(), sum([]byte(content)), json.RawMessage(content)})
			return string(text)
		}(), "not understood", false},
	} {
		t.Run(c.why, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, ledgerName)
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var got remembered
			err := LoadLedger(dir, &got)
			var aside *AsideError
			if !errors.As(err, &aside) || !strings.Contains(aside.Why, c.says) || aside.Newer != c.newer || aside.Path == "" {
				t.Fatalf("%v, want it put aside because it %s", err, c.says)
			}
			kept, err := os.ReadFile(aside.Path)
			if err != nil || string(kept) != c.text {
				t.Errorf("%q, %v: want it kept as it was", kept, err)
			}
			if err := LoadLedger(dir, &got); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is still in the way: %v", err)
			}
		})
	}
}

func TestOnlyAFewLedgersArePutAside(t *testing.T) {
	dir := t.TempDir()
	var last string
	for range 9 {
		if err := os.WriteFile(filepath.Join(dir, ledgerName), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		var aside *AsideError
		if err := LoadLedger(dir, &remembered{}); !errors.As(err, &aside) {
			t.Fatal(err)
		}
		last = aside.Path
	}
	kept, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(kept) != maxAside || kept[len(kept)-1] != last {
		t.Errorf("kept %v, %v; want the last %d", kept, err, maxAside)
	}
}

func TestALedgerThatIsALinkIsNotFollowed(t *testing.T) {
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(target, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(dir, ledgerName)); err != nil {
		t.Fatal(err)
	}
	var aside *AsideError
	if err := LoadLedger(dir, &remembered{}); !errors.As(err, &aside) {
		t.Errorf("%v, want it put aside", err)
	}
	k := keep(t, LedgerOptions{Dir: dir, Content: func() any { return remembered{N: 7} }})
	k.stop()
	if text, err := os.ReadFile(target); err != nil || string(text) != "mine" {
		t.Errorf("the file behind the link is %q, %v", text, err)
	}
}

func TestALedgerOnAFullDiskIsTriedAgainAndTheOldOneStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var full atomic.Bool
		var n atomic.Int32
		k := keep(t, LedgerOptions{
			Dir: dir, Content: func() any { return remembered{N: int(n.Load())} },
			create: func(dir string) (ledgerFile, error) {
				f, err := os.CreateTemp(dir, ".ledger.json.*")
				if err != nil {
					return nil, err
				}
				return &watched{File: f, refuse: func(n int) (int, error) {
					if full.Load() {
						return n / 2, syscall.ENOSPC
					}
					return 0, nil
				}}, nil
			},
		})
		n.Store(1)
		if err := k.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
		full.Store(true)
		n.Store(2)
		if err := k.Save(t.Context()); err == nil || k.Trouble() == "" {
			t.Errorf("%v, trouble %q: want both to say that the disk is full", err, k.Trouble())
		}
		var got remembered
		if err := LoadLedger(dir, &got); err != nil || got.N != 1 {
			t.Errorf("%+v, %v: want the old one", got, err)
		}
		full.Store(false)
		time.Sleep(2 * ledgerRetry)
		synctest.Wait()
		if err := LoadLedger(dir, &got); err != nil || got.N != 2 || k.Trouble() != "" {
			t.Errorf("%+v, %v, trouble %q: want the new one without being asked", got, err, k.Trouble())
		}
		k.stop()
		if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
		for _, want := range []string{"would forget", "written again"} {
			if strings.Count(k.log.String(), want) != 1 {
				t.Errorf("the log says %q %d times, want once", want, strings.Count(k.log.String(), want))
			}
		}
	})
}
