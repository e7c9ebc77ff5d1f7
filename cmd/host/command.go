package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upkeephub/upkeep/internal/app"
	"github.com/upkeephub/upkeep/internal/config"
)

const helpText = `Upkeep is a Socket.IO hub that keeps itself up.

  host --plugins ./plugins

serves Socket.IO to clients, watches that service through checker plugins, and
heals it step by step through a strategy plugin behind a circuit breaker.`

// command is the command line.
func command(stdout, stderr io.Writer, hangups <-chan os.Signal) *cobra.Command {
	opts := app.Options{Stdout: stdout, Stderr: stderr, Hangups: hangups}
	var flags struct {
		host string
		port int
	}
	c := &cli{stdout: stdout, stderr: stderr, getenv: os.Getenv, memory: os.UserCacheDir, settings: func(path string) (string, int, error) {
		cfg, _, err := config.Load(config.Sources{File: path, Profile: opts.Profile, Environ: os.Environ()})
		return cfg.Server.Host, cfg.Server.Port, err
	}}
	var checkRunning, stop bool
	serve := func(cmd *cobra.Command) error {
		if cmd.Flags().Changed("host") {
			opts.Host = &flags.host
		}
		if cmd.Flags().Changed("port") {
			opts.Port = &flags.port
		}
		if err := adminAddress(opts.Admin); err != nil {
			return err
		}
		opts.JSON = c.json
		if c.quiet {
			opts.Stdout = io.Discard
		}
		err := app.Run(cmd.Context(), opts)
		c.take(cmd.Flags())
		c.remember(err)
		return err
	}
	cmd := &cobra.Command{
		Use:   "host [flags]",
		Short: "run a Socket.IO hub that keeps itself up",
		Long:  helpText,
		Example: `  host --plugins ./plugins                      serve on localhost:8765
  host --plugins ./plugins --port 8766          a second host beside it
  host --plugins ./plugins --config upkeep.json with settings of your own`,
		Version:       app.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case checkRunning && stop:
				return &usageError{"--check-running and --stop are two things", "do one of them at a time"}
			case checkRunning:
				c.take(cmd.Flags())
				return c.referenceCheckRunning()
			case stop:
				c.take(cmd.Flags())
				return c.referenceStop(cmd.Context())
			}
			return serve(cmd)
		},
	}
	run := &cobra.Command{
		Use: "run", Short: "run a host in the foreground, as host without a command does", Args: operands(),
		Long: `Run runs a host in the foreground until it is told to stop: by Ctrl-C, SIGTERM or
host stop. It is what host does without a command.

With --json its first screen is a document with version, server_id, pid, host,
port, addresses, admin_address, state_dir, config, plugins (as host plugins has
them) and ready_ms. The log goes to standard error either way.

Exit code 0 when it was told to stop, 2 for a mistake on the command line or in
the configuration, 4 when a host runs there already or a port is taken, 8 after
an emergency stop, 1 for any other failure.`,
		Example: "  host run --plugins ./plugins",
		RunE:    func(cmd *cobra.Command, _ []string) error { return serve(cmd) },
	}
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	f.SortFlags = false
	f.StringVar(&opts.Plugins, "plugins", "./plugins", "folder of the plugins")
	f.StringVar(&flags.host, "host", "localhost", "name or address that clients connect to")
	flags.port = defaultPort
	f.Var(portFlag{&flags.port, 0}, "port", "port that clients connect to; 0: any free one (needs --state-dir)")
	f.StringVar(&opts.Admin, "admin", "", "host:port of the admin listener, or off (default 127.0.0.1 on the public port + 10000)")
	f.StringVar(&opts.StateDir, "state-dir", "", "folder for lock, PID file and sockets (default $UPKEEP_STATE_DIR, else below $XDG_STATE_HOME)")
	f.StringVar(&opts.ConfigFile, "config", "", "JSON file with settings (default $UPKEEP_CONFIG)")
	f.StringVar(&opts.Profile, "profile", "", "named settings to start from: "+strings.Join(config.Profiles(), ", "))
	f.StringVar(&opts.ServerID, "server-id", "", "name of this server (default: a new one at every start)")
	f.BoolVar(&opts.InsecureBind, "insecure-bind", false, "allow a --host that other machines reach, although nothing asks clients for a token")
	f.BoolVar(&opts.RequireChecksums, "require-checksums", false, "run no plugin that is not what plugins.lock.json in the plugin folder says")
	for _, one := range []*cobra.Command{cmd, run} {
		one.Flags().SortFlags = false
		one.Flags().AddFlagSet(f)
		c.outputFlags(one)
	}
	cmd.Flags().BoolVar(&checkRunning, "check-running", false, "say whether a host runs on host and port, and end: exit code 0 or 1")
	cmd.Flags().BoolVar(&stop, "stop", false, "stop the host that runs on host and port, and end")
	cmd.AddCommand(run, newStartCommand(c, f), newStopCommand(c), newRestartCommand(c), newReloadCommand(c), newStatusCommand(c), newCheckCommand(c),
		newPluginsCommand(c), newQuarantineCommand(c), newApprovalsCommand(c), newApproveCommand(c), newDenyCommand(c),
		newPauseCommand(c), newResumeCommand(c), newBreakerCommand(c), newRecoverCommand(c), newHistoryCommand(c), newVersionCommand(c), newDoctorCommand(c), newExplainCommand(c), newConfigCommand(c, os.Environ), newTokenCommand(c, os.Environ))
	cmd.SetFlagErrorFunc(flagError)
	cmd.SetVersionTemplate("host {{.Version}}\n")
	cmd.SetHelpCommand(&cobra.Command{Hidden: true})
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	return cmd
}

// adminAddress judges the value of --admin before anything is opened.
func adminAddress(value string) error {
	if value == "" || value == app.AdminOff {
		return nil
	}
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		return &usageError{fmt.Sprintf("--admin %q is no address", value), "give host:port, e.g. 127.0.0.1:18765, or off"}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return &usageError{fmt.Sprintf("--admin %q: %q is no port", value, port), "give a number from 1 to 65535, or 0 for any free one"}
	}
	if !app.Loopback(host) {
		return &usageError{fmt.Sprintf("--admin %q can be reached by other machines", value), "the admin listener is for this machine: give a loopback address such as 127.0.0.1:18765"}
	}
	return nil
}
