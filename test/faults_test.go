// Package test holds what is proved about the whole: FAULTS.md says which test
// shows each behaviour that is promised, and this test says that they exist.
package test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// line is one behaviour of FAULTS.md with the tests that show it.
type line struct {
	row   string // e.g. "17" or "H4"
	text  string
	tests []string // package folder and test name, e.g. "core/health.TestX"
}

// cited finds the tests in the last cell of a row: `core/health.TestX`.
var cited = regexp.MustCompile("`([a-z0-9/_-]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`")

// readFaults reads the tables of FAULTS.md; a row has three cells.
func readFaults(text string) (lines []line, mistakes []string) {
	for i, raw := range strings.Split(text, "\n") {
		if !strings.HasPrefix(raw, "|") || strings.HasPrefix(raw, "|---") || strings.HasPrefix(raw, "| # |") {
			continue
		}
		cells := strings.Split(strings.Trim(raw, "|"), "|")
		if len(cells) != 3 {
			mistakes = append(mistakes, fmt.Sprintf("line %d has %d cells, want number, behaviour, tests", i+1, len(cells)))
			continue
		}
		l := line{row: strings.TrimSpace(cells[0]), text: strings.TrimSpace(cells[1])}
		for _, m := range cited.FindAllStringSubmatch(cells[2], -1) {
			l.tests = append(l.tests, m[1]+"."+m[2])
		}
		if l.row == "" || l.text == "" || len(l.tests) == 0 {
			mistakes = append(mistakes, fmt.Sprintf("line %d lacks a number, a behaviour or a test: %s", i+1, raw))
		}
		if rest := cited.ReplaceAllString(cells[2], ""); strings.Trim(rest, " ,") != "" {
			mistakes = append(mistakes, fmt.Sprintf("line %d: cannot read %q: tests are cited as `folder.TestName`", i+1, strings.TrimSpace(rest)))
		}
		lines = append(lines, l)
	}
	return lines, mistakes
}

// testsOf lists the tests and fuzz tests that a package folder declares.
func testsOf(dir string) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				found[f.Name.Name] = true
			}
		}
	}
	return found, nil
}

func TestEveryPromisedBehaviourHasItsTest(t *testing.T) {
	text, err := os.ReadFile("FAULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	lines, mistakes := readFaults(string(text))
	for _, m := range mistakes {
		t.Error("FAULTS.md: " + m)
	}
	rows := map[string]bool{}
	declared := map[string]map[string]bool{}
	for _, l := range lines {
		if rows[l.row] {
			t.Errorf("FAULTS.md: row %s stands there twice", l.row)
		}
		rows[l.row] = true
		for _, name := range l.tests {
			dir, test, _ := strings.Cut(name, ".")
			if declared[dir] == nil {
				if declared[dir], err = testsOf(filepath.Join("..", filepath.FromSlash(dir))); err != nil {
					t.Fatal(err)
				}
			}
			if !declared[dir][test] {
				t.Errorf("FAULTS.md: row %s (%s) cites %s, and there is no such test in %s", l.row, l.text, test, dir)
			}
		}
	}
	for n := 1; n <= 35; n++ {
		if !rows[fmt.Sprint(n)] {
			t.Errorf("FAULTS.md: row %d is missing", n)
		}
	}
	t.Logf("%d rows, %d packages: %s", len(lines), len(declared), strings.Join(slices.Sorted(maps.Keys(declared)), ", "))
}

func TestMistakesInTheTableOfFaultsAreFound(t *testing.T) {
	good := "| # | behaviour | tests |\n|---|---|---|\n| 1 | it works | `core/health.TestIt`, `sdk.FuzzThat` |\n"
	lines, mistakes := readFaults(good)
	if len(mistakes) > 0 || len(lines) != 1 || !slices.Equal(lines[0].tests, []string{"core/health.TestIt", "sdk.FuzzThat"}) {
		t.Errorf("a good table is read as %v with the mistakes %v", lines, mistakes)
	}
	for _, bad := range []string{"| 1 | it works |\n", "| 1 | it works | none |\n", "| | it works | `sdk.TestIt` |\n", "| 1 | it works | `sdk.TestIt` and more |\n"} {
		if _, mistakes := readFaults(bad); len(mistakes) == 0 {
			t.Errorf("nothing is found wrong with %q", bad)
		}
	}
}
