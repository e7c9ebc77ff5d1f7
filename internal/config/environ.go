package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	env "github.com/knadh/koanf/providers/env/v2"

	"github.com/upkeephub/upkeep/core/spelling"
)

// envPrefix begins the names of our variables; envDelimiter stands between
// section and key, and envFile ends the name of one that names a file.
const (
	envPrefix    = "UPKEEP_"
	envDelimiter = "__"
	envFile      = "_file"
)

// otherVariables are ours without being settings.
var otherVariables = []string{
	"UPKEEP_CONFIG", "UPKEEP_PROFILE", "UPKEEP_STATE_DIR",
	"UPKEEP_CHILD_OF", "UPKEEP_HUB_LISTENERS", "UPKEEP_PLUGIN_COOKIE",
}

// serviceLink are the variables that Kubernetes sets in every pod for a service
// whose name begins with "upkeep". Nobody chose them, so they are left alone.
var serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)

func isServiceLink(name, value string) bool {
	if strings.Contains(name, envDelimiter) {
		return false
	}
	name = "_" + strings.TrimPrefix(name, envPrefix)
	return serviceLink.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

// variableOf is the variable that sets a key.
func variableOf(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", envDelimiter))
}

// keyPath splits the part of a variable's name behind the prefix into a path.
func keyPath(name string) []string {
	return strings.Split(strings.ToLower(name), envDelimiter)
}

// freePath says whether a path leads to the settings of a plugin.
func freePath(path []string) bool {
	if len(path) < 3 || path[0] != "plugins" || slices.Contains(path, "") {
		return false
	}
	return path[2] == "config" || len(path) == 3 && slices.Contains(keysOf(pluginType), path[2])
}

// variables reads the environment.
type variables struct {
	readFile func(path string) (text string, open bool, err error)

	tree     node
	seen     map[string]string // variable by key
	mistakes []Mistake
	notices  []Notice
}

// readVariables makes a layer of the variables in environ.
func readVariables(environ []string) *variables {
	v := &variables{
		readFile: readSecret, seen: map[string]string{},
		tree: node{kind: objectNode, at: Origin{Kind: FromEnvironment}},
	}
	environ = slices.Clone(environ)
	slices.Sort(environ)
	provider := env.Provider("", env.Opt{
		Prefix: envPrefix, EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) { return v.one(name, value), nil },
	})
	if _, err := provider.Read(); err != nil {
		v.mistakes = append(v.mistakes, Mistake{Source: "environment", Want: err.Error()})
	}
	return v
}

// one takes one variable in. It gives the name back for the provider's sake.
func (v *variables) one(name, value string) string {
	if slices.Contains(otherVariables, name) || isServiceLink(name, value) {
		return name
	}
	at := Origin{Kind: FromEnvironment, Name: name}
	path := keyPath(strings.TrimPrefix(name, envPrefix))
	key := strings.Join(path, ".")
	leaf, known := leafKeys()[key]
	secret := false
	if base, ok := strings.CutSuffix(key, envFile); ok && !known {
		if of, is := leafKeys()[base]; is {
			if !of.secret {
				v.mistakes = append(v.mistakes, mistakeAt(name, at, "", "only secrets are read from files; set "+variableOf(base)))
				return name
			}
			key, path, leaf, known, secret = base, strings.Split(base, "."), of, true, true
		}
	}
	if !known && !freePath(path) {
		v.mistakes = append(v.mistakes, mistakeAt(name, at, "", "there is no such variable; "+variableSuggestion(name)))
		return name
	}
	if other, twice := v.seen[key]; twice {
		v.mistakes = append(v.mistakes, mistakeAt(key, at, "", fmt.Sprintf("also set by %s; keep one of the two", other)))
		return name
	}
	v.seen[key] = name
	if secret {
		text, open, err := v.readFile(value)
		if err != nil {
			v.mistakes = append(v.mistakes, mistakeAt(key, at, fmt.Sprintf("the file %q", short(value, 80)), "a file to read: "+reason(err)))
			return name
		}
		if open {
			v.notices = append(v.notices, Notice{key, at, fmt.Sprintf("others can read the secret in %s: chmod 600 it", value)})
		}
		value = text
	}
	v.tree.put(path, typed(value, leaf, known, at))
	return name
}

// typed makes the node that a text means for a key.
func typed(text string, leaf leafKey, known bool, at Origin) node {
	n := node{kind: stringNode, text: text, at: at}
	switch {
	case !known && json.Valid([]byte(text)):
		return readTree([]byte(text), at)
	case !known:
	case leaf.kind == boolNode:
		if b, err := strconv.ParseBool(text); err == nil {
			n.kind, n.text = boolNode, strconv.FormatBool(b)
		}
	case leaf.kind == arrayNode:
		n.kind, n.text = arrayNode, ""
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				n.items = append(n.items, node{kind: stringNode, text: item, at: at})
			}
		}
	case leaf.kind == numberNode:
		if _, err := strconv.ParseFloat(text, 64); err == nil && json.Valid([]byte(text)) {
			n.kind = numberNode
		}
	}
	return n
}

func variableSuggestion(name string) string {
	var names []string
	for _, key := range sortedKeys(leafKeys()) {
		names = append(names, variableOf(key))
		if leafKeys()[key].secret {
			names = append(names, variableOf(key)+strings.ToUpper(envFile))
		}
	}
	if near := spelling.Nearest(strings.ToUpper(name), append(names, otherVariables...)); near != "" {
		return "did you mean " + near + "?"
	}
	return "host config show lists the keys; " + variableOf("server.port") + " sets server.port"
}

// readSecret reads a file that holds a secret, without the line's end. open says
// that others than its owner may read it.
func readSecret(path string) (text string, open bool, err error) {
	data, err := readFile(filepath.Clean(path))
	if err != nil {
		return "", false, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", false, err
	}
	return strings.TrimRight(string(data), "\r\n"), readableByOthers(info.Mode()), nil
}
