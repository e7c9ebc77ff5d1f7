package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/app"
	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// untrusted ends a command with exit code 5: something is not what it should be.
func untrusted(what string, err error, step string) error {
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		step = h.Hint()
	}
	return &exitError{exitPlugins, &problem.Error{Code: problem.PluginUntrusted, What: what, Why: err.Error(), Err: err, Steps: []string{step}}}
}

// folderFlags give a command the flags that say which plugins are meant.
func (c *cli) folderFlags(cmd *cobra.Command, opts *app.Options) {
	cmd.Flags().StringVar(&opts.Plugins, "plugins", "./plugins", "folder of the plugins")
	cmd.Flags().StringVar(&opts.ConfigFile, "config", "", "JSON file with settings (default $UPKEEP_CONFIG)")
	c.outputFlags(cmd)
}

// newPluginsLockCommand is host plugins lock.
func newPluginsLockCommand(c *cli) *cobra.Command {
	var opts app.Options
	var noStart bool
	cmd := &cobra.Command{
		Use: "lock", Short: "write down what the plugins are, so that nothing else is run", Args: operands(),
		Long: `Lock writes plugins.lock.json into the plugin folder: version, size and SHA-256
of each plugin's files. From the next start of a plugin on, host runs it only if
its files are those of the lock, and runs no plugin that is not in it.

A plugin that is an executable is locked with its plugin.json. A plugin that an
interpreter runs is locked with every file in its folder; the interpreter itself
is not locked.

Each plugin is started once and asked for its version, with the settings that
--config has for it. --no-start leaves the versions out.

A signature of an older lock is removed: sign anew.

Exit code 0 when the lock is written, 5 when something must not be locked, 2 for
a folder that cannot be used.`,
		Example: "  host plugins lock\n  host plugins lock --plugins /usr/lib/upkeep/plugins --no-start",
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := app.LockPlugins(cmd.Context(), opts, !noStart)
			if told, ok := errors.AsType[*problem.Error](err); ok && told.Code == problem.PluginUntrusted {
				return &exitError{exitPlugins, err}
			}
			if err != nil {
				return err
			}
			return c.print(done, func(p *page) { lockPage(p, done) })
		},
	}
	c.folderFlags(cmd, &opts)
	cmd.Flags().BoolVar(&noStart, "no-start", false, "start no plugin; the lock has no versions")
	return cmd
}

func lockPage(p *page, done app.LockResult) {
	rows := [][]string{{"PLUGIN", "VERSION", "FILES", "BYTES", "DETAIL"}}
	for _, one := range done.Plugins {
		detail := one.Note
		if detail == "" && one.Interpreter != "" {
			detail = "run by " + one.Interpreter + ", which is not locked"
		}
		rows = append(rows, []string{one.Name, dash(one.Version), fmt.Sprint(len(one.Files)), grouped(uint64(one.Bytes)), oneLine(detail)})
	}
	for _, s := range done.Skipped {
		rows = append(rows, []string{oneLine(s.Name), "-", "-", "-", "not locked: " + withHint(s.Reason, s.Remedy)})
	}
	p.table(rows)
	p.printf("written: %s\n", done.File)
	if done.Unsigned {
		p.printf("the signature of the lock before was removed; sign this one: host plugins sign --key FILE\n")
	}
	for _, w := range done.Warnings {
		p.printf("warning: %s\n", oneLine(w))
	}
}

// newPluginsVerifyCommand is host plugins verify.
func newPluginsVerifyCommand(c *cli) *cobra.Command {
	var opts app.Options
	cmd := &cobra.Command{
		Use: "verify", Short: "judge the plugins as before a start, and start nothing", Args: operands(),
		Long: `Verify judges every plugin as host does before it starts one: owners,
permissions and links, the checksums of plugins.lock.json and, where the
configuration trusts keys, its signature.

Exit code 0 when everything may be run, 5 when something may not, 2 for a folder
or a configuration that cannot be used.`,
		Example: "  host plugins verify\n  host plugins verify --plugins ./plugins --config upkeep.json --require-checksums",
		RunE: func(*cobra.Command, []string) error {
			v, err := app.VerifyPlugins(opts, false)
			if err != nil {
				return err
			}
			if err := c.print(v, func(p *page) { verifyPage(p, v) }); err != nil {
				return err
			}
			if !v.OK {
				return &exitError{code: exitPlugins}
			}
			return nil
		},
	}
	c.folderFlags(cmd, &opts)
	cmd.Flags().BoolVar(&opts.RequireChecksums, "require-checksums", false, "as for running host")
	return cmd
}

func verifyPage(p *page, v app.Verification) {
	switch {
	case v.Error != "":
		p.printf("no plugin may be run: %s\n", withHint(v.Error, v.Hint))
		return
	case !v.Locked:
		p.printf("not locked: owners and permissions are judged, checksums are not (host plugins lock)\n")
	case v.SignedBy != "":
		p.printf("locked, signed by the trusted key %s\n", v.SignedBy)
	default:
		p.printf("locked, not signed by a key that is trusted here\n")
	}
	rows := [][]string{{"PLUGIN", "VERDICT", "DETAIL"}}
	for _, one := range v.Plugins {
		verdict, detail := "may run", "owner and permissions"
		switch {
		case !one.OK:
			verdict, detail = "refused", withHint(one.Reason, one.Remedy)
		case one.Verified != "":
			detail = "verified by " + map[string]string{"lock": plugintrust.LockName, "sha256": "the SHA-256 in its plugin.json"}[one.Verified]
		}
		rows = append(rows, []string{one.Name, verdict, detail})
	}
	for _, name := range v.Missing {
		rows = append(rows, []string{name, "missing", "is in " + plugintrust.LockName + ", but not in the folder (install it again, or run: host plugins lock)"})
	}
	p.table(rows)
	for _, w := range v.Warnings {
		p.printf("warning: %s\n", oneLine(w))
	}
}

// signed is the answer of sign and keygen.
type signed struct {
	// File that was written.
	File string `json:"file"`
	// PublicKey is what a configuration trusts, Fingerprint its short name.
	PublicKey   string `json:"public_key"`
	Fingerprint string `json:"fingerprint"`
}

func signedPage(p *page, s signed) {
	p.printf("written: %s\nkey %s; to trust it, put into the configuration:\n\n", s.File, s.Fingerprint)
	p.printf("  \"plugin_trust\": {\"trusted_keys\": [%q]}\n", s.PublicKey)
}

// newPluginsSignCommand is host plugins sign.
func newPluginsSignCommand(c *cli) *cobra.Command {
	var opts app.Options
	var file string
	cmd := &cobra.Command{
		Use: "sign --key FILE", Short: "sign the lock of the plugins", Args: operands(),
		Long: `Sign writes plugins.lock.json.sig beside the lock: the ed25519 signature of the
lock's bytes, in base64. A host whose configuration trusts the key (plugin_trust.trusted_keys) then runs
nothing that is not in a lock signed by it.

FILE is a private key in PEM (PKCS #8), readable by its owner alone, as host
plugins keygen or openssl genpkey -algorithm ed25519 makes it. Before anything is
signed the plugins are verified: what is there has to be what is locked.

Exit code 0 when it is signed, 5 when the plugins are not what is locked or the
key is not fit, 2 for a folder that cannot be used.`,
		Example: "  host plugins lock && host plugins sign --key ~/.config/upkeep/plugins.key",
		RunE: func(*cobra.Command, []string) error {
			if file == "" {
				return &usageError{"host plugins sign needs a key", "name the private key: host plugins sign --key FILE; host plugins keygen --key FILE makes one"}
			}
			key, err := plugintrust.ReadKey(file)
			if err != nil {
				return untrusted("the key "+file+" is not used", err, "name a private key that you may read: host plugins sign --key FILE")
			}
			opts.RequireChecksums = true
			v, err := app.VerifyPlugins(opts, true)
			if err != nil {
				return err
			}
			if !v.OK {
				if err := c.print(v, func(p *page) { verifyPage(p, v) }); err != nil {
					return err
				}
				return &exitError{code: exitPlugins}
			}
			if err := plugintrust.Sign(opts.Plugins, key); err != nil {
				return untrusted("the lock was not signed", err, "run it as a user who may write to "+opts.Plugins)
			}
			s := signed{filepath.Join(opts.Plugins, plugintrust.SignatureName), key.Public().String(), key.Public().Fingerprint()}
			return c.print(s, func(p *page) { signedPage(p, s) })
		},
	}
	c.folderFlags(cmd, &opts)
	cmd.Flags().StringVar(&file, "key", "", "private key to sign with")
	return cmd
}

// newPluginsKeygenCommand is host plugins keygen.
func newPluginsKeygenCommand(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "keygen --key FILE", Short: "make a key that locks can be signed with", Args: operands(),
		Long: `Keygen makes an ed25519 key pair. The private key goes to a new file that only
its owner may read (PEM, PKCS #8); a file that is there already is left alone.
The public key is printed as configurations have it. Keep the private key away
from the machines whose plugins it signs.

Exit code 0 when the key is made, 2 when the file cannot be written.`,
		Example: "  host plugins keygen --key plugins.key",
		RunE: func(*cobra.Command, []string) error {
			if file == "" {
				return &usageError{"host plugins keygen needs a file for the private key", "name a new file: host plugins keygen --key FILE"}
			}
			key, err := plugintrust.NewKey(file)
			if errors.Is(err, fs.ErrExist) {
				return &problem.Error{Code: problem.Usage, What: file + " is there already, and was left alone", Err: err, Why: "a key that is overwritten is lost",
					Steps: []string{"name a new file: host plugins keygen --key FILE"}}
			}
			if err != nil {
				return &problem.Error{Code: problem.Usage, What: "the key cannot be written", Err: err, Steps: []string{"name a new file in a folder that you may write"}}
			}
			s := signed{file, key.Public().String(), key.Public().Fingerprint()}
			return c.print(s, func(p *page) { signedPage(p, s) })
		},
	}
	cmd.Flags().StringVar(&file, "key", "", "new file for the private key")
	c.outputFlags(cmd)
	return cmd
}
