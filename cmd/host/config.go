package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/app"
	"github.com/upkeephub/upkeep/internal/config"
)

// configFlags are the flags of the command line that set a key.
var configFlags = map[string]string{
	"host": "server.host", "port": "server.port", "server-id": "server.server_id", "admin": "admin.address",
}

// configSources gathers what a command's flags and the environment say, for
// config.Load. Flags that the command does not have are no matter.
func configSources(flags *pflag.FlagSet, environ []string) config.Sources {
	s := config.Sources{Environ: environ, Flags: map[string]any{}}
	text := func(name string) (string, bool) {
		f := flags.Lookup(name)
		if f == nil || !f.Changed {
			return "", false
		}
		return f.Value.String(), true
	}
	s.File, _ = text("config")
	s.Profile, _ = text("profile")
	for name, key := range configFlags {
		value, given := text(name)
		if !given {
			continue
		}
		s.Flags[key] = value
		if f := flags.Lookup(name); f.Value.Type() == "int" {
			s.Flags[key] = json.Number(value)
		}
	}
	return s
}

// newConfigCommand is host config. environ gives the environment, as os.Environ
// does.
func newConfigCommand(c *cli, environ func() []string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "write, check, show and translate the configuration",
		Long: `Config works on the configuration: a JSON file, the environment (UPKEEP_...), a
profile and flags. No command of it needs a running host or touches one.`,
		Example: `  host config init upkeep.json
  host config validate upkeep.json
  host config show --origin`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return &usageError{"config what?", "host config init, validate, show, schema or import"}
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(
		newConfigInitCommand(c), newConfigValidateCommand(c, environ), newConfigShowCommand(c, environ),
		newConfigSchemaCommand(c), newConfigImportCommand(c, environ),
	)
	return cmd
}

// atMost judges arguments: up to limit of them, called by the name.
func atMost(limit int, name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > limit {
			return &usageError{fmt.Sprintf("%s takes at most one %s, not also %q", cmd.CommandPath(), name, args[limit]), cmd.CommandPath() + " --help shows what it takes"}
		}
		return nil
	}
}

func newConfigInitCommand(c *cli) *cobra.Command {
	var profile string
	cmd := &cobra.Command{
		Use: "init [FILE]", Short: "write a configuration file with every key",
		Long: `Init writes a configuration file that holds every key with its default, or with
the value of a profile: to FILE, which must not exist, or to standard output.

With --json and FILE the answer has file and notices (key, origin, text).

Exit code 0, 2 if FILE exists or cannot be written.`,
		Example: "  host config init upkeep.json\n  host config init --profile production > upkeep.json",
		Args:    atMost(1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, _, err := config.Load(config.Sources{Profile: profile})
			if err != nil {
				return err
			}
			data, err := cfg.File()
			if err != nil {
				return err
			}
			return c.writeConfig(data, args, nil)
		},
	}
	c.outputFlags(cmd)
	cmd.Flags().StringVar(&profile, "profile", "", "take the values of a profile: development, production or docker")
	return cmd
}

// written is what config init and import say about the file that they wrote.
type written struct {
	File    string          `json:"file"`
	Notices []config.Notice `json:"notices"`
}

// writeConfig writes to the file that args name, or to standard output, and says
// what there is to notice.
func (c *cli) writeConfig(data []byte, args []string, notices []config.Notice) error {
	if len(args) == 0 {
		for _, n := range notices {
			fmt.Fprintf(c.stderr, "notice: %s\n", n)
		}
		if c.quiet {
			return nil
		}
		_, err := c.stdout.Write(data)
		return err
	}
	path := args[0]
	err := config.WriteNew(path, data)
	if err == nil {
		return c.print(written{path, append([]config.Notice{}, notices...)}, func(*page) {
			for _, n := range notices {
				fmt.Fprintf(c.stderr, "notice: %s\n", n)
			}
			fmt.Fprintf(c.stderr, "wrote %s\n", path)
		})
	}
	p := &problem.Error{
		Code: problem.ConfigInvalid, What: "cannot write the configuration file " + path, Err: err,
		Steps: []string{"name another file, in a folder that exists and that you may write to"}, Context: map[string]any{"path": path},
	}
	if errors.Is(err, fs.ErrExist) {
		p.What, p.Why = fmt.Sprintf("the file %s exists already", path), "a configuration is never overwritten"
		p.Steps = []string{"name another file, or none to write to standard output", "or move the old one away first"}
	}
	return p
}

// validation is what config validate --json says.
type validation struct {
	Valid    bool             `json:"valid"`
	File     string           `json:"file"`
	Profile  string           `json:"profile"`
	Mistakes []config.Mistake `json:"mistakes"`
	Notices  []config.Notice  `json:"notices"`
}

func newConfigValidateCommand(c *cli, environ func() []string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "validate [FILE]", Short: "check a configuration without starting anything",
		Long: `Validate reads FILE (else --config, else $UPKEEP_CONFIG) together with the profile
and the environment, as a start would, and reports every mistake at once. What
is accepted without effect is said as well. Settings of plugins are judged by
the plugins, when host starts.

Exit code 0, 2 if there is a mistake. --json: valid, file, profile, mistakes
(key, source, line, got, want) and notices (key, origin, text).`,
		Example: "  host config validate upkeep.json\n  host config validate --profile production && host reload",
		Args:    atMost(1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			sources := configSources(cmd.Flags(), environ())
			if len(args) > 0 {
				if sources.File != "" {
					return &usageError{"FILE and --config name two files", "give one of the two"}
				}
				sources.File = args[0]
			}
			cfg, origins, err := config.Load(sources)
			answer := validation{Valid: err == nil, File: origins.File, Profile: origins.Profile, Mistakes: []config.Mistake{}, Notices: []config.Notice{}}
			if err != nil {
				if !c.json {
					return err
				}
				if p, ok := errors.AsType[*problem.Error](err); ok {
					if mistakes, ok := p.Context["mistakes"].([]config.Mistake); ok {
						answer.Mistakes = mistakes
					} else {
						answer.Mistakes = append(answer.Mistakes, config.Mistake{Want: p.Error()})
					}
				}
				return errors.Join(c.print(answer, nil), &exitError{code: exitUsage})
			}
			answer.Notices = append(answer.Notices, notices(cfg, origins)...)
			return c.print(answer, func(p *page) {
				p.printf("valid: %s\n", origins)
				for _, n := range answer.Notices {
					p.printf("notice: %s\n", n)
				}
			})
		},
	}
	c.outputFlags(cmd)
	sourceFlags(cmd)
	return cmd
}

// notices are those of the sources, and what a start would add to them.
func notices(cfg config.Config, origins config.Origins) []config.Notice {
	list := origins.Notices()
	if !app.Loopback(cfg.Server.Host) && !cfg.Server.Tokens.Required() {
		list = append(list, config.Notice{
			Key: "server.host", Origin: origins.Of("server.host"),
			Text: cfg.Server.Host + " can be reached by other machines: host refuses to start without --insecure-bind",
		})
	}
	return list
}

// sourceFlags give a command the flags that name sources.
func sourceFlags(cmd *cobra.Command) {
	cmd.Flags().String("config", "", "the configuration file (default $UPKEEP_CONFIG)")
	cmd.Flags().String("profile", "", "development, production or docker (default $UPKEEP_PROFILE)")
}

// shownSetting is one line of config show --origin --json.
type shownSetting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`
	Live   bool   `json:"live"`
}

func newConfigShowCommand(c *cli, environ func() []string) *cobra.Command {
	var origin bool
	cmd := &cobra.Command{
		Use: "show", Short: "show the configuration that a start would use",
		Long: `Show lists every key with the value that a start with the same flags would use.
--origin adds where it comes from: default, profile, file and line, environment
or flag, and whether host reload takes a change of it up. Thresholds that nobody set are the plugins' own and are not listed.
Secrets are masked.

Exit code 0, 2 if there is a mistake in the configuration. --json: the
configuration as a file; with --origin a list of key, value, origin and live
(whether a reload changes it without a restart).`,
		Example: "  host config show --origin\n  host config show --profile production --json",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, origins, err := config.Load(configSources(cmd.Flags(), environ()))
			if err != nil {
				return err
			}
			if c.json && !origin && !c.quiet {
				data, err := cfg.File()
				if err == nil {
					_, err = c.stdout.Write(data)
				}
				return err
			}
			settings := cfg.Settings()
			shown := make([]shownSetting, len(settings))
			for i, s := range settings {
				shown[i] = shownSetting{s.Key, s.Value, origins.Of(s.Key).String(), s.Live}
			}
			return c.print(shown, func(p *page) {
				rows := [][]string{{"KEY", "VALUE", "ORIGIN", "TAKEN UP BY"}}
				for _, s := range shown {
					value, err := json.Marshal(s.Value)
					if err != nil {
						value = []byte(err.Error())
					}
					by := "restart"
					if s.Live {
						by = "reload"
					}
					rows = append(rows, []string{s.Key, string(value), s.Origin, by})
				}
				if !origin {
					for i := range rows {
						rows[i] = rows[i][:2]
					}
				}
				p.table(rows)
			})
		},
	}
	c.outputFlags(cmd)
	sourceFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&origin, "origin", false, "add where each value comes from")
	f.String("host", "", "as for a start")
	f.Var(portFlag{new(int), 0}, "port", "as for a start")
	f.String("server-id", "", "as for a start")
	f.String("admin", "", "as for a start")
	return cmd
}

func newConfigSchemaCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "schema", Short: "print the JSON Schema of the configuration file",
		Long: `Schema prints the JSON Schema (draft 2020-12) of the configuration file. An
editor that knows it completes keys and marks mistakes; files that init and
import write name it.`,
		Example: "  host config schema > upkeep.schema.json",
		Args:    operands(),
		RunE: func(*cobra.Command, []string) error {
			data, err := config.Schema()
			if err == nil && !c.quiet {
				_, err = c.stdout.Write(data)
			}
			return err
		},
	}
	c.outputFlags(cmd)
	return cmd
}

func newConfigImportCommand(c *cli, environ func() []string) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "import [FILE...]", Short: "translate the configuration of a claude-mpm Socket.IO server",
		Long: `Import translates the nested and the flat configuration file of a claude-mpm
Socket.IO server, and its variables (CLAUDE_MPM_SOCKETIO_..., CLAUDE_MPM_DEBUG),
into a configuration file: to standard output, or to a file that must not exist.
Later files win over earlier ones, and variables over files. What has no
counterpart is named on standard error; with --json and --output the answer has
file and notices (key, origin, text).

Exit code 0, 2 if a file cannot be read, a value cannot be used, or nothing was
found.`,
		Example: "  host config import ~/.claude-mpm/socketio_config.json\n  host config import old.json --output upkeep.json",
		RunE: func(_ *cobra.Command, files []string) error {
			got, err := config.Import(files, environ())
			if err != nil {
				return err
			}
			if got.Empty && len(files) == 0 {
				return &usageError{"there is nothing to import", "name the file, e.g. host config import ~/.claude-mpm/socketio_config.json; no variable CLAUDE_MPM_SOCKETIO_... is set"}
			}
			if out == "" {
				return c.writeConfig(got.JSON, nil, got.Notices)
			}
			return c.writeConfig(got.JSON, []string{out}, got.Notices)
		},
	}
	c.outputFlags(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write, which must not exist")
	return cmd
}
