package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/hub"
	"github.com/upkeephub/upkeep/internal/config"
)

// maxLifetime bounds --expires: a token that is to last longer is a fixed one, which
// can be taken back.
const maxLifetime = 366 * 24 * time.Hour

// tokenName is what a client may be called, as server.tokens.fixed has it.
var tokenName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// madeToken is the answer of host token.
type madeToken struct {
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
	Token string   `json:"token"`
	// Expires is null for a fixed token.
	Expires *time.Time `json:"expires"`
	// Entry is what server.tokens.fixed needs for a fixed token; empty for others.
	Entry string `json:"entry"`
}

// newTokenCommand is host token.
func newTokenCommand(c *cli, environ func() []string) *cobra.Command {
	var roles []string
	var expires time.Duration
	var fixed bool
	cmd := &cobra.Command{
		Use: "token NAME", Short: "make a token with which a client may connect", Args: operands("name for the client"),
		Long: `Token makes a token for a client and prints it: signed with the key that the
configuration has (server.tokens.signing_key), and good until it expires. The
hub needs no list of such tokens, and one cannot be taken back alone: changing
the key ends them all.

--fixed makes an entry for server.tokens.fixed instead: a random token that is
good as long as it stands there.

A token allows to connect and to receive events, and what its roles add:
publish (send events), history (read past events), status (read /stats,
/status, /diagnostics and /metrics).

Exit code 0, 2 without a signing key and for a mistake in the configuration or
on the command line. --json: name, roles, token, expires (null: never), entry.`,
		Example: "  host token dashboard --role history --role status --expires 12h\n  host token agent --role publish --fixed >> tokens",
		RunE: func(cmd *cobra.Command, args []string) error {
			made, err := makeToken(args[0], roles)
			if err != nil {
				return err
			}
			if fixed {
				random := make([]byte, 24)
				_, _ = rand.Read(random) // never fails
				made.Token = hex.EncodeToString(random)
				made.Entry = made.Name + ":" + strings.Join(made.Roles, "+") + ":" + made.Token
				return c.print(made, func(p *page) { p.printf("%s\n", made.Entry) })
			}
			if expires <= 0 || expires > maxLifetime {
				return &usageError{fmt.Sprintf("--expires is %s, want more than nothing and at most a year", expires), "give a duration: --expires 24h; or make a token that lasts: --fixed"}
			}
			cfg, _, err := config.Load(configSources(cmd.Flags(), environ()))
			if err != nil {
				return err
			}
			if cfg.Server.Tokens.SigningKey == "" {
				return &problem.Error{
					Code: problem.ConfigInvalid, What: "there is no key to sign a token with", Why: "server.tokens.signing_key is not set",
					Steps: []string{
						"make a key: (umask 077; openssl rand -hex 32 > signing.key)",
						"name it for host and for this command: export UPKEEP_SERVER__TOKENS__SIGNING_KEY_FILE=signing.key",
						"or make a token that needs none: host token " + made.Name + " --fixed",
					},
				}
			}
			until := time.Now().Add(expires).Truncate(time.Second).UTC()
			made.Expires = &until
			if made.Token, err = hub.SignToken([]byte(cfg.Server.Tokens.SigningKey), made.Name, rolesOf(made.Roles), until); err != nil {
				return err
			}
			return c.print(made, func(p *page) { p.printf("%s\n", made.Token) })
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&roles, "role", nil, "what the client may do beside receiving events: "+strings.Join(config.ClientRoles(), ", "))
	f.DurationVar(&expires, "expires", 24*time.Hour, "how long the token is good")
	f.BoolVar(&fixed, "fixed", false, "make an entry for server.tokens.fixed")
	c.outputFlags(cmd)
	sourceFlags(cmd)
	return cmd
}

// makeToken checks the arguments.
func makeToken(name string, roles []string) (madeToken, error) {
	if !tokenName.MatchString(name) {
		return madeToken{}, &usageError{fmt.Sprintf("a client cannot be called %q", name), "give at most 64 letters, digits, '.', '_' and '-'"}
	}
	for _, role := range roles {
		if !slices.Contains(config.ClientRoles(), role) {
			return madeToken{}, &usageError{fmt.Sprintf("there is no role %q", role), "give some of " + strings.Join(config.ClientRoles(), ", ")}
		}
	}
	roles = slices.Compact(slices.Sorted(slices.Values(roles)))
	if roles == nil {
		roles = []string{}
	}
	return madeToken{Name: name, Roles: roles}, nil
}

func rolesOf(names []string) []hub.Role {
	roles := make([]hub.Role, len(names))
	for i, name := range names {
		roles[i] = hub.Role(name)
	}
	return roles
}
