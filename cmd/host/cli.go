package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
	"github.com/upkeephub/upkeep/internal/instance"
)

// cli is what the verbs share: where to write, and the flags that they have in
// common. One command line has one cli.
type cli struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	// settings gives the public host and port of the configuration at path (empty:
	// of the environment and the defaults), for commands that are not told a port.
	// nil: localhost and 8765.
	settings func(path string) (host string, port int, err error)
	// memory gives the folder for what cannot be kept in a state directory, e.g.
	// because that is another host's. nil: there is none.
	memory func() (string, error)

	stateDir   string // --state-dir
	configFile string // --config
	host       string // --host
	port       int    // --port
	json       bool   // --json: the answer as one JSON document on standard output
	quiet      bool   // --quiet: nothing on standard output, the exit code tells
}

// operands judges the arguments that are no flags: as many as there are names.
func operands(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > len(names) && cmd.HasSubCommands():
			return unknownCommand(cmd, args[len(names)])
		case len(args) > len(names):
			return &usageError{fmt.Sprintf("%s does not take %q", cmd.CommandPath(), args[len(names)]), cmd.CommandPath() + " --help shows what it takes"}
		case len(args) < len(names):
			return &usageError{fmt.Sprintf("%s needs a %s", cmd.CommandPath(), names[len(args)]), cmd.CommandPath() + " --help shows what it takes"}
		}
		return nil
	}
}

// defaultHost and defaultPort are where a host serves that is told nothing.
const (
	defaultHost = "localhost"
	defaultPort = 8765
)

// hostFlags give a command the flags that say which host is meant.
func (c *cli) hostFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(portFlag{&c.port, 1}, "port", "public port of the host that is meant (default 8765, or what the configuration says)")
	f.StringVar(&c.stateDir, "state-dir", "", "its state directory (default $UPKEEP_STATE_DIR, else chosen by the port)")
	f.StringVar(&c.configFile, "config", "", "its configuration file, for the port")
}

// take reads what hostFlags read from the flags of a run.
func (c *cli) take(flags *pflag.FlagSet) {
	text := func(name string) string {
		if f := flags.Lookup(name); f != nil && f.Changed {
			return f.Value.String()
		}
		return ""
	}
	c.host, c.stateDir, c.configFile = text("host"), text("state-dir"), text("config")
	c.port, _ = strconv.Atoi(text("port"))
}

// outputFlags give a command --json and --quiet.
func (c *cli) outputFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.json, "json", false, "print one JSON document")
	cmd.Flags().BoolVarP(&c.quiet, "quiet", "q", false, "print no answer; the exit code tells")
}

// place is where a host is, or would be.
type place struct {
	dir  string // state directory
	host string
	port int // 0: not known
}

func (p place) String() string {
	if p.port == 0 {
		return "the state directory " + p.dir
	}
	return net.JoinHostPort(p.host, strconv.Itoa(p.port))
}

// place says which host the flags, the environment and the configuration mean.
func (c *cli) place() (place, error) {
	p := place{host: defaultHost, port: defaultPort}
	if c.settings != nil {
		var err error
		if p.host, p.port, err = c.settings(c.configFile); err != nil {
			return p, err
		}
	}
	p.host, p.port = cmp.Or(c.host, p.host), cmp.Or(c.port, p.port)
	var err error
	p.dir, err = instance.Resolve(c.stateDir, c.getenv, p.port)
	return p, err
}

// running is a host that was found, proved to be one.
type running struct {
	place
	instance.Info
	client *adminapi.Client
}

// find finds the host that is meant. The error is an exitError with code 3 when
// it does not run.
func (c *cli) find() (running, error) {
	p, err := c.place()
	if err != nil {
		return running{place: p}, err
	}
	info, err := instance.Running(p.dir)
	if err == nil && c.port != 0 && info.Port != 0 && info.Port != c.port {
		err = fmt.Errorf("the host there, pid %d, serves port %d", info.PID, info.Port)
	}
	if err != nil {
		return running{place: p}, &exitError{exitNotRunning, c.notRunning(p, err)}
	}
	if info.Port != 0 { // a legacy file does not say
		p.host, p.port = info.Host, info.Port
	}
	return running{place: p, Info: info, client: adminapi.Dial(cmp.Or(info.SocketDir, p.dir))}, nil
}

// ask finds the host that is meant, for a question to it. The error is an
// exitError with code 3 when it does not run, and with code 6, at once, when its
// process is frozen and could not answer.
func (c *cli) ask() (running, error) {
	h, err := c.find()
	if err != nil || !instance.Frozen(h.PID) {
		return h, err
	}
	return h, &exitError{exitUnhealthy, &problem.Error{
		Code: problem.HealthCheckFailed, What: fmt.Sprintf("host (pid %d) on %s is frozen and does not answer", h.PID, h.place),
		Why:     "its process was stopped, by a signal (SIGSTOP), Ctrl-Z in its terminal or a debugger; until it goes on\nnobody looks after the hub",
		Steps:   []string{fmt.Sprintf("let it go on: kill -CONT %d", h.PID), "or replace it: host restart" + h.flags()},
		Context: map[string]any{"pid": h.PID, "process_status": "frozen", "state_dir": h.dir, "host": h.host, "port": h.port},
	}}
}

// notRunning explains that the host that is meant does not run, and names those
// that do.
func (c *cli) notRunning(p place, err error) error {
	why := fmt.Sprintf("the state directory %s has no PID file of a running host", p.dir)
	if !errors.Is(err, fs.ErrNotExist) {
		why = err.Error()
	}
	steps := []string{"start one: host start" + p.flags()}
	if c.stateDir == "" && c.getenv("UPKEEP_STATE_DIR") == "" {
		for _, other := range neighbours(p.dir) {
			steps = append(steps, fmt.Sprintf("or ask the one that runs on port %d: --port %d", other, other))
		}
	}
	if len(steps) == 1 {
		steps = append(steps, "or name the one that you mean: --port PORT or --state-dir DIR")
	}
	told := &problem.Error{
		Code: problem.NotRunning, What: "no host runs on " + p.String(), Why: why, Steps: steps, Err: err,
		Context: map[string]any{"host": p.host, "port": p.port, "state_dir": p.dir},
	}
	if stale, ok := errors.AsType[*instance.StaleError](err); ok { // one was killed: say what is left of it
		left := stale.Problem()
		told.Why, told.Details, told.Context["stale_process"] = left.Why, left.Details, left
		told.Steps = append(told.Steps, "see what a left PID file means: host explain "+left.Code)
	}
	return told
}

// neighbours are the ports of up to five hosts whose state directories lie
// beside dir.
func neighbours(dir string) []int {
	entries, _ := os.ReadDir(filepath.Dir(dir))
	var ports []int
	for _, e := range entries {
		if port, err := strconv.Atoi(e.Name()); err != nil || port <= 0 || len(ports) == 5 {
			continue
		}
		if info, err := instance.Running(filepath.Join(filepath.Dir(dir), e.Name())); err == nil && info.Port != 0 {
			ports = append(ports, info.Port)
		}
	}
	return ports
}

// unanswered explains an error of the client: host's own words, or that it runs
// and does not answer (exit code 6).
func (r running) unanswered(err error) error {
	if !errors.Is(err, adminapi.ErrUnreachable) {
		return err
	}
	why := "nothing came back from its admin socket"
	if errors.Is(err, context.DeadlineExceeded) {
		why = "nothing came back from its admin socket in time"
	}
	return &exitError{exitUnhealthy, &problem.Error{
		Code: problem.HealthCheckFailed, What: fmt.Sprintf("host (pid %d) on %s runs, but does not answer", r.PID, r.place), Why: why, Err: err,
		Steps:   []string{"if it has just begun or is just ending: try again", "replace it: host restart" + r.flags(), "see what it wrote last: " + filepath.Join(r.dir, logName)},
		Context: map[string]any{"pid": r.PID, "state_dir": r.dir, "host": r.host, "port": r.port},
	}}
}

// interrupted explains that a signal ended a command; why says what became of
// the host.
func interrupted(ctx context.Context, what, why string) error {
	return &problem.Error{
		Code: problem.Interrupted, What: what + " was interrupted", Why: why, Err: context.Cause(ctx),
		Steps: []string{"see whether it runs: host status"},
	}
}

// flags name the host on a command line, where it is not the default one.
func (p place) flags() string {
	var b strings.Builder
	if p.port != 0 && p.port != defaultPort {
		fmt.Fprintf(&b, " --port %d", p.port)
	}
	if filepath.Base(p.dir) != strconv.Itoa(p.port) {
		fmt.Fprintf(&b, " --state-dir %s", problem.Here().Quote(p.dir))
	}
	return b.String()
}
