package doctor

import "golang.org/x/sys/unix"

const (
	clockError   = 5 // TIME_ERROR of adjtimex(2)
	unsyncStatus = 0x40
)

// synchronised asks the kernel whether something keeps its clock right.
func synchronised() sync {
	var t unix.Timex
	state, err := unix.Adjtimex(&t) // modes 0: reads only
	switch {
	case err != nil:
		return syncUnknown
	case state == clockError || t.Status&unsyncStatus != 0:
		return syncNo
	}
	return syncYes
}

// kernelRelease is e.g. "6.1.0-27-amd64", or empty.
func kernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}
