package instance

import (
	"fmt"
	"strings"
	"time"
)

// Info is the content of a PID file. WritePID fills in what is marked "own".
type Info struct {
	PID           int       `json:"pid"` // own
	ServerID      string    `json:"server_id"`
	ServerVersion string    `json:"server_version"`
	Version       string    `json:"version"` // own: equal to ServerVersion
	Host          string    `json:"host"`
	Port          int       `json:"port"`
	StartTime     time.Time `json:"start_time"`
	// ProcessStartTime is the start of the process in seconds since 1970. Own.
	ProcessStartTime float64     `json:"process_start_time"`
	ProcessInfo      ProcessInfo `json:"process_info"` // own
	Platform         string      `json:"platform"`     // own
	CreatedAt        time.Time   `json:"created_at"`   // own
	CreatedBy        string      `json:"created_by"`   // own
	LockAcquired     bool        `json:"lock_acquired"` // own
	// BootID, StartTicks and Executable prove the identity of the process, with
	// PID. Own; BootID and StartTicks are empty where the platform has none.
	BootID     string `json:"boot_id,omitempty"`
	StartTicks uint64 `json:"start_ticks,omitempty"`
	Executable string `json:"executable"`
	// Admin is the address of the admin listener, empty when it is off.
	Admin    string `json:"admin_address,omitempty"`
	StateDir string `json:"state_dir"` // own
	// SocketDir is the folder that holds the sockets. Own.
	SocketDir string `json:"socket_dir"`

	// Legacy: the file held a bare number, so that only PID is known.
	Legacy bool `json:"-"`
}

// ProcessInfo is what the process looked like when the file was written.
type ProcessInfo struct {
	Name       string  `json:"name"`
	Status     string  `json:"status"`
	CPUPercent float64 `json:"cpu_percent"`
	MemoryMB   float64 `json:"memory_mb"`
}

// Staleness says why nobody runs behind a PID file.
type Staleness string

const (
	// NotFound: there is no such process.
	NotFound Staleness = "not_found"
	// Zombie: the process has ended and waits for its parent.
	Zombie Staleness = "zombie"
	// Invalid: the file cannot be understood.
	Invalid Staleness = "invalid"
	// AccessDenied: the process may not be looked at.
	AccessDenied Staleness = "access_denied"
	// StalePIDFile: the process is another one than the one that wrote the file.
	StalePIDFile Staleness = "stale_pidfile"
)

// StaleError says that a PID file does not name a running host.
type StaleError struct {
	Path    string
	PID     int // 0 when not known
	Status  Staleness
	Reasons []string
}

// Error says which file and why.
func (e *StaleError) Error() string {
	return fmt.Sprintf("the PID file %s names no running host: %s", e.Path, strings.Join(e.Reasons, "; "))
}

// ReadPID reads the PID file at path. It never follows a symbolic link, never
// blocks and reads at most 64 KiB. The error is fs.ErrNotExist or a *StaleError.
func ReadPID(path string) (Info, error) { return Info{}, nil }

// Verify says whether the process that the file names is the one that wrote
// it. The error is nil or a *StaleError.
func (i Info) Verify() error { return nil }

// Running finds the host that runs on the state directory dir: one whose PID
// file is verified. The error is fs.ErrNotExist when there is no PID file, else
// a *StaleError.
func Running(dir string) (Info, error) { return Info{}, nil }
