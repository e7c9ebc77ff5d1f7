package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/app"
	"github.com/upkeephub/upkeep/internal/doctor"
)

// newDoctorCommand is host doctor.
func newDoctorCommand(c *cli) *cobra.Command {
	var opts app.Options
	var bundle string
	cmd := &cobra.Command{
		Use: "doctor", Short: "examine configuration, state directory, ports, plugins and limits", Args: operands(),
		Long: `Doctor examines where a host runs or would run with the same flags: the
configuration, the state directory and its lock, disk space, ports, plugins,
the limit on open files, the clock and versions. Each finding that is not well
comes with what to do. Nothing is changed, and no host needs to run.

--bundle packs the findings with the configuration, /health, /diagnostics, the
PID file, the last error and the end of the log into a new tar.gz for a bug
report. Tokens, passwords, keys and session ids are taken out; look it over
before you send it all the same.

Exit code 0 without errors (warnings are none), 1 with, 2 for a mistake on the
command line.`,
		Example: "  host doctor\n  host doctor --plugins ./plugins --config upkeep.json\n  host doctor --bundle upkeep-report.tar.gz",
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.StateDir, opts.ConfigFile = c.stateDir, c.configFile
			if cmd.Flags().Changed("port") {
				opts.Port = &c.port
			}
			if cmd.Flags().Changed("host") {
				opts.Host = &c.host
			}
			in := app.DoctorInput(opts)
			if last, err := c.recall(in.StateDir); err == nil { // also what the directory itself could not keep
				in.LastError = last
			}
			found := doctor.Run(cmd.Context(), in)
			if bundle != "" {
				if err := found.WriteBundle(bundle, app.DoctorEvidence(opts, in)); err != nil {
					return &problem.Error{
						Code: problem.Usage, What: "the bundle cannot be written", Why: err.Error(), Err: err,
						Steps: []string{"name a new file in a folder that you may write: host doctor --bundle FILE"},
					}
				}
			}
			if err := c.print(found, func(p *page) { doctorPage(p, found.Report, bundle) }); err != nil {
				return err
			}
			if found.Count(doctor.Error) > 0 {
				return &exitError{code: exitFailure}
			}
			return nil
		},
	}
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	f := cmd.Flags()
	f.Lookup("port").Value = portFlag{&c.port, 0} // as for running host
	f.StringVar(&c.host, "host", "", "name or address that clients connect to (default localhost, or what the configuration says)")
	f.StringVar(&opts.Plugins, "plugins", "./plugins", "folder of the plugins")
	f.StringVar(&opts.Admin, "admin", "", "host:port of the admin listener, or off")
	f.BoolVar(&opts.InsecureBind, "insecure-bind", false, "as for running host")
	f.StringVar(&bundle, "bundle", "", "write a new tar.gz for a bug report, without secrets")
	return cmd
}

func doctorPage(p *page, r doctor.Report, bundle string) {
	p.printf("%s", r.Text(func(l doctor.Level, word string) string {
		return p.paint(word, cmp.Or(map[doctor.Level]string{doctor.OK: "healthy", doctor.Warn: "warning", doctor.Error: "critical"}[l], "unknown"))
	}))
	if bundle != "" {
		p.printf("written: %s\n", bundle)
	}
}
