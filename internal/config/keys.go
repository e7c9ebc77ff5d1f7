package config

import (
	"reflect"
	"regexp"
	"strings"
	"sync"
)

var (
	configType   = reflect.TypeFor[Config]()
	pluginType   = reflect.TypeFor[Plugin]()
	gradedType   = reflect.TypeFor[Graded]()
	strategyType = reflect.TypeFor[Strategy]()
	secretType   = reflect.TypeFor[Secret]()
	secondsType  = reflect.TypeFor[Seconds]()
	limitsType   = reflect.TypeFor[Thresholds]()
	pluginsType  = reflect.TypeFor[map[string]Plugin]()
	listType     = reflect.TypeFor[[]string]()
)

// leafKey is a key that has a value and not a section.
type leafKey struct {
	kind   kind
	rule   string // the tag want
	flag   string // the flag that sets it, without dashes
	live   bool
	secret bool
}

// leafKeys has every key with a value by its name with sections, but for those
// of plugins, which have names of their own.
var leafKeys = sync.OnceValue(func() map[string]leafKey {
	keys := map[string]leafKey{}
	collectKeys("", configType, false, keys)
	return keys
})

func collectKeys(path string, t reflect.Type, live bool, keys map[string]leafKey) {
	for i := range t.NumField() {
		f := t.Field(i)
		key := join(path, fieldKey(f))
		leaf := leafKey{rule: f.Tag.Get("want"), flag: f.Tag.Get("flag"), live: live || f.Tag.Get("live") != "", kind: stringNode}
		switch {
		case f.Type == pluginsType:
			continue
		case f.Type == limitsType:
			for name, rule := range thresholdRules {
				keys[join(key, name)] = leafKey{kind: numberNode, rule: rule, live: leaf.live}
			}
			continue
		case f.Type == strategyType:
			collectKeys(key, gradedType, leaf.live, keys)
		case f.Type == secretType:
			leaf.secret = true
		case f.Type == listType:
			leaf.kind = arrayNode
		case f.Type == secondsType || f.Type.Kind() == reflect.Int:
			leaf.kind = numberNode
		case f.Type.Kind() == reflect.Bool:
			leaf.kind = boolNode
		case f.Type.Kind() == reflect.Struct:
			collectKeys(key, f.Type, leaf.live, keys)
			continue
		}
		keys[key] = leaf
	}
}

// Setting is one key with its value.
type Setting struct {
	// Key with its sections, e.g. "server.port".
	Key string `json:"key"`
	// Value is fit for JSON; secrets are masked.
	Value any `json:"value"`
	// Live says that a running host takes a change of it up without a restart.
	Live bool `json:"live"`

	raw any // the value with its secrets
}

// Settings lists every key in the order of the documentation, plugins by name.
// Thresholds that nobody set are not among them. What is secret, also in the
// settings of plugins as far as the name of a key tells it, is masked.
func (c Config) Settings() []Setting {
	var list []Setting
	walk("", reflect.ValueOf(c), false, &list)
	return list
}

func walk(path string, v reflect.Value, live bool, list *[]Setting) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, live := join(path, fieldKey(f)), live || f.Tag.Get("live") != ""
		add := func(key string, value, raw any) { *list = append(*list, Setting{key, value, live, raw}) }
		switch value := v.Field(i).Interface().(type) {
		case Thresholds:
			for _, name := range sortedKeys(value) {
				add(join(key, name), value[name], value[name])
			}
		case map[string]Plugin:
			for _, name := range sortedKeys(value) {
				walk(join(key, name), reflect.ValueOf(value[name]), live, list)
			}
		case Strategy:
			add(key, value.Name, value.Name)
			if value.Name == GradedName {
				settings := defaultGraded()
				if value.Settings != nil {
					settings = *value.Settings
				}
				walk(key, reflect.ValueOf(settings), live, list)
			}
		case Seconds:
			add(key, value.Duration().Seconds(), value.Duration().Seconds())
		case Secret:
			add(key, value.String(), string(value))
		case []string:
			if value != nil {
				add(key, value, value)
			}
		case map[string]any:
			if value != nil {
				add(key, masked(value), value)
			}
		default:
			if v.Field(i).Kind() == reflect.Struct {
				walk(key, v.Field(i), live, list)
			} else {
				add(key, value, value)
			}
		}
	}
}

// Masked is a copy whose plugin settings have their secrets masked, as far as
// the names of their keys tell what is one. Other secrets mask themselves.
func (c Config) Masked() Config {
	plugins := make(map[string]Plugin, len(c.Plugins))
	for name, p := range c.Plugins {
		if p.Config != nil {
			p.Config = masked(p.Config).(map[string]any)
		}
		plugins[name] = p
	}
	c.Plugins = plugins
	return c
}

// secretName is what the key of a secret looks like in the settings of a plugin.
var secretName = regexp.MustCompile(anyCase(secretWords))

const secretWords = `passw|passphrase|token|secret|credential|(api|private|access)[_-]?key|auth`

// anyCase has a pattern of lower-case letters fit upper case too, in the words
// that every reader of a JSON Schema knows.
func anyCase(pattern string) string {
	var b strings.Builder
	for _, r := range pattern {
		if r >= 'a' && r <= 'z' {
			b.WriteString("[" + string(r) + strings.ToUpper(string(r)) + "]")
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func masked(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if secretName.MatchString(key) && value != nil && value != "" {
				value = mask
			}
			out[key] = masked(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = masked(item)
		}
		return out
	case string:
		return maskedURL(v)
	}
	return v
}

// credentials in an address, e.g. redis://user:password@host.
var credentials = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*://[^/@]*:)[^/@]+@`)

func maskedURL(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	return credentials.ReplaceAllString(s, "${1}"+mask+"@")
}
