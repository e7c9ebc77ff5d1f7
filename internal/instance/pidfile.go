package instance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
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
	StartTime     time.Time `json:"start_time"` // zero takes the start of the process
	// ProcessStartTime is the start of the process in seconds since 1970. Own.
	ProcessStartTime float64     `json:"process_start_time"`
	ProcessInfo      ProcessInfo `json:"process_info"`  // own
	Platform         string      `json:"platform"`      // own
	CreatedAt        time.Time   `json:"created_at"`    // own
	CreatedBy        string      `json:"created_by"`    // own
	LockAcquired     bool        `json:"lock_acquired"` // own
	// BootID, StartTicks and Executable prove the identity of the process, with
	// PID. Own; BootID and StartTicks are empty where the platform has none.
	BootID     string `json:"boot_id,omitempty"`
	StartTicks uint64 `json:"start_ticks,omitempty"`
	Executable string `json:"executable"`
	// TLS: clients connect with https and wss.
	TLS bool `json:"tls,omitempty"`
	// Admin is the address of the admin listener, empty when it is off.
	Admin    string `json:"admin_address,omitempty"`
	StateDir string `json:"state_dir"` // own
	// SocketDir is the folder that holds the sockets. Own.
	SocketDir string `json:"socket_dir"`

	// Legacy: the file held a bare number, so that only PID is known.
	Legacy bool `json:"-"`

	path     string
	modified time.Time
}

// ProcessInfo is what the process looked like when the file was written.
type ProcessInfo struct {
	Name       string  `json:"name"`
	Status     string  `json:"status"`
	CPUPercent float64 `json:"cpu_percent"`
	MemoryMB   float64 `json:"memory_mb"`
}

// Path is where the file was read; empty if it was not.
func (i Info) Path() string { return i.path }

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

// maxPIDFile is how much of a PID file is read; ours have about a kilobyte.
const maxPIDFile = 64 << 10

// maxPID is the highest process id of any platform.
const maxPID = 1<<31 - 1

// ReadPID reads the PID file at path. It never follows a symbolic link, never
// blocks and reads at most 64 KiB; files of strangers are not believed. The
// error is fs.ErrNotExist or a *StaleError.
func ReadPID(path string) (Info, error) {
	invalid := func(format string, args ...any) (Info, error) {
		return Info{}, &StaleError{Path: path, Status: Invalid, Reasons: []string{fmt.Sprintf(format, args...)}}
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return invalid("it is a symbolic link")
	}
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, fs.ErrNotExist
	}
	if err != nil {
		return invalid("it cannot be opened: %v", err)
	}
	defer func() { _ = f.Close() }()
	stat, err := f.Stat()
	if err != nil {
		return invalid("it cannot be looked at: %v", err)
	}
	if !stat.Mode().IsRegular() {
		return invalid("it is no regular file")
	}
	if uid, ours := owner(stat); !ours && uid != 0 {
		return invalid("it belongs to user %d", uid)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPIDFile+1))
	if err != nil {
		return invalid("it cannot be read: %v", err)
	}
	info, err := parsePID(data)
	if err != nil {
		return invalid("%v", err)
	}
	info.path, info.modified = path, stat.ModTime()
	return info, nil
}

// parsePID understands what WritePID writes, and a bare number.
func parsePID(data []byte) (Info, error) {
	if len(data) > maxPIDFile {
		return Info{}, fmt.Errorf("it is longer than %d bytes", maxPIDFile)
	}
	text := bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\uFEFF")))
	if len(text) == 0 {
		return Info{}, errors.New("it is empty")
	}
	var info Info
	if number, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		if number <= 0 || number > maxPID {
			return Info{}, fmt.Errorf("%d is no process id", number)
		}
		return Info{PID: int(number), Legacy: true}, nil
	}
	if text[0] != '{' {
		return Info{}, errors.New("it holds neither a JSON object nor a process id")
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return Info{}, fmt.Errorf("it cannot be understood: %w", err)
	}
	if info.PID <= 0 || info.PID > maxPID {
		return Info{}, fmt.Errorf("%d is no process id", info.PID)
	}
	return info, nil
}

// pidFiles lists the PID files of a state directory, sorted.
func pidFiles(dir string) []string {
	entries, _ := os.ReadDir(dir) // sorted
	var paths []string
	for _, entry := range entries {
		port, isPID := strings.CutSuffix(strings.TrimPrefix(entry.Name(), "host-"), ".pid")
		if _, err := strconv.ParseUint(port, 10, 16); isPID && err == nil && strings.HasPrefix(entry.Name(), "host-") {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	return paths
}

// Running finds the host that runs on the state directory dir: one whose PID
// file is verified. The error is fs.ErrNotExist when there is no PID file, else
// a *StaleError about the last one.
func Running(dir string) (Info, error) {
	var failed error = fs.ErrNotExist
	for _, path := range pidFiles(dir) {
		info, err := ReadPID(path)
		if err == nil {
			err = info.Verify()
		}
		if err == nil {
			return info, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			failed = err
		}
	}
	return Info{}, failed
}
