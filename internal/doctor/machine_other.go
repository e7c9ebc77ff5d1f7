//go:build !linux

package doctor

func synchronised() sync { return syncUnknown }

func kernelRelease() string { return "" }
