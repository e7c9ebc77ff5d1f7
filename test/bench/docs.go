package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/upkeephub/upkeep/test/rig"
)

const (
	comparisonJSON = "docs/figures/comparison.json"
	figuresPage    = "docs/figures.md"
	docsBegin      = "<!-- from here to the end of the comparison: go run ./test/bench -docs -->\n"
	docsEnd        = "<!-- end of the comparison -->\n"
)

// writeDocs puts the measured comparison into the page.
func writeDocs() int {
	root, err := rig.Root()
	if err == nil {
		var page []byte
		if page, err = renderedPage(root); err == nil {
			err = os.WriteFile(filepath.Join(root, figuresPage), page, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// renderedPage is the page of the figures as it must be.
func renderedPage(root string) ([]byte, error) {
	page, err := os.ReadFile(filepath.Join(root, figuresPage))
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(root, comparisonJSON))
	if err != nil {
		return nil, fmt.Errorf("%w: write it with go run ./test/bench -figure %s -json %s", err, allComparisons, comparisonJSON)
	}
	var r result
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", comparisonJSON, err)
	}
	text, err := r.markdown()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", comparisonJSON, err)
	}
	before, rest, found := bytes.Cut(page, []byte(docsBegin))
	_, after, closed := bytes.Cut(rest, []byte(docsEnd))
	if !found || !closed {
		return nil, fmt.Errorf("%s has no place for the comparison: it begins with %q and ends with %q", figuresPage, docsBegin, docsEnd)
	}
	return slices.Concat(before, []byte(docsBegin), []byte(text), []byte(docsEnd), after), nil
}

// markdown shows the run to readers.
func (r *result) markdown() (string, error) {
	if r.Shortened {
		return "", errors.New("a shortened run says nothing about speed")
	}
	if len(r.Comparisons) != len(comparisons) {
		return "", fmt.Errorf("it holds %d comparisons, want %d: the run was ended, or was of some only", len(r.Comparisons), len(comparisons))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured at %s on %d cores (%s), %d MB, Linux %s, %s; load before: %g. Meanwhile other processes took %g cores, at worst %g. ",
		r.Time, r.CPUs, r.Machine.Processor, r.Machine.MemoryMB, r.Machine.Kernel, r.GoVersion, r.Machine.Load, round3(median(r.others())), round3(slices.Max(append(r.others(), 0))))
	b.WriteString("Medians of three rounds, in parentheses the least and the most.\n\n| target | | measured | medians |\n|---|---|---|---|\n")
	for _, f := range r.Figures {
		if f.Target == "" {
			continue
		}
		verdict := ""
		if !f.Met {
			verdict = " **missed**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s%s | %s |\n", f.What, f.Target, strings.TrimSpace(fmt.Sprintf("%g %s", f.Value, f.Unit)), verdict, f.Note)
	}
	b.WriteString("\n| server | what | version |\n|---|---|---|\n")
	for _, name := range serverNames {
		if s, ok := r.Servers[name]; ok {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", name, s.What, s.Version)
		}
	}
	for _, c := range r.Comparisons {
		known := slices.IndexFunc(comparisons, func(k comparison) bool { return k.Name == c.Name })
		if known < 0 {
			return "", fmt.Errorf("there is no comparison %q", c.Name)
		}
		c.markdown(&b, comparisons[known].columns)
	}
	b.WriteString("\n")
	return b.String(), nil
}

// others is what processes took, round by round, that are not part of the bench.
func (r *result) others() []float64 {
	var cores []float64
	for _, c := range r.Comparisons {
		for _, one := range c.Rounds {
			if v, ok := one.Values[othersCores]; ok {
				cores = append(cores, v)
			}
		}
	}
	return cores
}

func (c *comparison) markdown(b *strings.Builder, columns []column) {
	fmt.Fprintf(b, "\n**%s** (`-figure %s`)\n\n| server |", c.What, c.Name)
	for _, col := range columns {
		fmt.Fprintf(b, " %s |", col.title)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, name := range serverNames {
		values := c.Medians[name]
		if values == nil {
			continue
		}
		fmt.Fprintf(b, "| %s |", name)
		for _, col := range columns {
			fmt.Fprintf(b, " %s |", c.cell(name, col.value))
		}
		b.WriteString("\n")
	}
}

// cell is a median with its range.
func (c *comparison) cell(server, value string) string {
	var all []float64
	for _, r := range c.Rounds {
		if v, ok := r.Values[value]; ok && r.Server == server {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return ""
	}
	least, most := round3(slices.Min(all)), round3(slices.Max(all))
	text := fmt.Sprintf("%g", round3(median(all)))
	if least != most {
		text += fmt.Sprintf(" (%g–%g)", least, most)
	}
	return text
}
