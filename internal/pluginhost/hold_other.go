//go:build !linux

package pluginhost

// descriptorFolder is not used here.
const descriptorFolder = ""

// byDescriptor: an open file cannot be executed here.
func byDescriptor() bool { return false }
