//go:build !linux

package systemd

import (
	"errors"
	"time"
)

// monotonic has no meaning where there is no systemd.
func monotonic() (time.Duration, error) { return 0, errors.ErrUnsupported }
