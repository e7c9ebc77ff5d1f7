package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/config"
	"github.com/upkeephub/upkeep/internal/doctor"
	"github.com/upkeephub/upkeep/internal/instance"
	"github.com/upkeephub/upkeep/internal/pluginhost"
	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// DoctorInput says what there is to examine where a host with these options
// runs or would run. Nothing is started or changed. Mistakes, also in the
// configuration, are findings and no errors.
func DoctorInput(opts Options) doctor.Input {
	in := doctor.Input{Version: Version, PluginDir: opts.Plugins, Admin: opts.Admin, Listeners: instance.Listeners, Ask: askHost}
	cfg, origins, err := opts.configuration()
	in.Source = origins.String()
	for _, n := range origins.Notices() {
		in.Notices = append(in.Notices, n.String())
	}
	if in.ConfigErr = err; err != nil {
		cfg = config.Default() // the directory may still be found
		if opts.Port != nil {
			cfg.Server.Port = *opts.Port
		}
	} else {
		in.Host, in.Port = cfg.Server.Host, cfg.Server.Port
		in.Certificate = examineCertificate(cfg.Server.TLS)
		in.MaxConnections = cfg.Limits.MaxConnections
		if cfg.Recovery.Enabled {
			in.Strategy = cfg.Recovery.Strategy.Plugin()
		}
		for name, p := range cfg.Plugins {
			if p.Enabled && p.Required {
				in.Required = append(in.Required, name)
			}
		}
		slices.Sort(in.Required)
	}
	policy, err := trustPolicy(cfg) // keys that do not fit are mistakes of the configuration
	if err != nil && in.ConfigErr == nil {
		in.ConfigErr = err
	}
	policy.Dir = opts.Plugins
	in.Discover = func() ([]doctor.Plugin, []doctor.Skipped, error) { return discover(opts.Plugins, policy) }
	in.Trust = func() doctor.Trust { return doctorTrust(policy) }
	if in.StateDir, in.StateDirErr = instance.Resolve(opts.StateDir, os.Getenv, cfg.Server.Port); in.StateDirErr != nil {
		return in
	}
	in.Running = func() (doctor.Running, error) { return findRunning(in.StateDir) }
	in.Locked = func() (bool, error) { return instance.Locked(in.StateDir) }
	if last, err := problem.LoadLast(in.StateDir); err == nil {
		in.LastError = last
	}
	return in
}

// DoctorEvidence is what a bug report has beside the findings about the same host.
func DoctorEvidence(opts Options, in doctor.Input) doctor.Evidence {
	var ev doctor.Evidence
	logFile := ""
	if cfg, _, err := opts.configuration(); err == nil {
		ev.Config, _ = json.Marshal(cfg) // it was validated, which includes that it can be written
		if cfg.Admin.Token != "" {
			ev.Secrets = append(ev.Secrets, string(cfg.Admin.Token))
		}
		if key := cfg.Server.Tokens.SigningKey; key != "" {
			ev.Secrets = append(ev.Secrets, string(key))
		}
		for _, t := range cfg.Server.Tokens.ClientTokens() {
			ev.Secrets = append(ev.Secrets, t.Value)
		}
		logFile = cfg.Logging.File
	}
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case strings.HasPrefix(name, "UPKEEP_"), name == "XDG_STATE_HOME", name == "STATE_DIRECTORY":
			ev.Environment = append(ev.Environment, variable)
		}
		if doctor.SoundsSecret(name) {
			ev.Secrets = append(ev.Secrets, value)
		}
	}
	if in.StateDirErr != nil {
		return ev
	}
	if token, err := os.ReadFile(filepath.Join(in.StateDir, "token")); err == nil {
		ev.Secrets = append(ev.Secrets, string(token))
	}
	ev.Logs = map[string]string{}
	if logFile != "" {
		ev.Logs[filepath.Base(logFile)] = logFile
	}
	for _, pattern := range []string{"*.log", filepath.Join("log", "*.log")} {
		paths, _ := filepath.Glob(filepath.Join(in.StateDir, pattern)) // sorted; the pattern is a good one
		for _, path := range paths[:min(len(paths), maxLogs)] {
			ev.Logs[filepath.Base(path)] = path
		}
	}
	return ev
}

// maxLogs is how many log files of a folder go into a report.
const maxLogs = 4

func discover(dir string, policy plugintrust.Policy) ([]doctor.Plugin, []doctor.Skipped, error) {
	candidates, skipped, err := pluginhost.Discover(dir)
	found := make([]doctor.Plugin, len(candidates))
	for i, c := range candidates {
		found[i] = doctor.Plugin{Name: c.Name, Pinned: c.SHA256 != "", Warnings: c.Warnings, Verify: func() (bool, error) { return c.Verify(policy) }}
	}
	left := make([]doctor.Skipped, len(skipped))
	for i, s := range skipped {
		left[i] = doctor.Skipped{Name: s.Name, Reason: s.Reason, Remedy: s.Remedy}
	}
	return found, left, err
}

// findRunning finds the host of a state directory, with what tells whether the
// clock was set since it started.
func findRunning(dir string) (doctor.Running, error) {
	info, err := instance.Running(dir)
	if err != nil {
		return doctor.Running{}, err
	}
	r := doctor.Running{PID: info.PID, Version: info.ServerVersion, Host: info.Host, Port: info.Port, Admin: info.Admin, TLS: info.TLS, Started: info.StartTime}
	if info.ProcessStartTime > 0 {
		r.Recorded = time.UnixMilli(int64(info.ProcessStartTime * 1000))
		r.Computed = instance.Look(info.PID).Started
	}
	if info.Legacy {
		r.Started = instance.Look(info.PID).Started
	}
	r.PIDFile, _ = os.ReadFile(info.Path()) // it was just read; gone now, it is left out
	return r, nil
}

const (
	// askTimeout bounds one question to the running host.
	askTimeout = 2 * time.Second
	// maxAnswer is how much of an answer is read.
	maxAnswer = 8 << 20
)

// askHost gets a read-only endpoint from the admin listener, or from the public
// port where that is off. Every status with a body is an answer: /health says
// critical with 503.
func askHost(ctx context.Context, host doctor.Running, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	addr, scheme := host.Admin, "http://"
	if addr == "" {
		if host.TLS {
			scheme = "https://"
		}
		addr = net.JoinHostPort(cmp.Or(host.Host, "localhost"), strconv.Itoa(host.Port))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+addr+path, nil)
	if err != nil {
		return nil, err
	}
	// The certificate is for the name that clients use; this asks this machine.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	answer, err := client.Do(request)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("no answer from %s within %s", addr, askTimeout)
		}
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusServiceUnavailable {
		return nil, fmt.Errorf("%s answers %s with %s", addr, path, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
}
