// Command exec-checker is a checker of Upkeep that runs another program, with
// the conventions of Nagios and what came after it: exit code 0 is healthy, 1 a
// warning, 2 critical, 3 unknown; the first line of output says why; what
// follows a "|" are measured values.
//
// It takes its name from its file: copied to check_load/check_load it is the
// plugin check_load. The parts: command.go runs the program, perfdata.go reads
// its values.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/sdk"
)

func main() {
	info.Name = nameOf(os.Args[0])
	sdk.Serve(info, newChecker())
}

const (
	metricExit    = "exec_exit_code"
	metricHubExit = "exec_hub_exit_code"
)

var info = sdk.Info{
	Name:    "exec-checker",
	Version: "0.1.0",
	Timeout: 10 * time.Second, // as long as the programs of Nagios give themselves
	Metrics: []sdk.MetricInfo{
		{Name: metricExit, Load: true, Help: "Exit code of the program: 0 is healthy, 1 a warning, 2 critical."},
		{Name: metricHubExit, Help: "In its place with about_hub: what it says may lead to recovery."},
		{Name: "exec_seconds", Load: true, Unit: "s", Help: "A value in s, ms, us or ns, by name."},
		{Name: "exec_bytes", Load: true, Unit: "B", Help: "A value in B, KB, MB, GB, TB or PB, by name; 1 KB is 1024 B."},
		{Name: "exec_percent", Load: true, Unit: "%", Help: "A value in %, by name."},
		{Name: "exec_counter", Load: true, Help: "A value that only grows, c, by name."},
		{Name: "exec_value", Load: true, Help: "A value in any other unit, which is a label, by name."},
	},
}

var pluginName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// nameOf is the plugin's name when its file has that path.
func nameOf(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), ".exe")
	if !pluginName.MatchString(name) {
		return info.Name
	}
	return name
}

// settings is the plugin's configuration; its JSON Schema is made from the tags.
type settings struct {
	Command     []string          `json:"command" jsonschema:"maxItems=256" jsonschema_description:"The program and its arguments, as they are: no shell reads them. A path without a leading / is below the plugin's folder, a bare name is looked for on PATH."`
	Environment map[string]string `json:"environment" jsonschema_description:"What the program sees beside the plugin's own few variables."`
	AboutHub    bool              `json:"about_hub" jsonschema_description:"Whether the program looks at the hub, so that what it finds may lead to recovery. Off: its word is told and logged, and nothing is restarted."`
}

type checker struct{ *sdk.Config[settings] }

func newChecker() checker { return checker{sdk.NewConfig(settings{})} }

// Check runs the program once. What says nothing about the target is an error:
// no program, one that was killed or ended too late, exit code 3, and any that
// has no meaning.
func (c checker) Check(ctx context.Context, _ sdk.Request) (sdk.Result, error) {
	s := c.Current()
	if len(s.Command) == 0 {
		return sdk.Result{}, errors.New(`no command is configured: set "command" to the program and its arguments`)
	}
	end, err := run(ctx, s.Command, s.Environment)
	if err != nil {
		return sdk.Result{}, fmt.Errorf("%s: %w", s.Command[0], err)
	}
	text, values := split(end.output)
	var status sdk.Status
	switch end.code {
	case 0:
		status = sdk.Healthy
	case 1:
		status = sdk.Warning
	case 2:
		status = sdk.Critical
	default:
		return sdk.Result{}, fmt.Errorf("%s ended with exit code %d: %s", s.Command[0], end.code, firstOf(text, end.errors, "it printed nothing"))
	}
	exit := sdk.Number(metricExit, float64(end.code), status).AsLoad()
	if s.AboutHub {
		exit = sdk.Number(metricHubExit, float64(end.code), status)
	}
	result := sdk.Result{
		Status:  status,
		Message: firstOf(text, end.errors, fmt.Sprintf("%s ended with exit code %d", s.Command[0], end.code)),
		Metrics: []sdk.Metric{exit},
	}
	seen := map[string]bool{}
	for _, v := range values {
		m := v.metric(status)
		if id := m.Name + "\x00" + v.name; !seen[id] && len(result.Metrics) < maxMetrics {
			seen[id] = true
			result.Metrics = append(result.Metrics, m)
		}
	}
	return result, nil
}

// maxMetrics is what host takes of one result.
const maxMetrics = 256

// firstOf gives the first text that says something.
func firstOf(texts ...string) string {
	for _, text := range texts {
		if text = strings.TrimSpace(text); text != "" {
			return text
		}
	}
	return ""
}
