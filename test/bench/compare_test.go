package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The comparison at 50 events/s is the one at 20, faster.
func TestEveryServerOfTheComparisonDeliversEverythingOnceAndInOrder(t *testing.T) {
	names := []string{saturated.Name, steady.Name, acks.Name, connecting.Name, storm.Name}
	path := filepath.Join(t.TempDir(), "bench.json")
	if code := run([]string{"-short", "-figure", strings.Join(names, ","), "-json", path}); code != 0 {
		t.Errorf("bench -short ended with %d: the output above says what was wrong", code)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var written struct {
		Figures []figure `json:"figures"`
	}
	if err := json.Unmarshal(raw, &written); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !slices.ContainsFunc(written.Figures, func(f figure) bool { return f.Name == name+"_wrong" && f.Met }) {
			t.Errorf("the figures do not say that nothing was wrong in %s:\n%s", name, raw)
		}
	}
}
