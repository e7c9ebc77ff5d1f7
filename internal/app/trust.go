package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/config"
	"github.com/upkeephub/upkeep/internal/doctor"
	"github.com/upkeephub/upkeep/internal/pluginhost"
	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// trustPolicy is what the configuration asks of a plugin directory.
func trustPolicy(cfg config.Config) (plugintrust.Policy, error) {
	p := plugintrust.Policy{RequireChecksums: cfg.PluginTrust.RequireChecksums}
	for i, text := range cfg.PluginTrust.TrustedKeys {
		key, err := plugintrust.ParsePublicKey(text)
		if err != nil {
			return p, &problem.Error{
				Code: problem.ConfigInvalid, What: fmt.Sprintf("plugin_trust.trusted_keys[%d] is no key", i), Why: err.Error(), Err: err,
				Steps: []string{"take the line that host plugins keygen, or host plugins sign, prints"},
			}
		}
		p.Keys = append(p.Keys, key)
	}
	return p, nil
}

// doctorTrust is what doctor says about the lock.
func doctorTrust(p plugintrust.Policy) doctor.Trust {
	s, err := p.Read()
	return doctor.Trust{
		Required: p.RequireChecksums || len(p.Keys) > 0, Locked: s.Locked, Names: slices.Sorted(maps.Keys(s.Lock.Plugins)),
		SignedBy: s.SignedBy, Unverified: s.Unverified, Warnings: s.Warnings, Err: err,
	}
}

// LockedPlugin is one plugin that LockPlugins wrote into the lock.
type LockedPlugin struct {
	Name    string                      `json:"name"`
	Version string                      `json:"version"`
	Files   map[string]plugintrust.File `json:"files"`
	// Bytes is the size of all files.
	Bytes int64 `json:"bytes"`
	// Interpreter runs the plugin's script; it is not locked.
	Interpreter string `json:"interpreter,omitempty"`
	// Note says why its version is not known; empty when it is, or nobody asked.
	Note string `json:"note,omitempty"`
}

// LockResult is what LockPlugins did.
type LockResult struct {
	// File that was written.
	File    string         `json:"file"`
	Plugins []LockedPlugin `json:"plugins"`
	// Skipped are the entries of the directory that are no plugins, or must not be run.
	Skipped []SkippedPlugin `json:"skipped"`
	// Unsigned: the signature of the lock before was removed.
	Unsigned bool `json:"signature_removed"`
	// Warnings are one sentence each.
	Warnings []string `json:"warnings"`
}

// SkippedPlugin is an entry that is not run, and why.
type SkippedPlugin struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy,omitempty"`
}

// LockPlugins writes the lock of a plugin directory: what is there now is what
// shall run. With start it starts each plugin once, as a host would, and asks for
// its version; that takes as long as the slowest plugin, at most some 15 s.
func LockPlugins(ctx context.Context, opts Options, start bool) (LockResult, error) {
	out := LockResult{Plugins: []LockedPlugin{}, Skipped: []SkippedPlugin{}, Warnings: []string{}}
	found, skipped, err := pluginhost.Discover(opts.Plugins)
	if err != nil {
		return out, unusableFolder(opts.Plugins, err)
	}
	if out.File, err = filepath.Abs(filepath.Join(opts.Plugins, plugintrust.LockName)); err != nil {
		return out, err
	}
	versions := map[string]string{}
	notes := map[string]string{}
	if start {
		if versions, notes, err = askVersions(ctx, opts); err != nil {
			return out, err
		}
	}
	lock := plugintrust.Lock{Plugins: map[string]plugintrust.Entry{}}
	var refused []error
	for _, c := range found {
		files, err := c.Measure()
		if err != nil {
			refused = append(refused, fmt.Errorf("plugin %s: %w", c.Name, err))
			continue
		}
		lock.Plugins[c.Name] = plugintrust.Entry{Version: versions[c.Name], Files: files}
		one := LockedPlugin{Name: c.Name, Version: versions[c.Name], Files: files, Interpreter: c.Interpreter, Note: notes[c.Name]}
		for _, f := range files {
			one.Bytes += f.Size
		}
		out.Plugins = append(out.Plugins, one)
		for _, w := range c.Warnings {
			if !slices.Contains(out.Warnings, w) {
				out.Warnings = append(out.Warnings, w)
			}
		}
	}
	if err := errors.Join(refused...); err != nil {
		return out, &problem.Error{Code: problem.PluginUntrusted, What: "not everything in " + opts.Plugins + " can be locked", Why: err.Error(), Err: err,
			Steps: []string{stepOf(err, "mend or remove what is named, then lock again")}}
	}
	for _, s := range skipped {
		out.Skipped = append(out.Skipped, SkippedPlugin{s.Name, s.Reason, s.Remedy})
	}
	if out.Unsigned, err = plugintrust.WriteLock(opts.Plugins, lock); err != nil {
		return out, &problem.Error{Code: problem.Usage, What: "cannot write " + out.File, Why: err.Error(), Err: err,
			Steps: []string{"run it as a user who may write to " + opts.Plugins}}
	}
	return out, nil
}

// maxTemp leaves room for sockets below a folder in the temporary one.
const maxTemp = 40

// askVersions starts every plugin once, without regard to a lock, and ends it.
func askVersions(ctx context.Context, opts Options) (versions, notes map[string]string, err error) {
	cfg, _, err := opts.configuration()
	if err != nil {
		return nil, nil, err
	}
	temp := os.TempDir()
	if len(temp) > maxTemp && runtime.GOOS != "windows" {
		temp = "/tmp" // a socket's path is short
	}
	dir, err := os.MkdirTemp(temp, "upkeep-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder for the plugins' sockets: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	host := pluginhost.DefaultOptions()
	host.Dir, host.RuntimeDir, host.Log = opts.Plugins, dir, hclog.NewNullLogger()
	host.IgnoreLock = true
	given := pluginConfiguration(cfg)
	host.Settings, host.Thresholds, host.StrategyConfig = given.Settings, given.Thresholds, given.StrategyConfig
	plugins, err := pluginhost.New(host)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- plugins.Run(ctx) }()
	select {
	case <-plugins.Started():
	case <-ctx.Done():
	}
	versions, notes = map[string]string{}, map[string]string{}
	for _, p := range plugins.Plugins() {
		versions[p.Name] = p.Info.Version
		if p.Info.Version == "" {
			notes[p.Name] = "version not known: " + p.LastError
		}
	}
	stopped := ctx.Err()
	cancel()
	return versions, notes, errors.Join(stopped, <-ended)
}

// VerifiedPlugin is what VerifyPlugins says about one plugin.
type VerifiedPlugin struct {
	Name string `json:"name"`
	// OK: it may be run.
	OK bool `json:"ok"`
	// Verified says by what: lock, sha256, or nothing but owners and permissions.
	Verified string `json:"verified"`
	Reason   string `json:"reason,omitempty"`
	Remedy   string `json:"remedy,omitempty"`
}

// Verification is what VerifyPlugins found.
type Verification struct {
	Directory string `json:"directory"`
	// Locked, SignedBy and Required tell of the lock; Error why no plugin is run.
	Locked   bool             `json:"locked"`
	Required bool             `json:"required"`
	SignedBy string           `json:"signed_by,omitempty"`
	Error    string           `json:"error,omitempty"`
	Hint     string           `json:"hint,omitempty"`
	Plugins  []VerifiedPlugin `json:"plugins"`
	// Missing are in the lock, and not in the directory.
	Missing  []string `json:"missing"`
	Warnings []string `json:"warnings"`
	// OK: the lock may be believed, and everything that would be run is what it says.
	OK bool `json:"ok"`
}

// VerifyPlugins judges every plugin as before a start, and starts nothing. With
// unsigned the signature is not asked for.
func VerifyPlugins(opts Options, unsigned bool) (Verification, error) {
	cfg, _, err := opts.configuration()
	if err != nil {
		return Verification{}, err
	}
	policy, err := trustPolicy(cfg)
	if err != nil {
		return Verification{}, err
	}
	if unsigned {
		policy.Keys = nil
	}
	policy.Dir = opts.Plugins
	v := Verification{Directory: opts.Plugins, Plugins: []VerifiedPlugin{}, Missing: []string{}, Warnings: []string{}}
	found, skipped, err := pluginhost.Discover(opts.Plugins)
	if err != nil {
		return v, unusableFolder(opts.Plugins, err)
	}
	t := doctorTrust(policy)
	v.Locked, v.Required, v.SignedBy, v.OK = t.Locked, t.Required, t.SignedBy, t.Err == nil
	v.Warnings = append(v.Warnings, t.Warnings...)
	if t.Err != nil {
		v.Error, v.Hint = t.Err.Error(), hint(t.Err)
	}
	if t.Unverified && !unsigned {
		v.Warnings = append(v.Warnings, "there is a signature, and plugin_trust.trusted_keys has no key to verify it with")
	}
	var names []string
	for _, c := range found {
		names = append(names, c.Name)
		one := VerifiedPlugin{Name: c.Name, OK: true}
		locked, err := c.Verify(policy)
		switch {
		case err != nil:
			one.OK, v.OK = false, false
			one.Reason, one.Remedy = cause(err), hint(err)
		case locked:
			one.Verified = string(pluginhost.VerifiedByLock)
		case c.SHA256 != "":
			one.Verified = string(pluginhost.VerifiedBySum)
		}
		v.Plugins = append(v.Plugins, one)
		for _, w := range c.Warnings {
			if !slices.Contains(v.Warnings, w) {
				v.Warnings = append(v.Warnings, w)
			}
		}
	}
	for _, s := range skipped {
		names = append(names, s.Name)
		if slices.Contains(t.Names, s.Name) { // it was meant to run
			v.OK = false
			v.Plugins = append(v.Plugins, VerifiedPlugin{Name: s.Name, Reason: s.Reason, Remedy: s.Remedy})
		}
	}
	for _, name := range t.Names {
		if !slices.Contains(names, name) {
			v.Missing = append(v.Missing, name)
		}
	}
	return v, nil
}

// cause is a refusal without the plugin's name, which stands beside it.
func cause(err error) string {
	if launch, ok := errors.AsType[*pluginhost.LaunchError](err); ok {
		err = launch.Err
	}
	return err.Error()
}

func stepOf(err error, other string) string {
	if h := hint(err); h != "" {
		return h
	}
	return other
}

// unusableFolder explains a *pluginhost.DirectoryError.
func unusableFolder(dir string, err error) error {
	steps := []string{"name the folder that holds the plugins: --plugins DIR"}
	if h := hint(err); h != "" {
		steps = append([]string{h}, steps...)
	}
	return &problem.Error{Code: problem.PluginsMissing, What: "the plugin folder " + dir + " cannot be used", Why: err.Error(), Steps: steps, Err: err,
		Context: map[string]any{"plugins": dir}}
}
