package sdk

// Status is the health of a metric, a check or the whole. The zero value is
// Unknown: a status that nobody set is never healthy.
type Status int

// The four statuses. Their numeric order is not their severity.
const (
	Unknown Status = iota
	Healthy
	Warning
	Critical
)

// String returns the status in lower case; a value outside the four reads "unknown".
func (s Status) String() string {
	switch s {
	case Healthy:
		return "healthy"
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	}
	return "unknown"
}

// Worse says whether s is more severe than other. From good to bad: healthy,
// warning, unknown, critical. Not knowing is worse than a warning and better
// than a certain illness.
func (s Status) Worse(other Status) bool { return s.severity() > other.severity() }

func (s Status) severity() int {
	switch s {
	case Healthy:
		return 0
	case Warning:
		return 1
	case Critical:
		return 3
	}
	return 2
}

// Worst returns the most severe of statuses; Unknown without any.
func Worst(statuses ...Status) Status {
	if len(statuses) == 0 {
		return Unknown
	}
	worst := Healthy
	for _, s := range statuses {
		if s.Worse(worst) {
			worst = s
		}
	}
	return worst
}

// criticalFactor is how far above its threshold a value turns critical.
const criticalFactor = 1.2

// Over judges a value that should not rise above threshold: from 1.2 times the
// threshold it is critical, above the threshold a warning, else healthy. A value
// equal to the threshold is healthy; NaN is unknown.
func Over(value, threshold float64) Status {
	switch {
	case value != value || threshold != threshold:
		return Unknown
	case value >= criticalFactor*threshold && value > threshold:
		return Critical
	case value > threshold:
		return Warning
	}
	return Healthy
}
