//go:build !windows

package pluginhost

// inheritedHere: nothing more is needed on this platform.
var inheritedHere []string
