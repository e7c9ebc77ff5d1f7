package health

import (
	"encoding/json"
	"slices"
	"time"
)

// Result is one checker's answer. If the checker could not look, Status is
// Unknown and Errors says why.
type Result struct {
	// Check is the name under which the checker's results appear, e.g. "network_connectivity".
	Check   string
	Status  Status
	Message string
	Metrics []Metric
	// Time is when the checker looked, Duration how long that took.
	Time     time.Time
	Duration time.Duration
	Errors   []string
	// Generation of the hub that was looked at; 0 if there was none.
	Generation uint64
	// Carried says that the look is late: this is the result of the one before,
	// shown until that look is back or its time is used up. It proves nothing new.
	Carried bool
	// Observed is what the checker said, where Status is what counts; see Damper.
	// Unknown in a result that no damper has seen.
	Observed Status
	// Flapping: the check is now well and now ill.
	Flapping bool
	// SymptomOf names the check whose illness explains this one; see Symptoms.
	SymptomOf string

	// unloaded is WithoutLoad as a damper has it; nil: the metrics tell.
	unloaded *Status
}

// Verdict is what the result contributes to the overall status. The metrics of a
// result that does not count as it was observed do not count either.
func (r Result) Verdict(optional bool) Verdict {
	v := Verdict{Status: r.Status, Optional: optional, Metrics: r.Metrics}
	if r.damped() {
		v.Metrics = nil
	}
	return v
}

// damped says whether another status counts than the one that was observed.
func (r Result) damped() bool { return r.Observed != Unknown && r.Observed != r.Status }

// Failed makes the result of a check that could not look.
func Failed(check string, now time.Time, took time.Duration, err error) Result {
	return Result{Check: check, Time: now, Duration: took, Message: err.Error(), Errors: []string{err.Error()}}
}

// WithoutLoad is the result's status with load metrics left out: the worst of
// its other metrics. A result whose status no load metric explains keeps it.
func (r Result) WithoutLoad() Status {
	if r.unloaded != nil {
		return *r.unloaded
	}
	if r.Status == Healthy || r.Status == Unknown {
		return r.Status
	}
	load, rest := Healthy, Healthy
	for _, m := range r.Metrics {
		if m.Load {
			load = Worse(load, m.Status)
		} else if m.Status != Unknown {
			rest = Worse(rest, m.Status)
		}
	}
	if load.Severity() < r.Status.Severity() {
		return r.Status
	}
	return rest
}

// Counts says how many metrics have which status; the four add up to Metrics.
type Counts struct {
	Metrics  int `json:"metric_count"`
	Healthy  int `json:"healthy_metrics"`
	Warning  int `json:"warning_metrics"`
	Critical int `json:"critical_metrics"`
	Unknown  int `json:"unknown_metrics"`
}

func (c *Counts) add(metrics []Metric) {
	for _, m := range metrics {
		c.Metrics++
		switch m.Status {
		case Healthy:
			c.Healthy++
		case Warning:
			c.Warning++
		case Critical:
			c.Critical++
		default:
			c.Unknown++
		}
	}
}

// Count counts the metrics of a result by status.
func (r Result) Count() Counts {
	var c Counts
	c.add(r.Metrics)
	return c
}

type resultJSON struct {
	Check         string   `json:"check,omitempty"`
	OverallStatus Status   `json:"overall_status"`
	Message       string   `json:"message,omitempty"`
	Metrics       []Metric `json:"metrics"`
	Timestamp     float64  `json:"timestamp"`
	TimestampISO  string   `json:"timestamp_iso"`
	DurationMS    float64  `json:"duration_ms"`
	Errors        []string `json:"errors"`
	Counts
	ObservedStatus *Status `json:"observed_status,omitempty"` // where another one counts
	Flapping       bool    `json:"flapping,omitempty"`
	SymptomOf      string  `json:"symptom_of,omitempty"`
}

// MarshalJSON writes the shape that clients of the reference read.
func (r Result) MarshalJSON() ([]byte, error) {
	metrics := make([]Metric, len(r.Metrics))
	for i, m := range r.Metrics {
		if m.Time.IsZero() {
			m.Time = r.Time
		}
		metrics[i] = m
	}
	out := resultJSON{
		Check: r.Check, OverallStatus: r.Status, Message: r.Message, Metrics: metrics,
		Timestamp: Seconds(r.Time), TimestampISO: ISO(r.Time), DurationMS: Milliseconds(r.Duration),
		Errors: append([]string{}, r.Errors...), Counts: r.Count(), Flapping: r.Flapping, SymptomOf: r.SymptomOf,
	}
	if r.damped() {
		out.ObservedStatus = &r.Observed
	}
	return json.Marshal(out)
}

// Aggregation is the rule that joins the statuses of several checks.
type Aggregation string

const (
	// Worst: any critical is critical; an unknown of a required checker is at
	// best a warning, and nothing but unknowns is unknown; warnings are a warning.
	Worst Aggregation = "worst"
	// Ratio is the reference's rule over metrics: any critical is critical, more
	// than 30 % warnings are a warning, more than 50 % unknowns are unknown.
	Ratio Aggregation = "ratio"
)

// Report is the latest result of every checker plus the overall status.
type Report struct {
	// Sequence grows by one with each report of a host.
	Sequence uint64
	Time     time.Time
	Status   Status
	// WithoutLoad is the overall status with load metrics left out, and checks
	// that could not look: what is left is illness of the hub itself.
	WithoutLoad Status
	Results     []Result
	// Duration of the round of checks that ended with this report.
	Duration time.Duration
	// Generation of the hub that was looked at.
	Generation uint64
}

// Carried says that the report rests on a result of an earlier one.
func (r Report) Carried() bool {
	for _, res := range r.Results {
		if res.Carried {
			return true
		}
	}
	return false
}

// Unsettled says that a result of the report rests on an earlier one, or does not
// count as it was observed: the next look tells more.
func (r Report) Unsettled() bool {
	return slices.ContainsFunc(r.Results, func(res Result) bool { return res.Carried || res.damped() })
}

// Verdict is one check's contribution to the overall status.
type Verdict struct {
	Status Status
	// Optional checks may be unknown without harm.
	Optional bool
	Metrics  []Metric
}

// Join gives the overall status of several checks by the given rule. Without
// any check it is Unknown.
func Join(rule Aggregation, verdicts []Verdict) Status {
	if rule == Ratio {
		return joinRatio(verdicts)
	}
	overall, known, seen := Healthy, 0, 0
	for _, v := range verdicts {
		seen++
		switch v.Status {
		case Critical:
			return Critical
		case Warning:
			known++
			overall = Warning
		case Healthy:
			known++
		default:
			if v.Optional {
				seen--
				continue
			}
			overall = Warning
		}
	}
	if known == 0 {
		return Unknown
	}
	return overall
}

func joinRatio(verdicts []Verdict) Status {
	var all, warning, unknown int
	for _, v := range verdicts {
		statuses := make([]Status, 0, len(v.Metrics)+1)
		for _, m := range v.Metrics {
			statuses = append(statuses, m.Status)
		}
		if len(statuses) == 0 {
			if v.Status == Unknown && v.Optional {
				continue
			}
			statuses = append(statuses, v.Status)
		}
		for _, s := range statuses {
			all++
			switch s {
			case Critical:
				return Critical
			case Warning:
				warning++
			case Unknown:
				unknown++
			}
		}
	}
	switch {
	case all == 0, float64(unknown) > 0.5*float64(all):
		return Unknown
	case float64(warning) > 0.3*float64(all):
		return Warning
	}
	return Healthy
}

// Causes names the checks that are not healthy and no symptoms of others, in the
// order of the results.
func (r Report) Causes() []string {
	var causes []string
	for _, res := range r.Results {
		if res.Status != Healthy && res.SymptomOf == "" {
			causes = append(causes, res.Check)
		}
	}
	return causes
}

// AllUnknown says that nothing at all is known: no check gave a status.
func (r Report) AllUnknown() bool {
	for _, res := range r.Results {
		if res.Status != Unknown {
			return false
		}
	}
	return true
}

// Metrics gives all metrics of all results in order.
func (r Report) Metrics() []Metric {
	var all []Metric
	for _, res := range r.Results {
		for _, m := range res.Metrics {
			if m.Time.IsZero() {
				m.Time = res.Time
			}
			all = append(all, m)
		}
	}
	return all
}

// Errors gives all errors of all results in order, each with its check's name.
func (r Report) Errors() []string {
	errs := []string{}
	for _, res := range r.Results {
		for _, e := range res.Errors {
			errs = append(errs, res.Check+": "+e)
		}
	}
	return errs
}

// MarshalJSON writes the shape of a result over all checks, and the results.
func (r Report) MarshalJSON() ([]byte, error) {
	metrics := r.Metrics()
	if metrics == nil {
		metrics = []Metric{}
	}
	var counts Counts
	counts.add(metrics)
	return json.Marshal(struct {
		Sequence uint64 `json:"sequence"`
		resultJSON
		Results []Result `json:"results"`
	}{
		Sequence: r.Sequence,
		resultJSON: resultJSON{
			OverallStatus: r.Status, Metrics: metrics, Timestamp: Seconds(r.Time), TimestampISO: ISO(r.Time),
			DurationMS: Milliseconds(r.Duration), Errors: r.Errors(), Counts: counts,
		},
		Results: append([]Result{}, r.Results...),
	})
}

// Transition is a change of the overall status; this is what people are told about.
type Transition struct {
	Time time.Time `json:"time"`
	From Status    `json:"from"`
	To   Status    `json:"to"`
}
