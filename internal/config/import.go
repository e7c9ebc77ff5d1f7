package config

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Imported is what Import made of another server's settings.
type Imported struct {
	// JSON is a file for Upkeep, which Load accepts. It holds what was set, and
	// nothing else.
	JSON []byte
	// Notices says of each setting without a full counterpart what became of it.
	Notices []Notice
	// Empty says that nothing was set at all.
	Empty bool
}

// importPrefix begins the variables of the server that Upkeep replaces.
const importPrefix = "CLAUDE_MPM_SOCKETIO_"

// debugVariable makes that server write more to its log.
const debugVariable = "CLAUDE_MPM_DEBUG"

// flatKeys are the keys of that server's flat file, and what becomes of them.
var flatKeys = map[string]struct {
	key      string // ours; empty: none
	why      string // said of it
	variable string // the part of the variable's name behind importPrefix; empty: none
}{
	"host":                    {key: "server.host", variable: "HOST"},
	"port":                    {key: "server.port", variable: "PORT"},
	"server_id":               {key: "server.server_id", variable: "SERVER_ID"},
	"cors_allowed_origins":    {key: "server.enable_cors", variable: "CORS", why: "pages of other origins are refused, unless server.allowed_origins names them; pages of the same origin are served"},
	"max_history_size":        {key: "events.history", variable: "HISTORY_SIZE"},
	"log_level":               {key: "logging.level", variable: "LOG_LEVEL"},
	"log_file_path":           {key: "logging.file"},
	"log_to_file":             {},
	"health_check_interval":   {key: "health_monitoring.check_interval"},
	"ping_timeout":            {variable: "PING_TIMEOUT", why: "has no counterpart: clients are told 60 s"},
	"ping_interval":           {variable: "PING_INTERVAL", why: "has no counterpart: clients are told 25 s"},
	"max_http_buffer_size":    {why: "has no counterpart: a message has at most 1000000 bytes"},
	"min_client_version":      {why: "has no counterpart: clients from 0.7.0 on are compatible"},
	"deployment_mode":         {variable: "MODE", why: clientsMatter},
	"auto_start":              {variable: "AUTO_START", why: clientsMatter},
	"persistent":              {variable: "PERSISTENT", why: clientsMatter},
	"max_connection_attempts": {why: clientsMatter},
	"reconnection_delay":      {why: clientsMatter},
}

const clientsMatter = "has no counterpart: it concerns the client"

// Import translates the configuration files of the server that Upkeep replaces,
// nested and flat ones, and its variables in environ, into a file for Upkeep.
// Later files win over earlier ones, and variables over files. The error is as
// for Load, naming the keys that a value would have had in Upkeep's file.
func Import(files, environ []string) (Imported, error) {
	i := importer{tree: node{kind: objectNode, at: Origin{Kind: FromFile}}}
	for _, file := range files {
		layer, mistakes, err := fileLayer(file)
		if err != nil {
			return Imported{}, unreadable(file, err)
		}
		if len(mistakes) > 0 {
			return Imported{}, invalid("the file "+file, file, mistakes)
		}
		if layer.kind != objectNode {
			return Imported{}, invalid("the file "+file, file, []Mistake{{Line: layer.at.Line, Got: layer.shown(), Want: "an object"}})
		}
		i.file(layer)
	}
	i.environ(environ)

	_, read, err := lay([]node{i.tree}, nil)
	if err != nil {
		return Imported{}, err
	}
	i.notices = append(i.notices, read.notices...)
	if len(read.mistakes) > 0 {
		for k, m := range read.mistakes {
			if m.Line > 0 && len(files) > 0 {
				read.mistakes[k].Source = i.sourceOf(m)
			}
		}
		return Imported{}, invalid("what is to be imported", "", read.mistakes)
	}
	empty := len(i.tree.members) == 0
	out := i.tree.without(func(path string) bool { _, ignored := ignoredKeys[path]; return ignored }, "")
	out.members = slices.Insert(out.ordered(keysOf(configType)).members, 0, member{key: schemaKey, value: node{kind: stringNode, text: SchemaID}})
	data, err := out.render()
	return Imported{JSON: data, Notices: i.notices, Empty: empty}, err
}

type importer struct {
	tree    node
	notices []Notice
}

func (i *importer) notice(key string, at Origin, text string) {
	i.notices = append(i.notices, Notice{key, at, text})
}

// file takes one file in. Sections are nested keys, which have the same names
// here; everything else is a key of the flat file.
func (i *importer) file(layer node) {
	toFile, path := true, node{}
	for _, m := range layer.members {
		_, flat := flatKeys[m.key]
		switch {
		case m.value.kind == objectNode && !flat:
			i.section([]string{m.key}, m.value)
		case m.value.kind == nullNode, m.key == schemaKey: // null is that server's way of saying "not set"
		case m.key == "log_to_file":
			toFile = m.value.text == "true"
		case m.key == "log_file_path":
			path = m.value
		default:
			i.flat(m.key, m.key, m.value)
		}
	}
	if path.kind == nullNode {
		return
	}
	if toFile {
		i.flat("log_file_path", "log_file_path", path)
	} else {
		i.notice("log_file_path", path.at, "not taken over, since log_to_file is false")
	}
}

// section takes the leaves of a section in.
func (i *importer) section(path []string, section node) {
	for _, m := range section.members {
		below := append(slices.Clone(path), m.key)
		switch {
		case m.value.kind == objectNode && path[0] != "plugins":
			i.section(below, m.value)
		case m.value.kind == nullNode:
		case i.counterpart(below):
			i.tree.put(below, m.value)
		default:
			i.notice(strings.Join(below, "."), m.at, "has no counterpart and was left out")
		}
	}
}

// counterpart says whether a nested key exists here, be it without effect.
func (*importer) counterpart(path []string) bool {
	key := strings.Join(path, ".")
	_, leaf := leafKeys()[key]
	_, ignored := ignoredKeys[key]
	return leaf || ignored || path[0] == "plugins"
}

// flat takes one flat key in. name is what to call it.
func (i *importer) flat(key, name string, value node) {
	known, is := flatKeys[key]
	if !is {
		i.notice(name, value.at, "is no key of that server and was left out")
		return
	}
	if known.why != "" {
		i.notice(name, value.at, known.why)
	}
	if known.key == "" {
		return
	}
	if key == "cors_allowed_origins" {
		any := value.text != "" || len(value.items) > 0
		value = node{kind: boolNode, text: fmt.Sprint(any), at: value.at}
	}
	i.tree.put(strings.Split(known.key, "."), value)
}

// environ takes the variables in.
func (i *importer) environ(environ []string) {
	getenv := lookup(environ)
	byVariable := map[string]string{}
	for key, known := range flatKeys {
		if known.variable != "" {
			byVariable[known.variable] = key
		}
	}
	environ = slices.Sorted(slices.Values(environ))
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		rest, ours := strings.CutPrefix(name, importPrefix)
		if !ours {
			continue
		}
		at := Origin{Kind: FromEnvironment, Name: name}
		key, known := byVariable[rest]
		if !known {
			i.notice(name, at, "is no variable of that server and was left out")
			continue
		}
		leaf := leafKeys()[flatKeys[key].key]
		if key == "cors_allowed_origins" {
			leaf = leafKey{kind: stringNode}
		}
		i.flat(key, name, typed(value, leaf, true, at))
	}
	if getenv(debugVariable) == "1" {
		i.tree.put([]string{"logging", "level"}, node{kind: stringNode, text: "debug", at: Origin{Kind: FromEnvironment, Name: debugVariable}})
	}
}

// sourceOf names the file of a mistake.
func (i *importer) sourceOf(m Mistake) string {
	n := i.tree
	for part := range strings.SplitSeq(m.Key, ".") {
		below, found := n.member(part)
		if !found {
			break
		}
		n = below
	}
	return n.at.Name
}

// WriteNew writes a file that must not exist yet, readable by its owner only. It
// is whole or not there.
func WriteNew(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
