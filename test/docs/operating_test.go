package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/config"
)

// command is a line of a document that begins with "$", with the lines that it
// must print; or a file that the reader writes.
type command struct {
	line int
	text string
	exit int
	want []string
	file string // its path; text is its content
}

var exitMark = regexp.MustCompile(`\s+# exit (\d+)$`)

// commands are those of the console blocks of a document that are for the
// platform: "```console" is for all, "```console unix" and "```console windows"
// for some. A block of another kind with a path, "```go mine/main.go", is a file.
func commands(document, goos string) ([]command, error) {
	var found []command
	inside, ours, file := false, false, false
	for i, line := range strings.Split(document, "\n") {
		if fence, is := strings.CutPrefix(strings.TrimSpace(line), "```"); is {
			words := strings.Fields(fence)
			if file = !inside && !file && len(words) == 2 && words[0] != "console"; file {
				found = append(found, command{line: i + 1, file: words[1]})
				continue
			}
			inside = !inside && len(words) > 0 && words[0] == "console"
			ours = inside && (len(words) == 1 || words[1] == goos || words[1] == "unix" && goos != "windows")
			continue
		}
		if file {
			found[len(found)-1].text += line + "\n"
			continue
		}
		if !ours {
			continue
		}
		text, is := strings.CutPrefix(line, "$ ")
		switch {
		case is:
			c := command{line: i + 1, text: text}
			if m := exitMark.FindStringSubmatch(text); m != nil {
				c.text = strings.TrimSuffix(text, m[0])
				c.exit, _ = strconv.Atoi(m[1]) // digits only
			}
			found = append(found, c)
		case len(found) == 0:
			return nil, fmt.Errorf("line %d: output before any command", i+1)
		case strings.TrimSpace(line) != "" && strings.TrimSpace(line) != "...":
			found[len(found)-1].want = append(found[len(found)-1].want, line)
		}
	}
	return found, nil
}

// missing gives the first wanted line that is not in the output, where the lines
// must come in order; "..." stands for anything, and spaces count once.
func missing(output string, want []string) string {
	lines := strings.Split(output, "\n")
	for _, w := range want {
		parts := strings.Split(strings.Join(strings.Fields(w), " "), "...")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(strings.TrimSpace(parts[i]))
		}
		pattern := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		at := 0
		for at < len(lines) && !pattern.MatchString(strings.Join(strings.Fields(lines[at]), " ")) {
			at++
		}
		if at == len(lines) {
			return w
		}
		lines = lines[at+1:]
	}
	return ""
}

func TestConsoleBlocksAreReadAsWritten(t *testing.T) {
	document := "text\n```console\n$ one # exit 3\nout ...\n...\n$ two\n```\n```console windows\n$ three\n```\n```json\n$ no\n```\n```console unix\n$ four\n```\n"
	for goos, want := range map[string]string{"linux": "one,two,four", "windows": "one,two,three"} {
		got, err := commands(document, goos)
		var texts []string
		for _, c := range got {
			texts = append(texts, c.text)
		}
		if err != nil || strings.Join(texts, ",") != want || got[0].exit != 3 || len(got[0].want) != 1 {
			t.Errorf("%s: %+v, %v, want %s", goos, got, err, want)
		}
	}
	got, err := commands("```go a/b.go\npackage a\n\n$ no command\n```\n```console\n$ one\n```\n```go\nshown only\n```\n", "linux")
	if err != nil || len(got) != 2 || got[0].file != "a/b.go" || got[0].text != "package a\n\n$ no command\n" || got[1].text != "one" || got[1].file != "" {
		t.Errorf("a file and a command are %+v, %v", got, err)
	}
	if _, err := commands("```console\nout\n```", "linux"); err == nil {
		t.Error("output without a command is no mistake")
	}
	for _, tc := range []struct {
		output, want, missing string
	}{
		{"a  b\nc\n", "a b|c", ""}, {"x\nok port 1 free\n", "ok  port ... free", ""}, {"c\na\n", "a|c", "c"}, {"ab\n", "a", "a"}, {"ab\n", "a...", ""},
	} {
		if got := missing(tc.output, strings.Split(tc.want, "|")); got != tc.missing {
			t.Errorf("%q in %q: %q is missing, want %q", tc.want, tc.output, got, tc.missing)
		}
	}
}

// root is the top folder of the repository, as tests see it.
var root = filepath.Join("..", "..")

// operating are the documents for operators, by their path below docs.
func operating(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "docs", "operating", "*.md"))
	if err != nil || len(paths) < 8 {
		t.Fatalf("pages are %v, %v", paths, err)
	}
	pages := map[string]string{}
	for _, path := range append(paths, filepath.Join(root, "docs", "command-line.md")) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(filepath.Join(root, "docs"), path)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.ToSlash(name)] = string(data)
	}
	return pages
}

var (
	link       = regexp.MustCompile(`\]\(([^)#]+)`)
	explained  = regexp.MustCompile(`host explain ([a-z_]{3,})`)
	codeCell   = regexp.MustCompile("(?m)^\\| `([a-z]+_[a-z_]+)` \\| \\d")
	phraseCell = regexp.MustCompile("(?m)^\\| (`[^|]+`) \\|")
	quoted     = regexp.MustCompile("`([^`]+)`")
)

func TestOperatingDocumentsNameWhatExists(t *testing.T) {
	pages := operating(t)
	known := map[string]bool{}
	for _, code := range problem.Codes() {
		known[code] = true
	}
	links := 0
	for name, text := range pages {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			links++
			if _, err := os.Stat(filepath.Join(root, "docs", filepath.Dir(name), m[1])); err != nil && !strings.HasPrefix(m[1], "https://") {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, m := range append(explained.FindAllStringSubmatch(text, -1), codeCell.FindAllStringSubmatch(text, -1)...) {
			if !known[m[1]] {
				t.Errorf("%s: there is no code %s", name, m[1])
			}
		}
	}
	if links < 10 {
		t.Errorf("only %d links were found", links)
	}
}

// bare is a command outside of a console block, which no test would run.
var bare = regexp.MustCompile("(?m)^(?:    +|\\$ )(?:host|curl|make|ss|lsof|ps) .*$|^```(?:sh|bash|shell).*$")

func TestEveryCommandInTheOperatingDocumentsIsInABlockThatIsRun(t *testing.T) {
	block := regexp.MustCompile("(?ms)^```console.*?^```$")
	for name, text := range operating(t) {
		for _, line := range bare.FindAllString(block.ReplaceAllString(text, ""), -1) {
			t.Errorf("%s: %q stands in no console block", name, line)
		}
	}
	if !bare.MatchString("text\n\n    host doctor\n") || !bare.MatchString("```sh\nhost doctor\n```") || bare.MatchString("the host runs") {
		t.Error("bare commands are not found, or found where there are none")
	}
}

// settings are the indented blocks of a document that show configuration.
var settings = regexp.MustCompile(`(?m)(?:^    [{"].*\n(?:^    .*\n)*)`)

func TestConfigurationInTheOperatingDocumentsIsValid(t *testing.T) {
	found := 0
	for name, text := range operating(t) {
		for _, block := range settings.FindAllString(text, -1) {
			found++
			file := filepath.Join(t.TempDir(), "upkeep.json")
			block = strings.TrimSpace(block)
			if !strings.HasPrefix(block, "{") {
				block = "{" + block + "}"
			}
			if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := config.Load(config.Sources{File: file}); err != nil {
				t.Errorf("%s: %v\n%s", name, err, block)
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d blocks were found", found)
	}
}

func TestPhrasesOfTheLogDocumentAreLogged(t *testing.T) {
	var source strings.Builder
	for _, room := range []string{"hub", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, room), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			data, err := os.ReadFile(path)
			source.Write(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	code, phrases := source.String(), 0
	for _, cell := range phraseCell.FindAllStringSubmatch(operating(t)["operating/log.md"], -1) {
		for _, m := range quoted.FindAllStringSubmatch(cell[1], -1) {
			phrases++
			if !strings.Contains(code, `"`+m[1]) {
				t.Errorf("log.md: nothing logs %q", m[1])
			}
		}
	}
	if phrases < 12 {
		t.Errorf("only %d phrases were found", phrases)
	}
}
