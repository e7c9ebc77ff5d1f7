package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/upkeephub/upkeep/test/rig"
)

func TestThePublishedComparisonIsTheOneThatWasMeasured(t *testing.T) {
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	want, err := renderedPage(root)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(filepath.Join(root, figuresPage))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s does not show %s: run go run ./test/bench -docs", figuresPage, comparisonJSON)
	}
}

func TestEveryMedianAndRatioOfTheComparisonFollowsFromItsRounds(t *testing.T) {
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(root, comparisonJSON))
	if err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Comparisons) != len(comparisons) {
		t.Fatalf("%d comparisons were measured, want %d", len(r.Comparisons), len(comparisons))
	}
	published := map[string]figure{}
	for _, f := range r.Figures {
		published[f.Name] = f
	}
	for i, c := range r.Comparisons {
		if c.Name != comparisons[i].Name {
			t.Fatalf("comparison %d is %s, want %s", i, c.Name, comparisons[i].Name)
		}
		c.targets, c.Medians = comparisons[i].targets, medians(c.Rounds)
		for _, want := range c.figures(true) {
			if got := published[want.Name]; got != want {
				t.Errorf("%s is published as %+v, and its rounds say %+v", want.Name, got, want)
			}
		}
	}
}
