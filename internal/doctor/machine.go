package doctor

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

const (
	// hubReserve is what the hub keeps of its descriptors for other things than clients.
	hubReserve = 64 + 256
	// enoughDescriptors lets host, hub and a few clients live.
	enoughDescriptors = 512
)

func (e *examination) descriptors() {
	limit, err := descriptorLimit()
	if errors.Is(err, errors.ErrUnsupported) {
		e.add("open files", Skip, "this platform has no limit for each process", "")
		return
	}
	if err != nil {
		e.add("open files", Skip, "the limit cannot be read: "+err.Error(), "")
		return
	}
	e.findings = append(e.findings, descriptorFinding(limit, e.MaxConnections))
}

// descriptorFinding judges the limit. The hub raises the soft limit to the hard
// one by itself, so this is the hard one.
func descriptorFinding(limit uint64, clients int) Finding {
	need := uint64(max(clients, 0) + hubReserve)
	f := Finding{Name: "open files", Level: OK, Detail: fmt.Sprintf("limit %d, enough for %d clients", limit, clients)}
	raise := fmt.Sprintf("ulimit -Hn %d before the start, or LimitNOFILE=%d in the systemd unit", need, need)
	switch {
	case limit < enoughDescriptors:
		f.Level, f.Fix = Error, raise
		f.Detail = fmt.Sprintf("limit %d, which hardly any client fits into", limit)
	case limit < need:
		f.Level, f.Fix = Warn, raise+"; or a lower limits.max_connections"
		f.Detail = fmt.Sprintf("limit %d: the hub takes %d clients instead of %d", limit, limit-hubReserve, clients)
	}
	return f
}

// firstRelease is before every clock that is right.
var firstRelease = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// clockTolerance is how far the two computations of a start time may differ by rounding.
const clockTolerance = 3 * time.Second

func (e *examination) clock() {
	e.findings = append(e.findings, clockFinding(e.now, e.running, synchronised()))
}

// sync is what the system says about its clock.
type sync int

const (
	syncUnknown sync = iota
	syncYes
	syncNo
)

// clockFinding judges the wall clock. Pauses and deadlines use the monotonic
// clock, so a wall clock that was set harms only what people read.
func clockFinding(now time.Time, r Running, state sync) Finding {
	f := Finding{Name: "clock", Level: OK, Detail: now.UTC().Format(time.RFC3339)}
	switch jump := r.Computed.Sub(r.Recorded); {
	case now.Before(firstRelease):
		f.Level, f.Detail = Error, f.Detail+" is before this program was written"
		f.Fix = "set the clock, or start the service that does (NTP)"
		return f
	case !r.Recorded.IsZero() && !r.Computed.IsZero() && jump.Abs() > clockTolerance:
		f.Level, f.Detail = Warn, fmt.Sprintf("%s; the wall clock was set by %s since host started", f.Detail, jump.Round(time.Second))
		f.Fix = "mind it when you compare times in the log; recovery and pauses are not affected"
		return f
	}
	switch state {
	case syncYes:
		f.Detail += ", synchronised"
	case syncNo:
		f.Level, f.Detail = Skip, f.Detail+"; the system does not say that it is synchronised (usual in containers)"
	default:
		f.Level, f.Detail = Skip, f.Detail+"; whether it is synchronised cannot be asked here"
	}
	return f
}

func (e *examination) versions() {
	kernel := kernelRelease()
	detail := fmt.Sprintf("host %s, %s, %s/%s", e.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if kernel != "" {
		detail += ", kernel " + kernel
	}
	switch {
	case e.runs && e.running.Version != "" && e.running.Version != e.Version:
		e.add("versions", Warn, fmt.Sprintf("%s; the running host is %s", detail, e.running.Version), "run the new one: host restart"+e.own())
	case runtime.GOOS == "linux" && kernel != "" && older(kernel, 5, 3):
		e.add("versions", Warn, detail+": older than 5.3, so processes are ended by their number and not by a handle", "use a newer kernel")
	default:
		e.ok("versions", "%s", detail)
	}
}

// older says whether a kernel release like "4.19.0-27-amd64" is before a version.
// One that cannot be read is not.
func older(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n < 2 {
		return false
	}
	return a < major || a == major && b < minor
}
