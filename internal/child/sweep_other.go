//go:build !linux

package child

import "context"

// Sweep does nothing on this platform: there is no portable way to read the
// environment of another process.
func Sweep(context.Context, string, string) ([]Swept, error) { return nil, nil }
