package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
)

func TestQuarantineSaysWhoIsKeptOutAndWhyAndLetsThemIn(t *testing.T) {
	h := act(t, true)
	now := time.Now()
	entry := adminapi.Quarantined{
		ID: "qua-3", Kind: "client", Name: "abc\x1b[31m", Address: "10.0.0.7", Measure: "refusals", Share: 0.973, Rate: 52.25,
		Since: now, Until: now.Add(9*time.Minute + 30*time.Second), Incident: "inc-1",
	}
	h.quarantine = adminapi.Quarantine{Entries: []adminapi.Quarantined{entry}}
	var p page
	quarantinePage(&p, h.quarantine, now)
	want := `ID     KIND    NAME      LEFT    INCIDENT  BECAUSE
qua-3  client  abc [31m  9m 30s  inc-1     97% of all refusals, 52.25 a second, from 10.0.0.7
`
	if p.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", p.String(), want)
	}
	if got := verb(t, nil, "quarantine", "list", "--state-dir", h.dir); got.code != exitOK || !strings.Contains(got.out, "qua-3") {
		t.Errorf("list: exit code %d, %v, %q", got.code, got.err, got.out)
	}
	if got := verb(t, nil, "quarantine", "release", "qua-9", "--state-dir", h.dir); got.code != exitFailure || problem.Code(got.err) != problem.NotFound {
		t.Errorf("release of nobody: exit code %d, %v", got.code, got.err)
	}
	if got := verb(t, nil, "quarantine", "release", "qua-3", "--state-dir", h.dir); got.out != "qua-3 released: client abc [31m\n" || got.code != exitOK {
		t.Errorf("release: exit code %d, %v, %q", got.code, got.err, got.out)
	}
	for _, args := range [][]string{{"list"}, {"release", "--all"}} {
		if got := verb(t, nil, append(append([]string{"quarantine"}, args...), "--state-dir", h.dir)...); got.out != "nobody is kept out\n" || got.code != exitOK {
			t.Errorf("%v: exit code %d, %v, %q", args, got.code, got.err, got.out)
		}
	}
	for _, args := range [][]string{{}, {"release"}, {"release", "qua-1", "--all"}, {"lift"}} {
		if got := verb(t, nil, append([]string{"quarantine"}, args...)...); !errors.As(got.err, new(*usageError)) {
			t.Errorf("%v: %v, want a mistake of usage", args, got.err)
		}
	}
}

func TestStatusNamesWhoCausesMost(t *testing.T) {
	rows := suspectRows([]adminapi.Suspect{
		{Kind: "client", Name: "a", Measure: "refusals", Share: 0.9, Rate: 50},
		{Kind: "client", Name: "a", Measure: "bytes", Share: 0.9, Rate: 500},
		{Kind: "client", Name: "b", Measure: "bytes", Share: 0.2, Rate: 50},
		{Kind: "event", Name: "x", Measure: "refusals", Share: 1, Rate: 50},
	})
	if len(rows) != 1 || rows[0][2] != "a: 90% of all refusals, 50 a second" {
		t.Errorf("rows %q: each once, and only who causes at least half", rows)
	}
}
