package main

import (
	"strings"
	"testing"
)

func TestFiguresOfAComparisonAreRatiosOfMedians(t *testing.T) {
	one := func(server string, value float64) round {
		return round{Server: server, Values: map[string]float64{"v": value}}
	}
	c := comparison{
		Rounds: []round{one(upkeep, 300), one(node, 50), one(upkeep, 900), one(node, 70), one(upkeep, 280), one(node, 60)},
		targets: []target{
			{name: "enough", value: "v", against: node, limit: 5, atLeast: true},
			{name: "too much", value: "v", against: node, limit: 4.9},
			{name: "alone", value: "v", limit: 301, unit: "KB"},
			{name: "nobody", value: "v", against: python, limit: 1},
		},
	}
	c.Medians = medians(c.Rounds)
	for _, want := range []struct {
		name  string
		value float64
		met   bool
	}{{"enough", 5, true}, {"too much", 5, false}, {"alone", 300, true}} {
		found := false
		for _, f := range c.figures(true) {
			if f.Name == want.name {
				found = true
				if f.Value != want.value || f.Met != want.met {
					t.Errorf("%+v, want %+v", f, want)
				}
			}
			if f.Name == "nobody" {
				t.Errorf("a ratio to a server that was not measured: %+v", f)
			}
		}
		if !found {
			t.Errorf("%s is missing", want.name)
		}
	}
}

func TestWhatIsWrongFailsTheRunUnlessAPeerIsOverloaded(t *testing.T) {
	wrong := func(server string, overload bool) *comparison {
		return &comparison{Name: "c", Rounds: []round{{Server: server, Round: 2, Overload: overload, Wrong: []string{"3 are missing"}}}}
	}
	for _, c := range []struct {
		why  string
		c    *comparison
		want bool
	}{
		{"Upkeep lost something", wrong(upkeep, false), false},
		{"a peer lost something that it should take", wrong(node, false), false},
		{"a peer lost something in overload", wrong(node, true), true},
		{"nothing was lost", &comparison{Name: "c", Rounds: []round{{Server: upkeep}}}, true},
	} {
		figures := c.c.figures(true)
		f := figures[len(figures)-1]
		if f.Name != "c_wrong" || f.Met != c.want || (!c.want && !strings.Contains(f.Note, "3 are missing")) {
			t.Errorf("%s: %+v, want met %t", c.why, f, c.want)
		}
	}
}
