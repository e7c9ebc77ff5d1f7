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

// usageError is a mistake on the command line.
type usageError struct{ what, hint string }

func (e *usageError) Error() string { return e.what + "\nhost: hint: " + e.hint }

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
	c := &cli{stdout: stdout, stderr: stderr, getenv: os.Getenv, settings: func(path string) (string, int, error) {
		cfg, _, err := config.Load(config.Sources{File: path, Profile: opts.Profile, Environ: os.Environ()})
		return cfg.Server.Host, cfg.Server.Port, err
	}}
	var checkRunning, stop bool
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
				hint := "host --help lists the commands"
				if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
					hint = "did you mean " + strings.Join(near, " or ") + "? " + hint
				}
				return &usageError{fmt.Sprintf("unknown command %q", args[0]), hint}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if checkRunning && stop {
				return &usageError{"--check-running and --stop are two things", "do one of them at a time"}
			}
			if checkRunning || stop {
				c.take(cmd.Flags())
				if checkRunning {
					return c.referenceCheckRunning()
				}
				return c.referenceStop(cmd.Context())
			}
			if cmd.Flags().Changed("host") {
				opts.Host = &flags.host
			}
			if cmd.Flags().Changed("port") {
				if flags.port < 0 || flags.port > 65535 {
					return &usageError{fmt.Sprintf("--port %d is no port", flags.port), "give a number from 1 to 65535, or 0 for any free one (with --state-dir)"}
				}
				opts.Port = &flags.port
			}
			if err := adminAddress(opts.Admin); err != nil {
				return err
			}
			err := app.Run(cmd.Context(), opts)
			c.take(cmd.Flags())
			c.remember(err)
			return err
		},
	}
	cmd.SuggestionsMinimumDistance = 2
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	f.SortFlags, cmd.Flags().SortFlags = false, false
	f.StringVar(&opts.Plugins, "plugins", "./plugins", "folder of the plugins")
	f.StringVar(&flags.host, "host", "localhost", "name or address that clients connect to")
	f.IntVar(&flags.port, "port", 8765, "port that clients connect to; 0: any free one (needs --state-dir)")
	f.StringVar(&opts.Admin, "admin", "", "host:port of the admin listener, or off (default 127.0.0.1 on the public port + 10000)")
	f.StringVar(&opts.StateDir, "state-dir", "", "folder for lock, PID file and sockets (default $UPKEEP_STATE_DIR, else below $XDG_STATE_HOME)")
	f.StringVar(&opts.ConfigFile, "config", "", "JSON file with settings (default $UPKEEP_CONFIG)")
	f.StringVar(&opts.Profile, "profile", "", "named settings to start from: "+strings.Join(config.Profiles(), ", "))
	f.StringVar(&opts.ServerID, "server-id", "", "name of this server (default: a new one at every start)")
	f.BoolVar(&opts.InsecureBind, "insecure-bind", false, "allow a --host that other machines reach, although nothing asks clients for a token")
	cmd.Flags().AddFlagSet(f)
	cmd.Flags().BoolVar(&checkRunning, "check-running", false, "say whether a host runs on host and port, and end: exit code 0 or 1")
	cmd.Flags().BoolVar(&stop, "stop", false, "stop the host that runs on host and port, and end")
	cmd.AddCommand(newStartCommand(c, f), newStopCommand(c), newRestartCommand(c), newReloadCommand(c), newStatusCommand(c), newCheckCommand(c),
		newPluginsCommand(c), newHistoryCommand(c), newVersionCommand(c), newDoctorCommand(c), newExplainCommand(c), newConfigCommand(c, os.Environ))
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err.Error(), flagHint(cmd.Flags(), err)}
	})
	cmd.SetVersionTemplate("host {{.Version}}\n")
	cmd.SetHelpCommand(&cobra.Command{Hidden: true})
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	return cmd
}

// flagHint names the flag that was probably meant.
func flagHint(flags *pflag.FlagSet, err error) string {
	const fallback = "host --help lists the flags"
	_, name, found := strings.Cut(err.Error(), "unknown flag: --")
	if !found {
		return fallback
	}
	best, distance := "", 4
	flags.VisitAll(func(f *pflag.Flag) {
		if d := editDistance(name, f.Name); d < distance {
			best, distance = f.Name, d
		}
	})
	if best == "" {
		return fallback
	}
	return fmt.Sprintf("did you mean --%s? %s", best, fallback)
}

// editDistance is the number of letters to change, add or remove (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
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
