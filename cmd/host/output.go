package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
)

// print writes the answer: as JSON, for people, or not at all.
func (c *cli) print(answer any, people func(*page)) error {
	switch {
	case c.quiet:
		return nil
	case c.json:
		enc := json.NewEncoder(c.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(answer)
	}
	p := &page{colour: c.colour()}
	people(p)
	_, err := io.WriteString(c.stdout, p.String())
	return err
}

// colour says whether words may be coloured: on a terminal, unless NO_COLOR is
// set to anything or the terminal says that it is dumb.
func (c *cli) colour() bool {
	f, isFile := c.stdout.(*os.File)
	return isFile && runtime.GOOS != "windows" && c.getenv("NO_COLOR") == "" && c.getenv("TERM") != "dumb" && isatty.IsTerminal(f.Fd())
}

// page is text for people that is being written.
type page struct {
	strings.Builder
	colour bool
}

func (p *page) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// table writes rows in columns as wide as their widest cell.
func (p *page) table(rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(p.paint(cell, cell))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		p.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// paint colours text by what the word means.
func (p *page) paint(text, word string) string {
	if !p.colour {
		return text
	}
	code := 0
	switch strings.ToLower(word) {
	case "healthy", "running", "closed", "cured":
		code = 32
	case "warning", "starting", "backoff", "half_open", "stopping":
		code = 33
	case "critical", "quarantined", "refused", "open", "held", "hung", "not_cured", "failed", "timed_out":
		code = 31
	case "unknown", "skipped", "stopped":
		code = 35
	default:
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, text)
}

// grouped writes a number with commas between the thousands.
func grouped(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// number writes a number with at most two decimals.
func number(f float64) string {
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(f, 'f', 2, 64), "0"), ".")
}

// took writes a short time: "3ms", "1.2s".
func took(ms float64) string {
	if ms < 1000 {
		return strconv.FormatFloat(ms, 'f', 0, 64) + "ms"
	}
	return number(ms/1000) + "s"
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// dash stands for what there is not.
func dash(text string) string {
	if text == "" || text == "0" {
		return "-"
	}
	return text
}

// oneLine makes what others wrote fit for one line of a terminal.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u0085' }), " ")
}
