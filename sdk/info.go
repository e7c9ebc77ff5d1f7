package sdk

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/upkeephub/upkeep/proto/handshake"
)

const (
	// ProbeHeader and ProbeAuthKey carry Target.ProbeSecret: as an HTTP header
	// of every request, and as a key of the Socket.IO handshake's auth.
	ProbeHeader  = handshake.ProbeHeader
	ProbeAuthKey = handshake.ProbeAuthKey
)

// Info says what a plugin is. Name and Version are required.
type Info struct {
	// Name of the plugin, equal to the name of its executable: lower case
	// letters, digits, "-" and "_".
	Name string
	// Version of the plugin, x.y.z, optionally with a pre-release.
	Version string
	// CheckName is the name under which the results of a checker appear; empty:
	// Name.
	CheckName string
	// Metrics documents what Check returns.
	Metrics []MetricInfo
	// Interval is how often the checker likes to be asked; 0: the host's choice.
	Interval time.Duration
	// Timeout is how long one check may take; 0: the host's choice.
	Timeout time.Duration
	// Actions that a strategy brings along; they need an Executor.
	Actions []ActionInfo
}

// MetricInfo documents one metric of a checker.
type MetricInfo struct {
	Name string
	Unit string
	Help string
	// Load: see Metric.Load.
	Load bool
}

// ActionInfo documents an action of the plugin's own.
type ActionInfo struct {
	Name        Action
	Description string
}

var (
	pluginName    = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	metricName    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,127}$`)
	pluginVersion = regexp.MustCompile(`^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$`)
)

// validate reports every mistake at once.
func (i Info) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !pluginName.MatchString(i.Name) {
		wrong("Info.Name is %q: want the name of the executable, lower case letters, digits, - and _, starting with a letter", i.Name)
	}
	if !pluginVersion.MatchString(i.Version) {
		wrong("Info.Version is %q: want x.y.z", i.Version)
	}
	if i.CheckName != "" && !metricName.MatchString(i.CheckName) {
		wrong("Info.CheckName is %q: want lower case words joined by underscores", i.CheckName)
	}
	if i.Interval < 0 {
		wrong("Info.Interval is %v: want 0 or more", i.Interval)
	}
	if i.Timeout < 0 {
		wrong("Info.Timeout is %v: want 0 or more", i.Timeout)
	}
	seen := map[string]bool{}
	for n, m := range i.Metrics {
		if !metricName.MatchString(m.Name) {
			wrong("Info.Metrics[%d].Name is %q: want lower case words joined by underscores", n, m.Name)
		}
		if seen[m.Name] {
			wrong("Info.Metrics[%d].Name %q is there twice: describe it once", n, m.Name)
		}
		seen[m.Name] = true
	}
	for n, a := range i.Actions {
		if !metricName.MatchString(string(a.Name)) {
			wrong("Info.Actions[%d].Name is %q: want lower case words joined by underscores", n, a.Name)
		}
		switch a.Name {
		case None, LogWarning, QuarantineOffender, ClearConnections, RestartService, EmergencyStop:
			wrong("Info.Actions[%d].Name is %q, an action of the host: choose another name", n, a.Name)
		}
	}
	return errors.Join(errs...)
}
