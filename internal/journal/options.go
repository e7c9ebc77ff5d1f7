package journal

import (
	"io"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Options of a Journal. Dir and Log are required; begin with DefaultOptions for
// the rest.
type Options struct {
	// Dir holds the segments. It is made, 0700, when it is not there.
	Dir string
	Log hclog.Logger
	// MaxBytes bounds all segments together and SegmentBytes each of them; the
	// oldest segment gives way. A single record may be as large as MaxRecord
	// says; the data of a larger one are left out.
	MaxBytes, SegmentBytes int64
	MaxRecord              int
	// MaxAge is how old the newest record of a segment may be before it is
	// removed. The segment that is written to stays.
	MaxAge time.Duration
	// SyncEvery is how long a record may wait until it is safe from a power
	// failure; Sync does not wait for it.
	SyncEvery time.Duration
	// Now gives the time of records; nil: time.Now.
	Now func() time.Time
	// open opens a segment to append to it; nil: the file.
	open func(path string) (file, error)
}

// file is what a segment is written to.
type file interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// DefaultOptions are the documented bounds: 64 MiB in segments of 4 MiB, 30 days.
func DefaultOptions() Options {
	return Options{
		MaxBytes: 64 << 20, SegmentBytes: 4 << 20, MaxRecord: 256 << 10,
		MaxAge: 30 * 24 * time.Hour, SyncEvery: time.Second,
	}
}

func (o Options) completed() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.open == nil {
		o.open = func(path string) (file, error) {
			return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|noFollow, 0o600)
		}
	}
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	o.SegmentBytes = max(4096, min(o.SegmentBytes, o.MaxBytes/2))
	o.MaxRecord = max(1024, o.MaxRecord)
	return o
}
