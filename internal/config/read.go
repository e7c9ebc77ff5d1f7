package config

import (
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// reader puts a tree into a Config and collects what is wrong with it.
type reader struct {
	mistakes []Mistake
	notices  []Notice
	given    map[string]Origin // by key, of every value that was good
}

func (r *reader) add(m Mistake) {
	if len(r.mistakes) < maxMistakes {
		r.mistakes = append(r.mistakes, m)
	}
}

func (r *reader) mistake(key string, n node, want string) {
	r.add(mistakeAt(key, n.at, n.shown(), want))
}

// decode reads n into what target points to.
func (r *reader) decode(key string, n node, target any) {
	r.into(key, n, reflect.ValueOf(target).Elem(), "")
}

// into reads n into v. want is the rule in the field's tag: "min..max" for a
// number, "a|b|c" for one of some words, or the name of a rule in textRules.
func (r *reader) into(key string, n node, v reflect.Value, want string) {
	before := len(r.mistakes)
	defer func() {
		if len(r.mistakes) == before {
			r.given[key] = n.at
		}
	}()
	switch target := v.Addr().Interface().(type) {
	case *Seconds:
		if f, ok := r.number(key, n, want, "a number of seconds"); ok {
			*target = seconds(f)
		}
	case *Strategy:
		r.strategy(key, n, target)
	case *Thresholds:
		r.thresholds(key, n, target)
	case *map[string]Plugin:
		r.plugins(key, n, target)
	case *map[string]any:
		if n.kind != objectNode {
			r.mistake(key, n, "an object")
			return
		}
		*target = r.free(key, n).(map[string]any)
	case *bool:
		if n.kind != boolNode {
			r.mistake(key, n, "true or false")
			return
		}
		*target = n.text == "true"
	case *int:
		if f, ok := r.number(key, n, want, "an integer"); ok {
			*target = int(f)
		}
	case *string:
		r.word(key, n, target, want)
	case *[]string:
		r.list(key, n, target, want)
	case *Secret:
		r.secret(key, n, target, want)
	default:
		r.object(key, n, v)
	}
}

// object reads a struct: every key has to be one of its fields.
func (r *reader) object(key string, n node, v reflect.Value) {
	fields := map[string]int{}
	for i := range v.NumField() {
		fields[fieldKey(v.Type().Field(i))] = i
	}
	r.members(key, n, keysOf(v.Type()), func(m member, path string) {
		i := fields[m.key]
		r.into(path, m.value, v.Field(i), v.Type().Field(i).Tag.Get("want"))
	})
}

// members walks an object. Keys must be among known, unless known is nil, and
// may not be repeated.
func (r *reader) members(key string, n node, known []string, each func(m member, path string)) {
	if n.kind != objectNode {
		r.mistake(key, n, "an object")
		return
	}
	first := map[string]Origin{}
	for _, m := range n.members {
		if len(r.mistakes) == maxMistakes {
			return
		}
		path := join(key, m.key)
		if at, twice := first[m.key]; twice {
			r.add(mistakeAt(path, m.at, "", fmt.Sprintf("given twice, first in line %d; keep one of the two", at.Line)))
			continue
		}
		first[m.key] = m.at
		if known != nil && !slices.Contains(known, m.key) {
			if !r.ignore(path, m.value) {
				r.add(mistakeAt(path, m.at, "", "there is no such key; "+suggestion(key, m.key, known)))
			}
			continue
		}
		each(m, path)
	}
}

// number reads a number and holds it against the rule.
func (r *reader) number(key string, n node, rule, noun string) (float64, bool) {
	least, most, _ := strings.Cut(rule, "..")
	want := fmt.Sprintf("%s from %s to %s", noun, least, most)
	if n.kind != numberNode {
		r.mistake(key, n, want)
		return 0, false
	}
	f, err := strconv.ParseFloat(n.text, 64)
	low, _ := strconv.ParseFloat(least, 64)
	high, _ := strconv.ParseFloat(most, 64)
	if err != nil || !(f >= low && f <= high) || (noun == "an integer" && f != math.Trunc(f)) {
		r.mistake(key, n, want)
		return 0, false
	}
	return f, true
}

// hostName is what a host name may look like; addresses are parsed.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?$`)

// textRule judges a text that is not one of some words.
type textRule struct {
	want string
	// read gives the text as it is kept, and whether it fits.
	read func(string) (string, bool)
	// pattern is the same for a JSON Schema, as well as a pattern can say it.
	pattern string
	// never is what fits the pattern and is refused all the same; empty: nothing.
	never string
	// hidden: what is refused may be a secret and is not shown.
	hidden bool
}

var textRules = map[string]textRule{
	"host": {
		want: "a host name or an IP address, without port",
		read: func(s string) (string, bool) {
			_, err := netip.ParseAddr(s)
			return s, err == nil || hostName.MatchString(s)
		},
		pattern: hostName.String() + `|^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%.+)?$`,
	},
	"id": {
		want:    "at most 128 letters, digits, '.', '_', ':', '@' and '-', or nothing",
		read:    func(s string) (string, bool) { return s, serverID.MatchString(s) },
		pattern: serverID.String(),
	},
	"level": {
		want: oneOf(levels),
		read: func(s string) (string, bool) {
			level, ok := levelNames()[s]
			return level, ok
		},
		pattern: `^(` + strings.Join(sortedKeys(levelNames()), "|") + `)$`,
	},
	"origin": {
		want:    `the origin of a site, as in "https://app.example.org", or "*" for all sites`,
		read:    func(s string) (string, bool) { return s, origin.MatchString(s) },
		pattern: origin.String(),
	},
	"file": {
		want:    "a path, or nothing",
		read:    func(s string) (string, bool) { return s, len(s) <= 4096 && !strings.ContainsFunc(s, unicode.IsControl) },
		pattern: `^[^\x00-\x1f\x7f]*$`,
	},
	"path": {
		want:    "a path, or nothing for standard error",
		read:    func(s string) (string, bool) { return s, len(s) <= 4096 && !strings.ContainsFunc(s, unicode.IsControl) },
		pattern: `^[^\x00-\x1f\x7f]*$`,
	},
	"key": {
		want:    "the base64 line of an ed25519 public key, as host plugins keygen prints it",
		read:    func(s string) (string, bool) { return s, publicKey.MatchString(s) },
		pattern: publicKey.String(),
		hidden:  true, // somebody may have taken the private key
	},
	"action": {
		want:    "the name of an action, as host or the strategy has it",
		read:    func(s string) (string, bool) { return s, actionName.MatchString(s) },
		pattern: actionName.String(),
	},
	"check": {
		want:    "the name of a check, as host status shows it",
		read:    func(s string) (string, bool) { return s, checkName.MatchString(s) },
		pattern: checkName.String(),
	},
	"variable": {
		want: "the name of a variable that is not ours (UPKEEP_..., PLUGIN_...) and holds no secret; a secret belongs in the plugin's config",
		read: func(s string) (string, bool) {
			ours := strings.HasPrefix(s, envPrefix) || strings.HasPrefix(s, "PLUGIN_")
			return s, variableName.MatchString(s) && !ours && !secretName.MatchString(s)
		},
		pattern: variableName.String(),
		never:   `^(UPKEEP_|PLUGIN_)|` + anyCase(secretWords),
	},
	"address": {
		want: `"host:port", "off", or nothing for the default`,
		read: func(s string) (string, bool) {
			if s == "" || s == AdminOff {
				return s, true
			}
			host, port, err := net.SplitHostPort(s)
			_, err2 := strconv.ParseUint(port, 10, 16)
			_, err3 := netip.ParseAddr(host)
			return s, err == nil && err2 == nil && (err3 == nil || hostName.MatchString(host))
		},
		pattern: `^(off|.+:[0-9]{1,5})?$`,
	},
}

// oneOf lists words as what is wanted.
func oneOf(words []string) string {
	last := len(words) - 1
	return `"` + strings.Join(words[:last], `", "`) + `" or "` + words[last] + `"`
}

// publicKey is an ed25519 key in PKIX form: a fixed beginning of 12 bytes, then
// the key's 32.
var publicKey = regexp.MustCompile(`^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$`)

var (
	actionName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	checkName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
)

// origin is what browsers send as the Origin of a page.
var origin = regexp.MustCompile(`^(\*|https?://[A-Za-z0-9_.-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?)$`)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

var serverID = regexp.MustCompile(`^[A-Za-z0-9._:@-]{0,128}$`)

// levels of logging, each telling less than the one before.
var levels = []string{"trace", "debug", "info", "warn", "error"}

// levelNames has the levels by every way of writing them that is accepted: lower
// case, upper case, and the two words that Python's logging uses besides.
func levelNames() map[string]string {
	names := map[string]string{}
	for _, level := range levels {
		names[level] = level
	}
	names["warning"], names["critical"] = "warn", "error"
	for name, level := range maps.Clone(names) {
		names[strings.ToUpper(name)] = level
	}
	return names
}

func (r *reader) word(key string, n node, target *string, rule string) {
	judge, named := textRules[rule]
	if !named {
		words := strings.Split(rule, "|")
		judge.want = oneOf(words)
		judge.read = func(s string) (string, bool) { return s, slices.Contains(words, s) }
	}
	text, fits := judge.read(n.text)
	if n.kind != stringNode || !fits {
		r.mistake(key, n, judge.want)
		return
	}
	*target = text
}

// shown is a value that does not fit, for people.
func (t textRule) shown(n node) string {
	if t.hidden && n.kind == stringNode {
		return fmt.Sprintf("a text of %d bytes", len(n.text))
	}
	return n.shown()
}

// maxList is how many texts a list may have.
const maxList = 64

// list reads a list of texts, each of which has to fit the rule.
func (r *reader) list(key string, n node, target *[]string, rule string) {
	judge := textRules[rule]
	if n.kind != arrayNode || len(n.items) > maxList {
		r.add(mistakeAt(key, n.at, judge.shown(n), fmt.Sprintf("a list of at most %d texts, each %s", maxList, judge.want)))
		return
	}
	list := make([]string, 0, len(n.items))
	for i, item := range n.items {
		text, fits := judge.read(item.text)
		if item.kind != stringNode || !fits {
			r.add(mistakeAt(fmt.Sprintf("%s[%d]", key, i), item.at, judge.shown(item), judge.want))
			continue
		}
		if slices.Contains(list, text) {
			r.add(mistakeAt(fmt.Sprintf("%s[%d]", key, i), item.at, judge.shown(item), "each text once"))
			continue
		}
		list = append(list, text)
	}
	*target = list
}

func (r *reader) secret(key string, n node, target *Secret, rule string) {
	judge := secretRules[rule]
	if n.kind != stringNode {
		r.add(mistakeAt(key, n.at, "no text", judge.want))
		return
	}
	shown := fmt.Sprintf("a text of %d bytes", len(n.text))
	if len(n.text) > judge.longest || !judge.pattern.MatchString(n.text) {
		r.add(mistakeAt(key, n.at, shown, judge.want))
		return
	}
	if judge.settle != nil {
		if err := judge.settle(Secret(n.text)); err != nil {
			r.add(mistakeAt(key, n.at, shown, err.Error()))
			return
		}
	}
	*target = Secret(n.text)
}

// pluginName is what plugins may be called.
var pluginName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

const pluginNameWant = "a plugin's name: letters, digits, '.', '_' and '-', at most 64"

func (r *reader) strategy(key string, n node, target *Strategy) {
	switch {
	case n.kind == objectNode:
		settings := defaultGraded()
		r.decode(key, n, &settings)
		*target = Strategy{Name: GradedName, Settings: &settings}
	case n.kind == stringNode && pluginName.MatchString(n.text):
		*target = Strategy{Name: n.text}
	case n.kind == stringNode:
		r.mistake(key, n, `"graded" or `+pluginNameWant)
	default:
		r.mistake(key, n, `"graded", a plugin's name, or an object with the settings of "graded"`)
	}
}

// thresholdRules has the keys of thresholds and what is accepted for each.
var thresholdRules = map[string]string{
	"cpu_percent": "0.1..100", "memory_mb": "1..10000000", "file_descriptors": "1..10000000", "error_rate": "0.0001..1",
	"max_clients": "1..1000000", "network_timeout": "0.01..60", "round_trip_ms": "1..60000",
}

func (r *reader) thresholds(key string, n node, target *Thresholds) {
	*target = Thresholds{}
	r.members(key, n, sortedKeys(thresholdRules), func(m member, path string) {
		if f, ok := r.number(path, m.value, thresholdRules[m.key], "a number"); ok {
			(*target)[m.key], r.given[path] = f, m.value.at
		}
	})
}

func (r *reader) plugins(key string, n node, target *map[string]Plugin) {
	*target = map[string]Plugin{}
	r.members(key, n, nil, func(m member, path string) {
		if !pluginName.MatchString(m.key) {
			r.add(mistakeAt(path, m.at, fmt.Sprintf("the name %q", short(m.key, 64)), pluginNameWant))
			return
		}
		p := Plugin{Enabled: true, Required: true}
		r.decode(path, m.value, &p)
		(*target)[m.key] = p
	})
}

// free reads what is for somebody else to judge. Only what cannot be passed on
// is a mistake.
func (r *reader) free(key string, n node) any {
	switch n.kind {
	case boolNode:
		return n.text == "true"
	case stringNode:
		return n.text
	case numberNode:
		f, err := strconv.ParseFloat(n.text, 64)
		if err != nil {
			r.mistake(key, n, "a number that fits 64 bits")
		}
		return f
	case arrayNode:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = r.free(fmt.Sprintf("%s[%d]", key, i), item)
		}
		return list
	case objectNode:
		object := map[string]any{}
		r.members(key, n, nil, func(m member, path string) { object[m.key] = r.free(path, m.value) })
		return object
	}
	return nil
}
