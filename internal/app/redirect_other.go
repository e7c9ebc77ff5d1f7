//go:build !unix

package app

import (
	"errors"
	"os"
)

// redirect cannot be done here.
func redirect(_, _ *os.File) error { return errors.ErrUnsupported }
