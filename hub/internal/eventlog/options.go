package eventlog

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
)

// SyncPolicy says when what was appended has to be on the disk. The death of a
// process, also by kill -9, costs nothing with any of them.
type SyncPolicy string

// The policies.
const (
	// SyncInterval: after 100 ms. A failure of power may cost that much.
	SyncInterval SyncPolicy = "interval"
	// SyncAlways: before Append returns.
	SyncAlways SyncPolicy = "always"
	// SyncNever: whenever the system likes.
	SyncNever SyncPolicy = "never"
)

const (
	syncInterval  = 100 * time.Millisecond
	retryInterval = time.Second
	// segmentShare is how many segments the bounds are divided into, and
	// maxSegments how many there may be, empty ones of short-lived writers included.
	segmentShare = 8
	maxSegments  = 64
	// memoryBytes bounds what is kept in memory while the disk fails.
	memoryBytes = 16 << 20
)

// Options of a Log. All but Dir and Log are required.
type Options struct {
	// Dir is the log's directory, made if it is absent. Empty: the log is kept in
	// memory and ends with the process.
	Dir string
	// MaxEvents, MaxBytes and MaxAge bound what is kept: at least 8 events, at
	// least 64 KiB and at most 7 GiB, at least 1 s.
	MaxEvents int
	MaxBytes  int64
	MaxAge    time.Duration
	Sync      SyncPolicy
	// SessionAge is how long a session is kept after its client has gone, and
	// MaxSessions how many sessions are kept at most.
	SessionAge  time.Duration
	MaxSessions int
	// Log is told what was cut off, and of a disk that fails. Nil: nobody is.
	Log hclog.Logger
}

func (o *Options) validate() error {
	var errs []error
	complain := func(ok bool, name string, got any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is %v; give %s", name, got, want))
		}
	}
	complain(o.MaxEvents >= segmentShare, "MaxEvents", o.MaxEvents, "at least 8")
	complain(o.MaxBytes >= 64<<10 && o.MaxBytes <= 7<<30, "MaxBytes", o.MaxBytes, "65536 to 7516192768")
	complain(o.MaxAge >= time.Second, "MaxAge", o.MaxAge, "at least 1s")
	complain(o.Sync == SyncInterval || o.Sync == SyncAlways || o.Sync == SyncNever, "Sync", o.Sync, "interval, always or never")
	complain(o.SessionAge >= time.Second, "SessionAge", o.SessionAge, "at least 1s")
	complain(o.MaxSessions >= 1, "MaxSessions", o.MaxSessions, "at least 1")
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	return errors.Join(errs...)
}
