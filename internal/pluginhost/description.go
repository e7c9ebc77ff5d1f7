package pluginhost

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// Kind says what a plugin does.
type Kind string

// The kinds of plugins; one plugin may be of both.
const (
	Checker  Kind = "checker"
	Recovery Kind = "recovery"
)

var kindNames = map[pluginv1.Kind]Kind{pluginv1.Kind_KIND_CHECKER: Checker, pluginv1.Kind_KIND_RECOVERY: Recovery}

// Description is what a plugin says about itself.
type Description struct {
	Name         string
	Version      string
	APIMinor     uint32
	Kinds        []Kind
	Capabilities []string
	// Schema is the JSON Schema of the configuration; empty: it takes none.
	Schema string
	// CheckName is where a checker's results appear; empty for others.
	CheckName string
	Metrics   []MetricInfo
	// Interval and Timeout are what the checker likes; 0: the host's.
	Interval, Timeout time.Duration
	// Actions are those of a strategy's own.
	Actions []ActionInfo
}

// MetricInfo documents one metric of a checker.
type MetricInfo struct {
	Name, Unit, Help string
	// Load marks a metric that shows how busy the target is.
	Load bool
}

// ActionInfo documents an action that a strategy brings with it.
type ActionInfo struct{ Name, Description string }

// Is says whether the plugin is of that kind.
func (d Description) Is(k Kind) bool { return slices.Contains(d.Kinds, k) }

// Can says whether the plugin has the capability, e.g. "watch".
func (d Description) Can(capability string) bool { return slices.Contains(d.Capabilities, capability) }

const (
	maxSchemaBytes = 256 << 10
	maxWord        = 128
	maxListed      = 256 // metrics, actions, capabilities
)

// descriptionFromProto judges what the plugin named name says about itself.
func descriptionFromProto(name string, p *pluginv1.DescribeResponse) (Description, error) {
	d := Description{
		Name: p.GetName(), Version: cleanText(p.GetVersion(), maxWord), APIMinor: p.GetApiMinor(), Schema: p.GetConfigSchema(),
		Interval: durationFromProto(p.GetDefaultInterval()), Timeout: durationFromProto(p.GetDefaultTimeout()),
	}
	var errs []error
	if d.Name != name {
		errs = append(errs, fmt.Errorf("it calls itself %q, but its file is %q: the two names must be equal", cleanText(d.Name, maxWord), name))
	}
	for _, k := range p.GetKinds() {
		if kind := kindNames[k]; kind != "" && !d.Is(kind) {
			d.Kinds = append(d.Kinds, kind)
		}
	}
	if len(d.Kinds) == 0 {
		errs = append(errs, errors.New("it is of no kind that this host knows (checker, recovery)"))
	}
	if len(d.Schema) > maxSchemaBytes {
		errs = append(errs, fmt.Errorf("its configuration schema is larger than %d KiB", maxSchemaBytes>>10))
	}
	if d.Is(Checker) {
		if d.CheckName = p.GetCheckName(); d.CheckName == "" {
			d.CheckName = d.Name
		}
		if !pluginName.MatchString(d.CheckName) {
			errs = append(errs, fmt.Errorf("its check name %q is none: use letters, digits, '.', '_' and '-', at most 64", cleanText(d.CheckName, maxWord)))
		}
	}
	for _, word := range firstOf(p.GetCapabilities()) {
		d.Capabilities = append(d.Capabilities, cleanText(word, maxWord))
	}
	for _, m := range firstOf(p.GetMetrics()) {
		if validMetricName(m.GetName()) {
			d.Metrics = append(d.Metrics, MetricInfo{
				Name: m.GetName(), Unit: cleanText(m.GetUnit(), maxWord), Help: cleanText(m.GetHelp(), maxText), Load: m.GetLoad(),
			})
		}
	}
	for _, a := range firstOf(p.GetActions()) {
		if !validMetricName(a.GetName()) {
			errs = append(errs, fmt.Errorf("its action %q is no name: use lower-case words joined by underscores", cleanText(a.GetName(), maxWord)))
			continue
		}
		d.Actions = append(d.Actions, ActionInfo{Name: a.GetName(), Description: cleanText(a.GetDescription(), maxText)})
	}
	return d, errors.Join(errs...)
}

func firstOf[T any](list []T) []T { return list[:min(len(list), maxListed)] }

// durationFromProto is 0 for what is unset, invalid or negative, and at most a day.
func durationFromProto(p *durationpb.Duration) time.Duration {
	if p == nil || p.CheckValid() != nil {
		return 0
	}
	return min(max(0, p.AsDuration()), 24*time.Hour)
}

// loads names the metrics that are described as load.
func (d Description) loads() map[string]bool {
	loads := map[string]bool{}
	for _, m := range d.Metrics {
		if m.Load {
			loads[m.Name] = true
		}
	}
	return loads
}
