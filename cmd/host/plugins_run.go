package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/conformance"
	"github.com/upkeephub/upkeep/internal/trial"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// situations are what a strategy can be asked about without a recording.
var situations = []string{"critical", "warning", "healthy", "unknown"}

// newPluginsRunCommand is host plugins run.
func newPluginsRunCommand(c *cli) *cobra.Command {
	var config, request, record, situation string
	cmd := &cobra.Command{
		Use: "run PATH", Short: "ask a plugin once and print its answer", Args: operands("PATH"),
		Long: `Run starts the plugin at PATH, its folder or its executable, configures it, asks
it once and prints what it said: a checker for a check, a strategy for a
decision. Nothing is done about the answer.

A checker is told that no hub runs. With --port or --state-dir it is told of the
hub of that running host: processes, addresses, clients and events, but neither
the other statistics nor the secret with which probes are not counted.

A strategy is shown a made-up incident in which one check has been --situation
in three reports and every action can run.

--record FILE writes the request that was sent; --request FILE asks it again,
also after it was edited. It is {"method": "check", "request": {…}} or "decide",
with a CheckRequest or DecideRequest in the JSON form of protocol buffers.

Exit code 0 when the plugin answered, whatever it said, 5 when it did not.`,
		Example: "  host plugins run ./plugins/network --port 8765\n  host plugins run ./disk --config disk.json --record request.json\n  host plugins run ./disk --request request.json --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := locate(args[0])
			if err != nil {
				return err
			}
			q := trial.Question{Spec: found.Spec(os.Environ())}
			if q.Config, err = pluginSettings(found, config); err != nil {
				return err
			}
			if !slices.Contains(situations, situation) {
				return &usageError{fmt.Sprintf("there is no --situation %q", situation), "choose one of " + strings.Join(situations, ", ")}
			}
			if request != "" {
				if q.Request, err = readRecording(request); err != nil {
					return err
				}
			} else {
				ask, err := c.requests(cmd.Context(), situation)
				if err != nil {
					return err
				}
				q.Choose = ask
			}
			answer, err := trial.Ask(cmd.Context(), q)
			if record != "" && answer.Request != nil {
				if err := writeRecording(record, answer.Request); err != nil {
					return err
				}
			}
			if err != nil {
				told := &problem.Error{Code: problem.PluginFailed, What: found.Name + " gave no answer", Why: err.Error(), Err: err}
				if len(answer.Stderr) > 0 {
					told.Details = []problem.Section{{Title: "It wrote to standard error", Lines: answer.Stderr}}
				}
				path := problem.Here().Quote(args[0])
				if q.Request == nil && c.port == 0 && c.stateDir == "" {
					told.Steps = append(told.Steps, "it was told that no hub runs; ask it about one: host plugins run "+path+" --port PORT")
				}
				told.Steps = append(told.Steps, "see which rule it breaks: host plugins test "+path)
				return &exitError{exitPlugins, told}
			}
			return c.print(answer, func(p *page) { answerPage(p, answer) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "JSON file with the plugin's own settings, as in plugins.NAME.config")
	f.StringVar(&request, "request", "", "file with a recorded request, which is asked instead")
	f.StringVar(&record, "record", "", "file to which the request is written")
	f.StringVar(&situation, "situation", situations[0], "what a strategy is asked about: "+strings.Join(situations, ", "))
	f.IntVar(&c.port, "port", 0, "public port of the running host whose hub a checker looks at")
	f.StringVar(&c.stateDir, "state-dir", "", "its state directory")
	c.outputFlags(cmd)
	return cmd
}

// requests gives what makes a request for a plugin.
func (c *cli) requests(ctx context.Context, situation string) (func(*pluginv1.DescribeResponse) (proto.Message, error), error) {
	check := trial.CheckRequest("")
	check.Statistics = nil
	check.Target = &pluginv1.Target{HostPid: int64(os.Getpid()), Host: defaultHost, Port: defaultPort, Path: "/socket.io/"}
	if c.port != 0 || c.stateDir != "" {
		h, err := c.find()
		if err != nil {
			return nil, err
		}
		s, err := h.client.Status(ctx)
		if err != nil {
			return nil, h.unanswered(err)
		}
		check.Target.HostPid, check.Target.HubPid, check.Target.HubGeneration = int64(s.Server.PID), int64(s.Hub.PID), s.Hub.Restarts+1
		check.Target.Host, check.Target.Port, check.Target.Addresses = s.Server.Host, int32(s.Server.Port), s.Server.Addresses
		check.Target.Tls = s.Server.TLS
		check.Statistics = &pluginv1.HubStatistics{
			Generation: s.Hub.Restarts + 1, ConnectedClients: s.Hub.ClientsConnected, EventsProcessed: s.Hub.EventsProcessed, TakenAt: timestamppb.New(s.Timestamp),
		}
	}
	return func(d *pluginv1.DescribeResponse) (proto.Message, error) {
		switch {
		case trial.Is(d, pluginv1.Kind_KIND_CHECKER):
			return check, nil
		case trial.Is(d, pluginv1.Kind_KIND_RECOVERY):
			var own []string
			for _, a := range d.GetActions() {
				own = append(own, a.GetName())
			}
			return trial.DecideRequest(pluginv1.Status(pluginv1.Status_value["STATUS_"+strings.ToUpper(situation)]), own...), nil
		}
		return nil, errors.New("it is neither a checker nor a strategy")
	}, nil
}

func readRecording(file string) (proto.Message, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("--request: %v", err), "name a file that --record wrote"}
	}
	request, err := trial.ReadRecording(text)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("--request %s: %v", file, err), "name a file that --record wrote"}
	}
	return request, nil
}

func writeRecording(file string, request proto.Message) error {
	recorded, err := trial.Record(request)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(recorded, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o600)
}

// answerPage shows an answer to people.
func answerPage(p *page, a trial.Answer) {
	p.printf("%s %s  answered in %s\n", oneLine(a.Description.GetName()), oneLine(a.Description.GetVersion()), took(float64(a.Took.Microseconds())/1000))
	for _, w := range a.Warnings {
		p.printf("warning  its settings: %s: %s\n", oneLine(w.GetPath()), oneLine(w.GetSummary()))
	}
	switch response := a.Response.(type) {
	case *pluginv1.CheckResponse:
		checkPage(p, response)
		if wrong := conformance.Judge(a.Description, response); wrong != "" {
			p.printf("host would not believe it: %s\n", oneLine(wrong))
		}
	case *pluginv1.DecideResponse:
		action := response.GetAction()
		if action == "" {
			action = "none"
		}
		p.printf("proposes  %s\nrule      %s\nreason    %s\n", oneLine(action), oneLine(response.GetRule()), oneLine(response.GetReason()))
	}
	if len(a.Stderr) > 0 {
		p.printf("it wrote to standard error:\n")
		for _, line := range a.Stderr {
			p.printf("  %s\n", line)
		}
	}
}

func checkPage(p *page, r *pluginv1.CheckResponse) {
	status := statusWord(r.GetStatus())
	p.printf("status   %s\n", p.paint(status, status))
	if r.GetMessage() != "" {
		p.printf("message  %s\n", oneLine(r.GetMessage()))
	}
	if at := r.GetObservedAt(); at != nil && at.CheckValid() == nil {
		p.printf("looked   %s\n", at.AsTime().Format(time.RFC3339))
	}
	if len(r.GetMetrics()) > 0 {
		rows := [][]string{{"METRIC", "VALUE", "UNIT", "STATUS", "THRESHOLD", "MESSAGE"}}
		for _, m := range r.GetMetrics() {
			threshold := "-"
			if m.Threshold != nil {
				threshold = number(m.GetThreshold())
			}
			rows = append(rows, []string{oneLine(metricName(m)), metricValue(m), dash(oneLine(m.GetUnit())), statusWord(m.GetStatus()), threshold, dash(oneLine(m.GetMessage()))})
		}
		p.table(rows)
	}
	for _, name := range slices.Sorted(maps.Keys(r.GetCounters())) {
		p.printf("counter  %s %s\n", oneLine(name), number(r.GetCounters()[name]))
	}
}

func statusWord(s pluginv1.Status) string {
	if s == pluginv1.Status_STATUS_UNSPECIFIED {
		return "unknown"
	}
	return strings.ToLower(strings.TrimPrefix(s.String(), "STATUS_"))
}

// metricName is a metric's name with its labels.
func metricName(m *pluginv1.Metric) string {
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(m.GetLabels())) {
		labels = append(labels, key+"="+strconv.Quote(m.GetLabels()[key]))
	}
	if len(labels) == 0 {
		return m.GetName()
	}
	return m.GetName() + "{" + strings.Join(labels, ",") + "}"
}

func metricValue(m *pluginv1.Metric) string {
	switch v := m.GetValue().(type) {
	case *pluginv1.Metric_Number:
		return number(v.Number)
	case *pluginv1.Metric_Text:
		return oneLine(v.Text)
	case *pluginv1.Metric_Flag:
		return strconv.FormatBool(v.Flag)
	}
	return "-"
}
