package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// node is a JSON value that knows where it comes from. Exactly one of the groups
// of fields is used, as kind says.
type node struct {
	kind    kind
	at      Origin
	text    string   // string: the text; number: as written; boolean: true or false
	members []member // object, in the order of the file, repeated keys included
	items   []node   // array
}

type member struct {
	key   string
	at    Origin
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

// readTree reads data, which has to be valid JSON. Its nodes come from at; where
// that has a line, the lines are counted on from there.
func readTree(data []byte, at Origin) node {
	t := treeReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), at: at}
	t.dec.UseNumber()
	return t.value(t.next())
}

type treeReader struct {
	data []byte
	dec  *json.Decoder
	read int // up to where lines are counted
	at   Origin
}

func (t *treeReader) next() json.Token {
	token, err := t.dec.Token()
	if err != nil {
		panic(fmt.Sprintf("config: valid JSON does not read: %v", err)) // a bug of ours
	}
	offset := int(t.dec.InputOffset())
	if t.at.Line > 0 {
		t.at.Line += bytes.Count(t.data[t.read:offset], []byte{'\n'})
	}
	t.read = offset
	return token
}

func (t *treeReader) value(token json.Token) node {
	n := node{at: t.at}
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
				m := member{key: key, at: t.at}
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

// member gives the value under a key of an object.
func (n node) member(key string) (node, bool) {
	for _, m := range n.members {
		if m.key == key {
			return m.value, true
		}
	}
	return node{}, false
}

// put sets the value at a path in an object, and makes the objects on the way.
// What is in the way is replaced.
func (n *node) put(path []string, value node) {
	if n.kind != objectNode {
		*n = node{kind: objectNode, at: value.at}
	}
	for i := range n.members {
		if n.members[i].key == path[0] {
			if len(path) == 1 {
				n.members[i].value = value
			} else {
				n.members[i].value.put(path[1:], value)
			}
			return
		}
	}
	m := member{key: path[0], at: value.at}
	if len(path) == 1 {
		m.value = value
	} else {
		m.value.put(path[1:], value)
	}
	n.members = append(n.members, m)
}

// plain is the value as package encoding/json would read it, with numbers as
// they were written.
func (n node) plain() any {
	switch n.kind {
	case boolNode:
		return n.text == "true"
	case numberNode:
		return json.Number(n.text)
	case stringNode:
		return n.text
	case arrayNode:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = item.plain()
		}
		return list
	case objectNode:
		object := make(map[string]any, len(n.members))
		for _, m := range n.members {
			object[m.key] = m.value.plain()
		}
		return object
	}
	return nil
}

// nodeOf makes a node of a value that came from Go code or from plain. from
// tells where the value at a path comes from.
func nodeOf(path string, v any, from func(path string) Origin) node {
	n := node{at: from(path)}
	switch v := v.(type) {
	case nil:
	case bool:
		n.kind, n.text = boolNode, strconv.FormatBool(v)
	case string:
		n.kind, n.text = stringNode, v
	case json.Number:
		n.kind, n.text = numberNode, v.String()
	case int:
		n.kind, n.text = numberNode, strconv.Itoa(v)
	case float64:
		n.kind, n.text = numberNode, strconv.FormatFloat(v, 'g', -1, 64)
	case []string:
		n.kind = arrayNode
		for _, item := range v {
			n.items = append(n.items, nodeOf(path, item, from))
		}
	case []any:
		n.kind = arrayNode
		for _, item := range v {
			n.items = append(n.items, nodeOf(path, item, from))
		}
	case map[string]any:
		n.kind = objectNode
		for _, key := range sortedKeys(v) {
			value := nodeOf(join(path, key), v[key], from)
			if value.at.rank() > n.at.rank() {
				n.at = value.at
			}
			n.members = append(n.members, member{key, value.at, value})
		}
	default:
		n.kind, n.text = stringNode, fmt.Sprint(v)
	}
	return n
}

// render writes an object as JSON, indented, in its own order.
func (n node) render() ([]byte, error) {
	var out bytes.Buffer
	if err := n.compact(&out); err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, out.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

func (n node) compact(out *bytes.Buffer) error {
	if n.kind != objectNode {
		data, err := json.Marshal(n.plain())
		out.Write(data)
		return err
	}
	out.WriteByte('{')
	for i, m := range n.members {
		if i > 0 {
			out.WriteByte(',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return err
		}
		out.Write(key)
		out.WriteByte(':')
		if err := m.value.compact(out); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

// without leaves out the leaves whose paths drop names, and the objects that are
// empty then.
func (n node) without(drop func(path string) bool, path string) node {
	if n.kind != objectNode {
		return n
	}
	kept := n
	kept.members = nil
	for _, m := range n.members {
		below := join(path, m.key)
		if drop(below) {
			continue
		}
		had := len(m.value.members)
		m.value = m.value.without(drop, below)
		if had == 0 || len(m.value.members) > 0 {
			kept.members = append(kept.members, m)
		}
	}
	return kept
}

// ordered sorts the members of an object as keys has them; others go last.
func (n node) ordered(keys []string) node {
	rank := func(m member) int {
		if i := slices.Index(keys, m.key); i >= 0 {
			return i
		}
		return len(keys)
	}
	n.members = slices.SortedStableFunc(slices.Values(n.members), func(a, b member) int { return rank(a) - rank(b) })
	return n
}
