package docs

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/upkeephub/upkeep/internal/child"
	"github.com/upkeephub/upkeep/internal/trial"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

var update = flag.Bool("update", false, "write the generated document instead of comparing it")

// bundled are the plugins of the catalogue, in its order.
var bundled = []string{"process", "network", "service", "recovery-graded"}

const catalogueHead = `# What the bundled plugins measure

Written by ` + "`make docs`" + ` from what each plugin says of itself (` + "`Describe`" + `). A metric marked as load is shown and makes a check critical, but
never leads to more than a logged warning by itself: a busy server that answers is not ill. Settings go below
` + "`plugins.NAME.config`" + `; thresholds may also stand in ` + "`health_monitoring.thresholds`" + `.
`

func TestTheCatalogueOfMetricsIsWhatThePluginsDescribe(t *testing.T) {
	build := exec.CommandContext(t.Context(), "make", "build")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	var page strings.Builder
	page.WriteString(catalogueHead)
	for _, name := range bundled {
		writePlugin(t, &page, describe(t, name))
	}
	path := filepath.Join(root, "docs", "plugins", "metrics.md")
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(path); err != nil || string(have) != page.String() {
		t.Errorf("%s is not what the plugins say (%v): run make docs", path, err)
	}
}

func describe(t *testing.T, name string) *pluginv1.DescribeResponse {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, "plugins", name, name))
	if err != nil {
		t.Fatal(err)
	}
	p, err := trial.Start(trial.Options{Spec: child.Spec{Path: path}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.End()
	ctx, cancel := context.WithTimeout(t.Context(), trial.StartTime)
	defer cancel()
	if err := p.Open(ctx); err != nil {
		t.Fatal(err)
	}
	d, err := p.Plugin().Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func writePlugin(t *testing.T, page *strings.Builder, d *pluginv1.DescribeResponse) {
	t.Helper()
	fmt.Fprintf(page, "\n## %s\n\n", d.GetName())
	if trial.Is(d, pluginv1.Kind_KIND_CHECKER) {
		fmt.Fprintf(page, "Its check is `%s`.\n\n| metric | unit | load | |\n|---|---|---|---|\n", cmp.Or(d.GetCheckName(), d.GetName()))
		for _, m := range d.GetMetrics() {
			load := ""
			if m.GetLoad() {
				load = "load"
			}
			fmt.Fprintf(page, "| `%s` | %s | %s | %s |\n", m.GetName(), m.GetUnit(), load, cell(m.GetHelp()))
		}
	}
	if trial.Is(d, pluginv1.Kind_KIND_RECOVERY) {
		page.WriteString("A recovery strategy.\n")
		for _, a := range d.GetActions() {
			fmt.Fprintf(page, "Its own action `%s`: %s\n", a.GetName(), cell(a.GetDescription()))
		}
	}
	var s schema
	if err := json.Unmarshal([]byte(d.GetConfigSchema()), &s); err != nil {
		t.Fatalf("%s: its schema: %v", d.GetName(), err)
	}
	page.WriteString("\n| setting | type | default | |\n|---|---|---|---|\n")
	s.write(page, "")
}

// schema is what the catalogue shows of a JSON Schema.
type schema struct {
	Type        string            `json:"type"`
	Description string            `json:"description"`
	Default     json.RawMessage   `json:"default"`
	Properties  map[string]schema `json:"properties"`
}

func (s schema) write(page *strings.Builder, path string) {
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p := s.Properties[name]
		at := strings.TrimPrefix(path+"."+name, ".")
		if len(p.Properties) > 0 {
			p.write(page, at)
			continue
		}
		value := ""
		if len(p.Default) > 0 {
			value = "`" + string(p.Default) + "`"
		}
		fmt.Fprintf(page, "| `%s` | %s | %s | %s |\n", at, p.Type, value, cell(p.Description))
	}
}

// cell is a text within a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}
