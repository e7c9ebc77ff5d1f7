package recovery

// Action is something that can be done about bad health.
type Action string

// The actions of the host. A strategy may bring actions of its own.
const (
	None               Action = "none"
	LogWarning         Action = "log_warning"
	QuarantineOffender Action = "quarantine_offender"
	ClearConnections   Action = "clear_connections"
	RestartService     Action = "restart_service"
	EmergencyStop      Action = "emergency_stop"
)

// Actions lists the host's actions from the mildest to the last.
func Actions() []Action {
	return []Action{None, LogWarning, QuarantineOffender, ClearConnections, RestartService, EmergencyStop}
}

// IsAttempt says whether taking the action is an attempt: something that
// clients can feel and that is counted, limited and judged. None and
// LogWarning are not.
func (a Action) IsAttempt() bool { return a != "" && a != None && a != LogWarning }

// ActionState says whether an action can run at all now, e.g. connections of a
// dead hub cannot be cleared.
type ActionState struct {
	Action     Action
	Applicable bool
	Reason     string // why not
}
