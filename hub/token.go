package hub

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Role is something that a client may do beside receiving events.
type Role string

// The roles.
const (
	// RolePublish allows to send claude_event.
	RolePublish Role = "publish"
	// RoleHistory allows get_history.
	RoleHistory Role = "history"
	// RoleStatus allows the endpoints that tell more than whether the hub is well:
	// /stats, /status, /diagnostics and /metrics.
	RoleStatus Role = "status"
)

// Roles are all roles, sorted.
func Roles() []Role { return []Role{RoleHistory, RolePublish, RoleStatus} }

// Bounds of tokens and signing keys, in bytes. A key shorter than the sum that it
// is used with would be its weakest part.
const (
	MinTokenBytes = 16
	MaxTokenBytes = 4096
	MinKeyBytes   = 32
)

// Token is a fixed secret that lets a client in.
type Token struct {
	// Name is for the log; it is no secret.
	Name string
	// Value is what the client sends, MinTokenBytes to MaxTokenBytes.
	Value string
	Roles []Role
}

// TokenPolicy says who may connect: whoever has one of the fixed tokens or one that
// was signed with the key. The zero policy lets everybody in, with every role.
//
// A client gives its token as "token" in the handshake's auth, or in the header
// "Authorization: Bearer …", or as the parameter "token" of the query; the first
// of them that is there counts.
type TokenPolicy struct {
	Fixed []Token
	// SigningKey checks JSON Web Tokens signed with HMAC-SHA256 (HS256). They must
	// carry "exp"; "roles" is a list of roles, "sub" a name for the log. When one
	// expires, its client's connection is closed. Empty: none is accepted. At least
	// MinKeyBytes.
	SigningKey []byte
}

// Enabled reports whether clients need a token.
func (p TokenPolicy) Enabled() bool { return len(p.Fixed) > 0 || len(p.SigningKey) > 0 }

// validate names everything that is wrong, never a secret.
func (p TokenPolicy) validate() error {
	var wrong []error
	complain := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("hub options: Tokens: "+format, args...))
	}
	if n := len(p.SigningKey); n > 0 && n < MinKeyBytes {
		complain("the signing key has %d bytes; give at least %d", n, MinKeyBytes)
	}
	seen := map[string]bool{}
	for i, token := range p.Fixed {
		if n := len(token.Value); n < MinTokenBytes || n > MaxTokenBytes {
			complain("token %d (%q) has %d bytes; give %d to %d", i+1, token.Name, n, MinTokenBytes, MaxTokenBytes)
		}
		for _, role := range token.Roles {
			if !slices.Contains(Roles(), role) {
				complain("token %d (%q) has the role %q; give some of %q", i+1, token.Name, role, Roles())
			}
		}
		if seen[token.Value] {
			complain("token %d (%q) is there twice; give each client its own", i+1, token.Name)
		}
		seen[token.Value] = true
	}
	return errors.Join(wrong...)
}

// Reasons for which a token is refused. Clients see them, and their codes.
var (
	errNoToken      = &tokenError{"token_required", "a token is required: give it as auth.token or as Authorization: Bearer"}
	errBadToken     = &tokenError{"token_invalid", "the token is not accepted"}
	errExpiredToken = &tokenError{"token_expired", "the token has expired; get a new one"}
)

// tokenError is a refusal, with a code for programs.
type tokenError struct{ code, text string }

func (e *tokenError) Error() string { return e.text }

// access is what a token allows.
type access struct {
	name    string
	roles   roleSet
	expires time.Time // zero: never
}

// roleSet has a bit for each role.
type roleSet uint8

// everyRole is what everybody may do where no token is needed.
const everyRole roleSet = 1<<8 - 1

func (r Role) bit() roleSet {
	switch r {
	case RoleHistory:
		return 1
	case RolePublish:
		return 2
	case RoleStatus:
		return 4
	}
	return 0
}

func (s roleSet) has(r Role) bool { return s&r.bit() != 0 }

func rolesOf(roles []Role) roleSet {
	var set roleSet
	for _, r := range roles {
		set |= r.bit()
	}
	return set
}

// tokenGate decides by a TokenPolicy who comes in.
type tokenGate struct {
	enabled bool
	fixed   []fixedToken
	key     []byte
	parser  *jwt.Parser
}

// fixedToken is a token without its value.
type fixedToken struct {
	sum    [sha256.Size]byte
	access access
}

func newTokenGate(p TokenPolicy) *tokenGate {
	g := &tokenGate{
		enabled: p.Enabled(), key: slices.Clone(p.SigningKey),
		// The algorithm is ours to choose, never the token's.
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired()),
	}
	for _, t := range p.Fixed {
		g.fixed = append(g.fixed, fixedToken{sha256.Sum256([]byte(t.Value)), access{name: t.Name, roles: rolesOf(t.Roles)}})
	}
	return g
}

// claims of a signed token.
type claims struct {
	jwt.RegisteredClaims
	Roles []Role `json:"roles,omitempty"`
}

// admit says what a token allows, or why it allows nothing: a *tokenError. How
// long it takes tells nothing about the tokens that are accepted.
func (g *tokenGate) admit(token string) (access, error) {
	switch {
	case !g.enabled:
		return access{roles: everyRole}, nil
	case token == "":
		return access{}, errNoToken
	case len(token) > MaxTokenBytes:
		return access{}, errBadToken
	}
	sum := sha256.Sum256([]byte(token))
	found := -1
	for i := range g.fixed {
		if subtle.ConstantTimeCompare(sum[:], g.fixed[i].sum[:]) == 1 {
			found = i
		}
	}
	if found >= 0 {
		return g.fixed[found].access, nil
	}
	if len(g.key) == 0 {
		return access{}, errBadToken
	}
	var c claims
	_, err := g.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return g.key, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return access{}, errExpiredToken
	case err != nil:
		return access{}, errBadToken
	}
	return access{name: c.Subject, roles: rolesOf(c.Roles), expires: c.ExpiresAt.Time}, nil
}

// SignToken makes a token that TokenPolicy.SigningKey accepts until expires, for a
// client that the log calls name. The error says which of the arguments is wrong.
func SignToken(key []byte, name string, roles []Role, expires time.Time) (string, error) {
	if len(key) < MinKeyBytes {
		return "", fmt.Errorf("the signing key has %d bytes; give at least %d", len(key), MinKeyBytes)
	}
	for _, role := range roles {
		if !slices.Contains(Roles(), role) {
			return "", fmt.Errorf("there is no role %q; give some of %q", role, Roles())
		}
	}
	if expires.IsZero() {
		return "", errors.New("the token has no end; say when it expires")
	}
	c := claims{RegisteredClaims: jwt.RegisteredClaims{Subject: name, IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(expires)}, Roles: roles}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(key)
}

// tokenIn finds the token in a request: in its header, else in its query.
func tokenIn(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return r.URL.Query().Get("token")
}

// tokenOf finds the token of a client that joins: in its auth, else in the request
// with which its session began.
func tokenOf(auth map[string]any, r *http.Request) string {
	if token, ok := auth["token"].(string); ok && token != "" {
		return token
	}
	return tokenIn(r)
}
