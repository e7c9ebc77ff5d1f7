package config

import (
	"fmt"
	"regexp"
	"strings"
)

// Tokens says which clients may connect. Without any, everybody may.
type Tokens struct {
	// Fixed are tokens with names and roles; see ClientTokens.
	Fixed Secret `json:"fixed" want:"tokens"`
	// SigningKey checks tokens that somebody else makes; see host token create.
	SigningKey Secret `json:"signing_key" want:"signing_key"`
}

// Required says whether clients need a token.
func (t Tokens) Required() bool { return t.Fixed != "" || t.SigningKey != "" }

// ClientToken is a fixed token of a client.
type ClientToken struct {
	Name  string
	Roles []string
	Value string
}

// ClientRoles are the roles that a token may have, sorted.
func ClientRoles() []string { return []string{"history", "publish", "status"} }

// ClientTokens are the fixed tokens, in the order in which they are written.
func (t Tokens) ClientTokens() []ClientToken {
	var list []ClientToken
	for entry := range strings.FieldsFuncSeq(string(t.Fixed), betweenTokens) {
		name, rest, _ := strings.Cut(entry, ":")
		roles, value, _ := strings.Cut(rest, ":")
		list = append(list, ClientToken{name, strings.FieldsFunc(roles, func(r rune) bool { return r == '+' }), value})
	}
	return list
}

func betweenTokens(r rune) bool { return r == ',' || r == '\n' || r == '\r' }

// secretRule judges a secret. What is refused is never shown.
type secretRule struct {
	want    string
	pattern *regexp.Regexp
	// longest is in bytes.
	longest int
	// settle finds what no pattern does; nil: there is nothing. It shows no secret.
	settle func(Secret) error
}

// secretRules have what secrets may look like: long enough to resist guessing, and
// fit for an HTTP header.
var secretRules = map[string]secretRule{
	"secret": {
		want:    "16 to 512 printable ASCII letters without spaces, or nothing",
		pattern: regexp.MustCompile(`^([!-~]{16,512})?$`), longest: 512,
	},
	"signing_key": {
		want:    "32 to 512 printable ASCII letters without spaces, or nothing",
		pattern: regexp.MustCompile(`^([!-~]{32,512})?$`), longest: 512,
	},
	"tokens": {
		want: "NAME:ROLES:TOKEN for each client, by lines or commas: a name, some of history, publish and status with + between, " +
			"and 16 to 512 printable ASCII letters without spaces and commas; or nothing",
		pattern: regexp.MustCompile(`^[,\r\n]*(` + tokenPattern + `([,\r\n]+` + tokenPattern + `)*[,\r\n]*)?$`), longest: 1 << 20,
		settle: func(s Secret) error {
			names, values := map[string]bool{}, map[string]string{}
			for _, t := range (Tokens{Fixed: s}).ClientTokens() {
				if names[t.Name] {
					return fmt.Errorf("each name once; %s is there twice", t.Name)
				}
				if other, twice := values[t.Value]; twice {
					return fmt.Errorf("each token once; %s and %s have the same", other, t.Name)
				}
				names[t.Name], values[t.Value] = true, t.Name
			}
			return nil
		},
	},
}

const tokenPattern = `[A-Za-z0-9._-]{1,64}:((history|publish|status)(\+(history|publish|status))*)?:[!-+\--~]{16,512}`
