package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Origin says where a value comes from.
type Origin struct {
	// Kind is one of the constants below.
	Kind OriginKind `json:"kind"`
	// Name of the profile, path of the file, name of the variable, or the flag
	// with its dashes; empty for a default.
	Name string `json:"name,omitempty"`
	// Line in the file, from 1; else 0.
	Line int `json:"line,omitempty"`
}

// OriginKind is a kind of source.
type OriginKind string

// The kinds of sources. Later ones win.
const (
	FromDefault     OriginKind = "default"
	FromProfile     OriginKind = "profile"
	FromFile        OriginKind = "file"
	FromEnvironment OriginKind = "environment"
	FromFlag        OriginKind = "flag"
	// FromRequest: set in the running host, until the next start or reload.
	FromRequest OriginKind = "admin request"
)

var originRanks = []OriginKind{FromDefault, FromProfile, FromFile, FromEnvironment, FromFlag, FromRequest}

func (o Origin) rank() int { return slices.Index(originRanks, o.Kind) }

// String shows it in a few words, e.g. "file upkeep.json:3".
func (o Origin) String() string {
	switch {
	case o.Kind == "":
		return string(FromDefault)
	case o.Line > 0:
		return fmt.Sprintf("%s %s:%d", o.Kind, o.Name, o.Line)
	case o.Name != "":
		return fmt.Sprintf("%s %s", o.Kind, o.Name)
	}
	return string(o.Kind)
}

// Origins says where the values of a configuration come from.
type Origins struct {
	// File is the path of the file that was read, Profile the name of the profile
	// that lies under it; empty: none.
	File, Profile string

	keys    map[string]Origin // of every key that a source gave, sections included
	notices []Notice
}

// Of says where the value of a key such as "server.port" comes from. What no
// source gave is a default.
func (o Origins) Of(key string) Origin {
	if origin, given := o.keys[key]; given && origin.Kind != "" {
		return origin
	}
	return Origin{Kind: FromDefault}
}

// Variables lists the variables of the environment that set something, sorted.
func (o Origins) Variables() []string {
	names := map[string]bool{}
	for _, origin := range o.keys {
		if origin.Kind == FromEnvironment {
			names[origin.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Notices lists what was accepted and should be said all the same, in the order
// of the sources.
func (o Origins) Notices() []Notice { return slices.Clone(o.notices) }

// String sums the sources up, e.g. "profile production, file upkeep.json, 2 variables".
func (o Origins) String() string {
	var parts []string
	if o.Profile != "" {
		parts = append(parts, "profile "+o.Profile)
	}
	if o.File != "" {
		parts = append(parts, "file "+o.File)
	}
	if n := len(o.Variables()); n == 1 {
		parts = append(parts, "1 variable")
	} else if n > 1 {
		parts = append(parts, fmt.Sprintf("%d variables", n))
	}
	if len(parts) == 0 {
		return "built-in defaults"
	}
	return strings.Join(parts, ", ")
}

// Notice is something about a configuration that is no mistake but that its
// author should know.
type Notice struct {
	// Key that it is about.
	Key    string `json:"key"`
	Origin Origin `json:"origin"`
	// Text is half a sentence.
	Text string `json:"text"`
}

// String shows key, origin and text.
func (n Notice) String() string { return fmt.Sprintf("%s (%s): %s", n.Key, n.Origin, n.Text) }
