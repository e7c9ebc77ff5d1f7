package health

import "fmt"

// Status is the health of a metric, a check or the whole. The zero value is
// Unknown: a status that nobody set is never healthy.
type Status int

// The four statuses. Their order is not their severity: use Severity.
const (
	Unknown Status = iota
	Healthy
	Warning
	Critical
)

var statusNames = [...]string{Unknown: "unknown", Healthy: "healthy", Warning: "warning", Critical: "critical"}

// String returns the status in lower case, as JSON, metrics and logs show it.
// A value outside the four reads "unknown".
func (s Status) String() string {
	if s < Unknown || s > Critical {
		return statusNames[Unknown]
	}
	return statusNames[s]
}

// Severity orders statuses from good to bad: healthy 0, warning 1, unknown 2,
// critical 3. Not knowing is worse than a warning and better than a certain illness.
func (s Status) Severity() int {
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

// ParseStatus reads one of the four words. Anything else is an error, and the
// status returned with it is Unknown.
func ParseStatus(word string) (Status, error) {
	for s, name := range statusNames {
		if name == word {
			return Status(s), nil
		}
	}
	return Unknown, fmt.Errorf("%q is no status: want healthy, warning, critical or unknown", word)
}

// MarshalText writes the lower-case word.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the lower-case word; see ParseStatus.
func (s *Status) UnmarshalText(text []byte) error {
	parsed, err := ParseStatus(string(text))
	*s = parsed
	return err
}

// Worse returns the more severe of two statuses.
func Worse(a, b Status) Status {
	if b.Severity() > a.Severity() {
		return b
	}
	return a
}
