package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upkeephub/upkeep/internal/app"
)

var writeMan = flag.Bool("man", false, "write the man pages into docs/man")

const manDir = "../../docs/man"

// exitStatus is in every page.
const exitStatus = `.SH EXIT STATUS
.TP
\fB0\fP
done, or stopped as asked
.TP
\fB1\fP
failure
.TP
\fB2\fP
a mistake in the command line or the configuration; nothing was started or changed
.TP
\fB3\fP
no host runs
.TP
\fB4\fP
a host runs there already, or the port is taken
.TP
\fB5\fP
a plugin is refused, quarantined, not there, or breaks a rule
.TP
\fB6\fP
unhealthy: health is critical or has been unknown for too long, or host does not answer
.TP
\fB7\fP
refused: the breaker, a budget, a pause or another rule of recovery does not let it happen now
.TP
\fB8\fP
emergency stop
.PP
\fB\-\-check\-running\fP and \fB\-\-stop\fP end with 0 or 1 as the server that Upkeep replaces does.
`

// manPages are the pages of all commands by file name.
func manPages(t *testing.T) map[string][]byte {
	t.Helper()
	root := command(io.Discard, io.Discard, nil)
	pages := map[string][]byte{}
	var write func(*cobra.Command)
	write = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return
		}
		pages[pageName(cmd)+".1"] = manPage(cmd)
		for _, sub := range cmd.Commands() {
			write(sub)
		}
	}
	write(root)
	return pages
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage writes one page in the language of man(7).
func manPage(cmd *cobra.Command) []byte {
	var b bytes.Buffer
	name := pageName(cmd)
	fmt.Fprintf(&b, ".\\\" Written by make docs from the command itself.\n.TH %q 1 \"\" \"Upkeep %s\" \"Upkeep\"\n", strings.ToUpper(name), app.Version)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n\\fB%s\\fP\n", roff(cmd.UseLine()))
	b.WriteString(".SH DESCRIPTION\n")
	for i, paragraph := range strings.Split(strings.TrimSpace(cmp.Or(cmd.Long, cmd.Short)), "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		if strings.HasPrefix(paragraph, " ") {
			paragraph = verbatim(paragraph)
		} else {
			paragraph = roff(paragraph) + "\n"
		}
		b.WriteString(paragraph)
	}
	b.WriteString(".SH OPTIONS\n")
	cmd.InitDefaultHelpFlag()
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, about := pflag.UnquoteUsage(f)
		option := "\\fB" + roff("--"+f.Name) + "\\fP"
		if f.Shorthand != "" {
			option = "\\fB" + roff("-"+f.Shorthand) + "\\fP, " + option
		}
		if value != "" {
			option += " \\fI" + roff(value) + "\\fP"
		}
		if d := f.DefValue; d != "" && d != "0" && d != "false" && !strings.Contains(about, "(default ") {
			about += " (default " + d + ")"
		}
		fmt.Fprintf(&b, ".TP\n%s\n%s\n", option, roff(about))
	})
	if cmd.Example != "" {
		b.WriteString(".SH EXAMPLES\n" + verbatim(cmd.Example))
	}
	b.WriteString(exitStatus)
	var also []string
	if cmd.HasParent() {
		also = append(also, pageName(cmd.Parent()))
	}
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			also = append(also, pageName(sub))
		}
	}
	if len(also) > 0 {
		b.WriteString(".SH SEE ALSO\n")
		for i, name := range also {
			comma := ","
			if i == len(also)-1 {
				comma = ""
			}
			fmt.Fprintf(&b, ".BR %s (1)%s\n", roff(name), comma)
		}
	}
	return b.Bytes()
}

// roff makes text plain for man(7).
func roff(text string) string {
	text = strings.NewReplacer("\\", "\\e", "-", "\\-").Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = "\\&" + line
		}
	}
	return strings.Join(lines, "\n")
}

func verbatim(text string) string { return ".nf\n" + roff(strings.TrimRight(text, "\n")) + "\n.fi\n" }

func TestTheManPagesAreThoseOfTheCommands(t *testing.T) {
	pages := manPages(t)
	if *writeMan {
		old, err := filepath.Glob(filepath.Join(manDir, "*.1"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range old {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(manDir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, page := range pages {
			if err := os.WriteFile(filepath.Join(manDir, name), page, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	entries, err := os.ReadDir(manDir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
		data, err := os.ReadFile(filepath.Join(manDir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, pages[e.Name()]) {
			t.Errorf("docs/man/%s is not what the command says: run make docs", e.Name())
		}
	}
	if want := slices.Sorted(maps.Keys(pages)); !slices.Equal(have, want) {
		t.Errorf("docs/man holds %v, want %v: run make docs", have, want)
	}
}
