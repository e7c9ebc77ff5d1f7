package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/conformance"
	"github.com/upkeephub/upkeep/internal/pluginhost"
)

// newPluginsTestCommand is host plugins test.
func newPluginsTestCommand(c *cli) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use: "test PATH", Short: "try a plugin against everything that host relies on", Args: operands("PATH"),
		Long: `Test starts the plugin at PATH, its folder or its executable, again and again,
and tries what host relies on: the handshake, the health service, how it
describes and configures itself, its answers, deadlines, many calls, and its
end. It needs no running host, and the plugin may be written in any language.

Each rule gets a line: pass, FAIL with what was found and what to change, or
skip where it is not for this kind of plugin. It takes some ten seconds. The
plugin's own actions are not executed.

Exit code 0 when no rule failed, 5 when one did or there is no such plugin.`,
		Example: "  host plugins test ./plugins/network\n  host plugins test ./disk --config disk.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := locate(args[0])
			if err != nil {
				return err
			}
			settings, err := pluginSettings(found, config)
			if err != nil {
				return err
			}
			o := conformance.Options{Spec: found.Spec(os.Environ()), Config: settings}
			p := &page{colour: c.colour()}
			if !c.json && !c.quiet {
				o.Found = func(f conformance.Finding) {
					findingLine(p, f)
					_, _ = io.WriteString(c.stdout, p.String())
					p.Reset()
				}
			}
			report, err := conformance.Test(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := cmd.Context().Err(); err != nil {
				return errors.New("the test was given up")
			}
			if err := c.print(report, func(p *page) {
				p.printf("%s: %d passed, %d failed, %d skipped\n", report.Plugin, report.Count(conformance.Pass), report.Count(conformance.Fail), report.Count(conformance.Skip))
			}); err != nil {
				return err
			}
			if !report.OK {
				return &exitError{code: exitPlugins}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "JSON file with the plugin's own settings, as in plugins.NAME.config")
	c.outputFlags(cmd)
	return cmd
}

// findingLine is one rule for people.
func findingLine(p *page, f conformance.Finding) {
	switch f.Outcome {
	case conformance.Pass:
		p.printf("%s  %-14s %s (%s)\n", p.paint("pass", "healthy"), f.Rule, f.Promise, took(f.DurationMS))
	case conformance.Fail:
		p.printf("%s  %-14s %s\n      found:  %s\n      change: %s\n", p.paint("FAIL", "failed"), f.Rule, f.Promise, f.Found, f.Change)
	default:
		p.printf("%s  %-14s %s\n", p.paint("skip", "skipped"), f.Rule, f.Found)
	}
}

// locate finds the plugin that a command line names.
func locate(path string) (pluginhost.Candidate, error) {
	found, err := pluginhost.Locate(path)
	if err == nil {
		return found, nil
	}
	told := &problem.Error{Code: problem.NotFound, What: "there is no plugin to start at " + path, Why: err.Error(), Err: err}
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) && hinter.Hint() != "" {
		told.Steps = []string{hinter.Hint()}
	}
	return found, &exitError{exitPlugins, told}
}

// pluginSettings are the settings of a plugin's plugin.json with those of a file
// over them.
func pluginSettings(found pluginhost.Candidate, file string) (map[string]any, error) {
	settings := map[string]any{}
	for key, value := range found.Config {
		settings[key] = value
	}
	if file == "" {
		return settings, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("--config: %v", err), "give a JSON file with the plugin's own settings"}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&settings); err != nil {
		return nil, &usageError{fmt.Sprintf("--config %s is no JSON object: %v", file, err), `give the plugin's own settings, e.g. {"path": "/var"}`}
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, &usageError{fmt.Sprintf("--config %s goes on after its closing brace", file), "give one JSON object"}
	}
	return settings, nil
}
