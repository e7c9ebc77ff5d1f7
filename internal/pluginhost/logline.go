package pluginhost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/internal/child"
)

const (
	maxLogFields = 32
	maxLogKey    = 64
	maxLogText   = 4 << 10
)

// logSink passes on what one process of a plugin writes to standard error. It
// is our own reader of hclog's JSON, since go-plugin's trusts the types of the
// fields. Only one goroutine calls it.
type logSink struct {
	log     hclog.Logger
	inPanic bool // a Go panic began; its stack follows
}

// line passes on one line, already sanitised and rate-limited. A JSON line of
// hclog keeps its level and fields; a prefix like "[WARN]" gives the level; a
// Go panic is an error; everything else is debug.
func (s *logSink) line(line string) {
	if strings.HasPrefix(line, "{") {
		if level, message, fields, ok := parseLogLine([]byte(line)); ok {
			s.log.Log(level, message, fields...)
			return
		}
	}
	level, text := hclog.Debug, strings.TrimSpace(line)
	switch {
	case text == "":
		return
	case strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "):
		s.inPanic = true
		level = hclog.Error
	case s.inPanic:
		level = hclog.Error
	case strings.HasPrefix(line, "["):
		if word, rest, found := strings.Cut(line[1:], "]"); found {
			if l := hclog.LevelFromString(word); l > hclog.NoLevel && l < hclog.Off {
				level, text = l, strings.TrimSpace(rest)
			}
		}
	}
	s.log.Log(level, cleanText(text, maxLogText))
}

// parseLogLine reads one line of hclog's JSON format. A line whose @level or
// @message is missing or no text is not hclog's, and not ok.
func parseLogLine(line []byte) (level hclog.Level, message string, fields []any, ok bool) {
	var raw map[string]any
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if dec.Decode(&raw) != nil {
		return 0, "", nil, false
	}
	word, isText := raw["@level"].(string)
	message, ok = raw["@message"].(string)
	level = hclog.LevelFromString(word)
	if !isText || !ok || level == hclog.NoLevel || level >= hclog.Off {
		return 0, "", nil, false
	}
	for _, known := range []string{"@level", "@message", "@timestamp", "@caller"} {
		delete(raw, known)
	}
	keys := slices.Sorted(maps.Keys(raw))
	for _, key := range keys[:min(len(keys), maxLogFields)] {
		name := cleanText(strings.TrimPrefix(key, "@"), maxLogKey)
		fields = append(fields, name, logValue(raw[key]))
	}
	return level, cleanText(message, maxLogText), fields, true
}

// logValue makes a decoded JSON value fit for a log: scalars stay what they
// are, the rest becomes JSON text again.
func logValue(v any) any {
	switch v := v.(type) {
	case string:
		return cleanText(v, maxLogText)
	case bool, nil:
		return v
	case json.Number:
		return cleanText(v.String(), maxLogKey)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return cleanText(string(text), maxLogText)
}

// printSink is where go-plugin writes what a Go plugin printed to its standard
// output or error after the handshake, which travels over gRPC and so past the
// limits of package child. It cuts lines at 4 KiB and passes on up to 200 a
// second; the rest is dropped and counted. go-plugin calls it from one goroutine.
type printSink struct {
	line func(string)

	partial []byte
	second  time.Time // in which passed and dropped are counted
	passed  int
	dropped int
}

const maxPrintedASecond = 200

// Write implements io.Writer; it never fails.
func (s *printSink) Write(p []byte) (int, error) {
	now := time.Now()
	for rest := p; len(rest) > 0; {
		part, after, found := bytes.Cut(rest, []byte{'\n'})
		rest = after
		if room := maxLogText - len(s.partial); room > 0 {
			s.partial = append(s.partial, part[:min(len(part), room)]...)
		}
		if found {
			s.emit(now)
		}
	}
	return len(p), nil
}

func (s *printSink) emit(now time.Time) {
	if now.Sub(s.second) >= time.Second {
		if s.dropped > 0 {
			s.line(fmt.Sprintf("[%d printed lines dropped: more than %d a second]", s.dropped, maxPrintedASecond))
		}
		s.second, s.passed, s.dropped = now, 0, 0
	}
	if s.passed++; s.passed > maxPrintedASecond {
		s.dropped++
	} else if len(s.partial) > 0 {
		s.line(child.Sanitise(s.partial))
	}
	s.partial = s.partial[:0]
}
