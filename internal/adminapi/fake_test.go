package adminapi

import (
	"context"
	"encoding/json"
	"flag"
	"sync"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
)

var update = flag.Bool("update", false, "write the OpenAPI document")

// fakeHost is a host that remembers what was done to it.
type fakeHost struct {
	mu        sync.Mutex
	status    Status
	unwell    bool
	panics    bool
	invalid   bool // the configuration
	hangs     bool // at reload
	stopped   []string
	released  []string
	level     string
	recovered *bool
	watching  *bool
}

var moment = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newFakeHost() *fakeHost {
	started, threshold := moment.Add(-time.Hour), 80.0
	event := RecoveryEvent{Time: moment, Incident: "inc-1", Action: "clear_connections", Outcome: "cured", Health: "critical", DurationMS: 3, Error: "none", Reason: "critical"}
	f := &fakeHost{}
	f.status = Status{
		SchemaVersion: SchemaVersion, Timestamp: moment, Phase: "running", Status: "healthy", Serving: true, Message: "all is well",
		Server: Server{
			Version: "0.1.0", ServerID: "upkeep-1", Host: "localhost", Port: 8765, Addresses: []string{"127.0.0.1:8765"}, Admin: "127.0.0.1:18765",
			PID: 42, StartTime: started, UptimeSeconds: 3600, StateDir: "/state", LogLevel: "info",
		},
		Hub:        Hub{State: "running", Accepting: true, PID: 43, ClientsConnected: 3, EventsProcessed: 1250},
		Monitoring: Monitoring{Enabled: true, IntervalSeconds: 30},
		Checks: []CheckState{{
			Name: "process_resources", Status: "healthy", AgeSeconds: 4, DurationMS: 3, Required: true, Errors: []string{},
			Metrics: []Metric{
				{Name: "cpu_usage_percent", Labels: map[string]string{"process": "host"}, Value: 15.2, Status: "healthy", Threshold: &threshold, Unit: "%", Message: "m"},
				{Name: "process_status", Value: "sleeping", Status: "healthy"}, {Name: "port_accessible", Value: true, Status: "healthy"}, {Name: "nothing", Status: "unknown"},
			},
		}},
		Recovery: Recovery{
			Enabled: true, Available: true, Why: "because", Strategy: "graded", Breaker: Breaker{State: "closed", FailureThreshold: 5, By: "uid 1000", Reason: "it is over"},
			Pause:    &Pause{By: "uid 1000", Reason: "a test", Since: moment, Until: moment},
			Incident: &Incident{ID: "inc-1", Opened: moment, Causes: []string{"process_resources"}}, Attempts: 1, Last: &event,
		},
		Suspects: []Suspect{{Kind: "client", Name: "abc", Measure: "refusals", Share: 0.9, Rate: 50, Clients: 1, Address: "10.0.0.1"}},
	}
	return f
}

func (f *fakeHost) lock() func() { f.mu.Lock(); return f.mu.Unlock }

func (f *fakeHost) Status() Status {
	defer f.lock()()
	if f.panics {
		panic("a bug")
	}
	return f.status
}

func (f *fakeHost) Probe(kind ProbeKind) Probe {
	defer f.lock()()
	return Probe{Probe: kind, OK: !f.unwell, Status: "healthy", Message: "1 check", Problem: json.RawMessage(`{"error_code": "health_check_failed"}`)}
}

func (f *fakeHost) Plugins() Plugins {
	return Plugins{SchemaVersion: SchemaVersion, Directory: "/plugins", Plugins: []Plugin{f.plugin()}, Skipped: []Skipped{{Name: "x", Reason: "a folder", Remedy: "none"}}, Trust: PluginTrust{Warnings: []string{}}}
}

func (f *fakeHost) plugin() Plugin {
	return Plugin{
		Name: "process", Kinds: []string{"checker"}, Version: "0.1.0", Description: "looks", Check: "process_resources", State: "running", PID: 44,
		StartedAt: &moment, NextStart: &moment, LastError: "it fell", Hint: "lift it", Stderr: []string{}, Warnings: []string{},
		Reloads: 1, LastReload: &moment, ReloadError: "it was worse", ReloadHint: "mend it", MemoryBytes: 14 << 20, MemoryLimitBytes: 256 << 20,
	}
}

func (f *fakeHost) ReleasePlugin(name string) (Plugin, error) {
	defer f.lock()()
	if name != "process" {
		return Plugin{}, &problem.Error{Code: problem.NotFound, What: "there is no plugin " + name}
	}
	f.released = append(f.released, name)
	return f.plugin(), nil
}

func (f *fakeHost) ReloadPlugin(_ context.Context, name string) (PluginChange, error) {
	defer f.lock()()
	switch {
	case f.hangs:
		return PluginChange{}, context.DeadlineExceeded
	case f.unwell:
		return PluginChange{}, &problem.Error{Code: problem.NotRunning, What: "host does not run its plugins now"}
	case name != "process":
		return PluginChange{}, &problem.Error{Code: problem.NotFound, What: "there is no plugin " + name}
	}
	f.released = append(f.released, "reload "+name)
	return PluginChange{Name: name, Outcome: "kept", Error: "it was worse", Hint: "mend it", VersionBefore: "1", Version: "1", PID: 44}, nil
}

func (f *fakeHost) RescanPlugins(ctx context.Context) (PluginChanges, error) {
	c, err := f.ReloadPlugin(ctx, "process")
	return PluginChanges{SchemaVersion: SchemaVersion, Changes: []PluginChange{c}}, err
}

func (f *fakeHost) quarantine() Quarantine {
	return Quarantine{SchemaVersion: SchemaVersion, Entries: []Quarantined{{
		ID: "qua-1", Kind: "client", Name: "abc", Address: "10.0.0.1", Measure: "refusals", Share: 0.9, Rate: 50, Since: moment, Until: moment, Incident: "inc-1",
	}}}
}

func (f *fakeHost) Quarantine() Quarantine { return f.quarantine() }

func (f *fakeHost) ReleaseQuarantine(_ context.Context, id string) (Quarantine, error) {
	defer f.lock()()
	if id != "" && id != "qua-1" {
		return Quarantine{}, &problem.Error{Code: problem.NotFound, What: "nobody is kept out under " + id}
	}
	f.released = append(f.released, "quarantine "+id)
	return f.quarantine(), nil
}

func (f *fakeHost) History(window time.Duration, limit int) History {
	return History{
		SchemaVersion: SchemaVersion, WindowSeconds: window.Seconds(), Limit: limit,
		Reports:     []Report{{Sequence: 1, Time: moment, Status: "healthy", DurationMS: 3, Checks: map[string]string{"process_resources": "healthy"}, Reason: "none"}},
		Transitions: []Transition{{Time: moment, From: "unknown", To: "healthy"}}, Recoveries: []RecoveryEvent{*f.Status().Recovery.Last},
	}
}

func (f *fakeHost) Config() Configuration {
	return Configuration{SchemaVersion: SchemaVersion, File: "upkeep.json", Settings: []Setting{{Key: "server.port", Value: 8765, Origin: "default"}}}
}

func (f *fakeHost) Version() Version {
	return Version{Version: "0.1.0", APIVersion: "v1", SocketIOVersion: "3.0.5", GoVersion: "go1.26", Platform: "linux/amd64"}
}

func (f *fakeHost) Reload(ctx context.Context) (Reloaded, error) {
	defer f.lock()()
	switch {
	case f.hangs:
		return Reloaded{}, context.DeadlineExceeded
	case f.invalid:
		return Reloaded{}, &problem.Error{Code: problem.ConfigInvalid, What: "the configuration file has a mistake", Why: "server.prot: no such key", Steps: []string{"correct it"}}
	}
	return Reloaded{File: "upkeep.json", Changes: []Change{{Key: "logging.level", Old: "info", New: "debug", Live: true}}}, nil
}

func (f *fakeHost) Stop(reason string) {
	defer f.lock()()
	f.stopped = append(f.stopped, reason)
}

func (f *fakeHost) SetLogLevel(level string) error {
	defer f.lock()()
	f.level = level
	return nil
}

func (f *fakeHost) SetRecovery(on bool) error {
	defer f.lock()()
	f.recovered = &on
	return nil
}

func (f *fakeHost) SetMonitoring(on bool) error {
	defer f.lock()()
	f.watching = &on
	return nil
}
