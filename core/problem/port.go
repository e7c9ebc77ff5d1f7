package problem

import (
	"fmt"
	"strings"
	"time"
)

// Port is what is known of an address that another process listens on.
type Port struct {
	// Host and Port as they were wanted; Addr is the address that is taken, as
	// host:port.
	Host string
	Port int
	Addr string
	// Admin: the address was wanted for the admin listener.
	Admin bool
	// Holders listen there; empty when nobody could be named, and then Unseen
	// says why, e.g. "it belongs to another user, and only root can see whose it is".
	Holders []Process
	Unseen  string
	// StateDir is that of the host which holds the port, where one was proved to.
	StateDir string
	// At is now; zero: the present.
	At  time.Time
	Err error
}

// maxHolders is how many processes are shown; a server and its workers share one port.
const maxHolders = 2

// NewPortConflict is the problem of a port that somebody else listens on. Its
// context has port, host, address and conflicting_process, which is null when
// nobody could be named. It never proposes to end a stranger's process.
func NewPortConflict(p Platform, c Port) *Error {
	context := map[string]any{"port": c.Port, "host": c.Host, "address": c.Addr, "conflicting_process": nil}
	var who []string
	name := "another process listens there"
	for i, holder := range c.Holders {
		holder = holder.cleaned()
		if i == 0 {
			context["conflicting_process"] = holder
			name = fmt.Sprintf("process %d%s listens there", holder.PID, inBrackets(holder.Name))
		}
		if i == maxHolders {
			who = append(who, fmt.Sprintf("... and %d more processes", len(c.Holders)-maxHolders))
			break
		}
		who = append(who, holder.lines(present(c.At))...)
	}
	if len(who) == 0 {
		unseen := c.Unseen
		if unseen == "" {
			unseen = "no process was found that listens there"
		}
		who = []string{"unknown: " + clean(unseen, 200)}
	}
	other := fmt.Sprintf("serve on another port: host start --port %d", PortBeside(c.Port))
	if c.Admin {
		other = "choose another address: host start --admin 127.0.0.1:0 (any free port), or --admin off"
	}
	steps := []string{other}
	if c.StateDir != "" {
		own := " --state-dir " + p.Quote(c.StateDir)
		steps = []string{"it is an Upkeep; see it: host status" + own, "use it, or stop it: host stop" + own, "or " + other}
	}
	steps = append(steps, "see who listens there: "+strings.Join(p.PortUsers(c.Port), "\nor: "))
	if c.StateDir == "" && len(c.Holders) > 0 {
		steps = append(steps,
			"look at it: "+p.ShowProcess(c.Holders[0].PID),
			"if it is not needed, stop it the way it was started (its service manager, container or terminal)")
	}
	return &Error{
		Code: PortConflict, What: fmt.Sprintf("port conflict: %s is taken, %s", c.Addr, name), Err: c.Err, At: present(c.At),
		Why: "only one process can listen on an address",
		Details: []Section{
			{"PORT CONFLICT DETAILS", []string{fmt.Sprintf("Port: %d", c.Port), "Host: " + clean(c.Host, 255), "Address: " + c.Addr}},
			{"CONFLICTING PROCESS", who},
		},
		Steps: steps, Context: context,
	}
}
