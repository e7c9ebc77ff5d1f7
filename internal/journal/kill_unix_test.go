//go:build unix

package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The test binary runs itself as a writer that is killed: kill -9 leaves what
// the kernel has, whole or cut off wherever the writer was.

const (
	writerDir   = "UPKEEP_TEST_JOURNAL_WRITER"
	writerPause = "UPKEEP_TEST_JOURNAL_PAUSE" // where in the n-th write of the ledger, or of the journal, it stands still
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		writeUntilKilled(dir, os.Getenv(writerPause))
	}
	os.Exit(m.Run())
}

// writeUntilKilled writes journal and ledger as fast as it can, and says on its
// standard output what is safe: the number of the last record and ledger.
func writeUntilKilled(dir, pause string) {
	where, count, _ := strings.Cut(pause, ":")
	left, _ := strconv.Atoi(count)
	stand := func(at string) {
		if at != where {
			return
		}
		if left--; left < 0 {
			fmt.Println("stands")
			select {} // until it is killed
		}
	}
	jo := DefaultOptions()
	jo.Dir, jo.SegmentBytes, jo.MaxBytes = dir+"/journal", 8<<10, 64<<10
	jo.open = func(path string) (file, error) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		stand("segment-open")
		return &halting{File: f, stand: stand, name: "journal"}, nil
	}
	j := New(jo)
	n := 0
	l := NewLedger(LedgerOptions{
		Dir: dir, Content: func() any {
			return remembered{N: n, Journal: j.State().Synced, Padding: strings.Repeat("p", 20_000)}
		},
		create: func(dir string) (ledgerFile, error) {
			f, err := os.CreateTemp(dir, ".ledger.json.*")
			if err != nil {
				return nil, err
			}
			return &halting{File: f, stand: stand, name: "ledger"}, nil
		},
	})
	ctx := context.Background()
	go func() { _ = j.Run(ctx) }()
	go func() { _ = l.Run(ctx) }()
	for n = 1; ; n++ {
		j.Append("note", "", note{N: n, Text: strings.Repeat("t", n%500)})
		if err := j.Sync(ctx); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("record", n)
		if err := l.Save(ctx); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("ledger", n)
	}
}

// halting is a file that can stand still in the middle of a write, before its
// sync and after it.
type halting struct {
	*os.File
	stand func(string)
	name  string
}

func (h *halting) Write(p []byte) (int, error) {
	half := len(p) / 2
	if n, err := h.File.Write(p[:half]); err != nil {
		return n, err
	}
	h.stand(h.name + "-half")
	n, err := h.File.Write(p[half:])
	h.stand(h.name + "-written")
	return half + n, err
}

func (h *halting) Sync() error {
	err := h.File.Sync()
	h.stand(h.name + "-synced")
	return err
}

func TestNothingThatWasSafeIsLostWhenTheWriterIsKilledAnywhere(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rounds := 240
	if testing.Short() {
		rounds = 40
	}
	pauses := []string{"journal-half", "journal-written", "journal-synced", "segment-open", "ledger-half", "ledger-written", "ledger-synced", ""}
	random := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	torn := 0
	record, ledger := 0, 0
	for round := range rounds {
		pause := pauses[round%len(pauses)]
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), writerDir+"="+dir)
		if pause != "" {
			cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%s:%d", writerPause, pause, random.IntN(6)))
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		record, ledger = 0, 0
		stop := 1 + random.IntN(20) // lines after which it is killed, whatever it does
		said := bufio.NewScanner(out)
		for lines := 0; said.Scan(); {
			word, rest, _ := strings.Cut(said.Text(), " ")
			switch n, _ := strconv.Atoi(rest); word {
			case "record":
				record = n
			case "ledger":
				ledger = n
			case "error":
				t.Errorf("round %d: the writer: %s", round, rest)
			}
			if lines++; word == "stands" || pause == "" && lines >= stop {
				if pause == "" {
					time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond) // where it is hit is the point
				}
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		why := fmt.Sprintf("round %d, killed at %q", round, pause)

		var got remembered
		switch err := LoadLedger(dir, &got); {
		case errors.Is(err, fs.ErrNotExist) && ledger == 0 && round == 0:
			// the first kill came before the first ledger
		case err != nil:
			t.Fatalf("%s: %v", why, err)
		case ledger > 0 && got.N < ledger:
			t.Fatalf("%s: the ledger is number %d, and number %d was safe", why, got.N, ledger)
		}
		v, err := Verify(dir+"/journal", got.Journal)
		if err != nil || v.Altered != nil {
			t.Fatalf("%s: %v, %v", why, v.Altered, err)
		}
		if v.Torn > 0 {
			torn++
		}
		newest := 0
		if kept := notes(t, dir+"/journal"); len(kept) > 0 {
			newest = kept[len(kept)-1]
		}
		if record > 0 && newest < record {
			t.Fatalf("%s: the newest record is number %d, and number %d was safe", why, newest, record)
		}
	}
	j := run(t, dir+"/journal", small) // and what the last one left is repaired
	j.sync()
	j.stop()
	if v := sound(t, dir+"/journal"); v.Torn != 0 {
		t.Errorf("%+v: still torn", v)
	}
	if torn < rounds/16 {
		t.Errorf("the journal was torn in %d of %d rounds: the test does not hit where it should", torn, rounds)
	}
	t.Logf("%d kills, %d torn ends", rounds, torn)
}
