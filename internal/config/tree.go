package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"unicode/utf8"
)

// node is a JSON value that knows its line. Exactly one of the groups of fields
// is used, as kind says.
type node struct {
	kind    kind
	line    int
	text    string   // string: the text; number: as written; boolean: true or false
	members []member // object, in the order of the file, repeated keys included
	items   []node   // array
}

type member struct {
	key   string
	line  int
	value node
}

type kind uint8

const (
	nullNode kind = iota
	boolNode
	numberNode
	stringNode
	arrayNode
	objectNode
)

// unfit says why data is no JSON object at all.
func unfit(data []byte) (Mistake, bool) {
	switch {
	case bytes.HasPrefix(data, []byte{0xFF, 0xFE}), bytes.HasPrefix(data, []byte{0xFE, 0xFF}):
		return Mistake{Want: "the file is written in UTF-16; save it as UTF-8"}, true
	case len(bytes.TrimSpace(data)) == 0:
		return Mistake{Want: "the file is empty; want a JSON object, {} for the defaults"}, true
	case !utf8.Valid(data):
		valid := 0
		for valid < len(data) {
			r, size := utf8.DecodeRune(data[valid:])
			if r == utf8.RuneError && size <= 1 {
				break
			}
			valid += size
		}
		return Mistake{Line: lineAt(data, valid), Want: "there are bytes that are no UTF-8; save the file as UTF-8"}, true
	}
	var raw json.RawMessage
	err := json.Unmarshal(data, &raw)
	if err == nil {
		return Mistake{}, false
	}
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return Mistake{Want: err.Error()}, true
	}
	if syntax.Error() == "unexpected end of JSON input" {
		return Mistake{Line: lineAt(data, len(data)), Want: "the file ends in the middle; was it cut off?"}, true
	}
	return Mistake{Line: lineAt(data, int(syntax.Offset)-1), Want: "no valid JSON: " + syntax.Error()}, true
}

// lineAt is the line of the byte at offset, from 1.
func lineAt(data []byte, offset int) int {
	return 1 + bytes.Count(data[:max(0, min(offset, len(data)))], []byte{'\n'})
}

// readTree reads data, which has to be valid JSON.
func readTree(data []byte) node {
	t := treeReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	t.dec.UseNumber()
	return t.value(t.next())
}

type treeReader struct {
	data []byte
	dec  *json.Decoder
	read int // up to where lines are counted
	line int
}

func (t *treeReader) next() json.Token {
	token, err := t.dec.Token()
	if err != nil {
		panic(fmt.Sprintf("config: valid JSON does not read: %v", err)) // a bug of ours
	}
	offset := int(t.dec.InputOffset())
	t.line += bytes.Count(t.data[t.read:offset], []byte{'\n'})
	t.read = offset
	return token
}

func (t *treeReader) value(token json.Token) node {
	n := node{line: t.line}
	switch token := token.(type) {
	case bool:
		n.kind, n.text = boolNode, fmt.Sprint(token)
	case json.Number:
		n.kind, n.text = numberNode, token.String()
	case string:
		n.kind, n.text = stringNode, token
	case json.Delim:
		if token == '[' {
			n.kind = arrayNode
			for t.dec.More() {
				n.items = append(n.items, t.value(t.next()))
			}
		} else {
			n.kind = objectNode
			for t.dec.More() {
				key := t.next().(string)
				m := member{key: key, line: t.line}
				m.value = t.value(t.next())
				n.members = append(n.members, m)
			}
		}
		t.next() // the closing bracket
	}
	return n
}

// shown is the value for people, cut to a few words.
func (n node) shown() string {
	text := short(n.text, 40)
	switch n.kind {
	case nullNode:
		return "null"
	case stringNode:
		return fmt.Sprintf("the text %q", text)
	case arrayNode:
		return "a list"
	case objectNode:
		return "an object"
	}
	return text
}

// plainKey is a key that needs no quotes in a path.
var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// join appends a key to the path of its section; a strange one is quoted and cut.
func join(path, key string) string {
	if !plainKey.MatchString(key) {
		key = strconv.Quote(short(key, 64))
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// short cuts a text to so many letters.
func short(text string, limit int) string {
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "..."
	}
	return text
}
