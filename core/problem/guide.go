package problem

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Guide is a troubleshooting guide for the error: its text, and beyond that the
// page of its code, commands that show more, solutions that often help, where to
// turn to, and the context as data. It is longer than a screen.
func Guide(p Platform, e *Error) string {
	at := present(e.At)
	var b strings.Builder
	section := func(title string, lines ...string) {
		fmt.Fprintf(&b, "\n%s\n%s\n", title, strings.Join(indented(lines), "\n"))
	}
	b.WriteString("TROUBLESHOOTING GUIDE\n=====================\n")
	fmt.Fprintf(&b, "ERROR TYPE: %s\nERROR CODE: %s\nTIMESTAMP: %s\n\n%s", TypeOf(e.Code), e.Code, at.UTC().Format(time.RFC3339), e.Text())

	b.WriteString("\nADDITIONAL TROUBLESHOOTING\n--------------------------\n")
	if page, ok := PageFor(p, e.Code); ok {
		b.WriteString(page.Means + "\n")
		section("POSSIBLE CAUSES", bullets(page.Causes)...)
	}
	section("DIAGNOSTIC COMMANDS", diagnostics(p, contextPort(e))...)
	section("COMMON SOLUTIONS", bullets(solutions())...)
	section("GETTING HELP", bullets(help())...)
	section("ERROR CONTEXT DATA", contextData(e))
	return b.String()
}

// contextData is the context as JSON with sorted keys, whether the error is new
// or was read back.
func contextData(e *Error) string {
	var plain any
	data, err := json.Marshal(e.wire().Context)
	if err == nil {
		err = json.Unmarshal(data, &plain)
	}
	if err == nil {
		data, err = json.MarshalIndent(plain, "  ", "  ")
	}
	if err != nil { // a context that JSON cannot carry is a bug, but no reason to say nothing
		return fmt.Sprintf("%q", fmt.Sprint(e.Context))
	}
	return string(data)
}

func bullets(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = "- " + line
	}
	return out
}

// contextPort is the port that the error speaks of, or the usual one.
func contextPort(e *Error) int {
	switch port := e.Context["port"].(type) {
	case int:
		if port > 0 {
			return port
		}
	case float64: // read back from JSON
		if port > 0 && port <= 65535 {
			return int(port)
		}
	}
	return 8765
}
