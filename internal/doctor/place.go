package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shirou/gopsutil/v3/disk"

	"github.com/upkeephub/upkeep/core/problem"
)

// own is the flag that names the state directory in a command.
func (e *examination) own() string { return " --state-dir " + e.Platform.Quote(e.StateDir) }

func (e *examination) stateDirectory() {
	const name = "state directory"
	if e.StateDirErr != nil {
		e.add(name, Error, e.StateDirErr.Error(), hint(e.StateDirErr, "name one: --state-dir DIR"))
		return
	}
	info, err := os.Stat(e.StateDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		parent := existing(e.StateDir)
		if err := writable(parent); err != nil {
			e.add(name, Error, fmt.Sprintf("%s cannot be created: %v", e.StateDir, err), "let this user write "+parent+", or name another directory: --state-dir DIR")
			return
		}
		e.ok(name, "%s does not exist yet; the first start creates it", e.StateDir)
	case err != nil:
		e.add(name, Error, err.Error(), "let this user enter it, or name another one: --state-dir DIR")
	case !info.IsDir():
		e.add(name, Error, e.StateDir+" is no directory", "move that file away, or name a directory: --state-dir DIR")
	case !ours(info):
		e.add(name, Error, e.StateDir+" belongs to another user", "run host as that user, or name a directory of your own: --state-dir DIR")
	default:
		if err := writable(e.StateDir); err != nil {
			e.add(name, Error, err.Error(), "let this user write it, or name another one: --state-dir DIR")
			return
		}
		if open(info.Mode()) {
			e.add(name, Warn, fmt.Sprintf("%s has mode %04o: others can enter it", e.StateDir, info.Mode().Perm()), "chmod 700 "+e.Platform.Quote(e.StateDir)+" (the next start does so by itself)")
			return
		}
		e.ok(name, "%s, mode %04o", e.StateDir, info.Mode().Perm())
	}
}

// existing is the nearest folder above path that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// writable proves by a file, which is removed at once, that a folder can be written.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString("written by host doctor\n")
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

const (
	littleSpace = 512 << 20
	noSpace     = 16 << 20
)

func (e *examination) disk() {
	const name = "disk"
	if e.StateDirErr != nil {
		e.add(name, Skip, "there is no state directory", "")
		return
	}
	place := existing(e.StateDir)
	usage, err := disk.UsageWithContext(e.ctx, place)
	if err != nil {
		e.add(name, Skip, "the space left cannot be read: "+err.Error(), "")
		return
	}
	e.findings = append(e.findings, spaceFinding(place, usage.Free, usage.InodesTotal, usage.InodesFree))
}

// spaceFinding judges what is free; inodes total 0: the file system has no such limit.
func spaceFinding(place string, free, inodes, inodesFree uint64) Finding {
	f := Finding{Name: "disk", Level: OK, Detail: fmt.Sprintf("%s free at %s", megabytes(free), place), Fix: "free some space, or move the state directory: --state-dir DIR"}
	switch {
	case free < noSpace:
		f.Level = Error
	case inodes > 0 && inodesFree < 100:
		f.Level, f.Detail = Error, fmt.Sprintf("%d of %d inodes free at %s", inodesFree, inodes, place)
		f.Fix = "remove files that nobody needs, or move the state directory: --state-dir DIR"
	case free < littleSpace:
		f.Level = Warn
	default:
		f.Fix = ""
	}
	return f
}

func megabytes(n uint64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%d GB", n>>30)
	}
	return fmt.Sprintf("%d MB", n>>20)
}

func (e *examination) lock() {
	const name = "lock"
	if e.Locked == nil || e.StateDirErr != nil {
		e.add(name, Skip, "there is no state directory", "")
		return
	}
	held, err := e.Locked()
	switch {
	case err != nil:
		e.add(name, Error, err.Error(), hint(err, "name another directory: --state-dir DIR"))
	case held && e.runs:
		e.ok(name, "held by the running host (pid %d)", e.running.PID)
	case held:
		e.add(name, Warn, "held by a process that no PID file names; a host may be just starting or just ending", "look again in a few seconds: host doctor"+e.own())
	case e.runs:
		e.add(name, Warn, fmt.Sprintf("the running host (pid %d) lost its lock file; it takes a new one within 15 s", e.running.PID), "find out who removes files from "+e.StateDir)
	case errors.Is(e.runErr, fs.ErrNotExist):
		e.ok(name, "free: no host runs on this state directory")
	default:
		e.add(name, Warn, "free, but a PID file is left: "+e.runErr.Error(), "start host, which replaces it: host start"+e.own())
		var stale interface{ Problem() *problem.Error }
		if errors.As(e.runErr, &stale) {
			e.findings[len(e.findings)-1].Code = stale.Problem().Code
		}
	}
}

// host asks the running host how it is.
func (e *examination) host() {
	const name = "host"
	if !e.runs {
		detail, fix := "not running", ""
		if e.LastError != nil {
			detail = fmt.Sprintf("not running; its last error was %s", e.LastError.Code)
			if !e.LastError.At.IsZero() {
				detail += ", " + problem.Age(e.now.Sub(e.LastError.At)) + " ago"
			}
			fix = "host explain --guide" + e.own()
		}
		e.add(name, Skip, detail, fix)
		return
	}
	who := fmt.Sprintf("pid %d, up %s", e.running.PID, problem.Age(e.now.Sub(e.running.Started)))
	if e.Ask == nil {
		e.add(name, Skip, who, "")
		return
	}
	var err error
	if e.health, err = e.Ask(e.ctx, e.running, "/health"); err != nil {
		e.add(name, Error, who+", but it does not answer: "+err.Error(), "host restart"+e.own())
		return
	}
	e.diagnostic, _ = e.Ask(e.ctx, e.running, "/diagnostics") // plugins are skipped without it
	var body struct {
		Status     string `json:"status"`
		Monitoring string `json:"monitoring"`
		Recovery   string `json:"recovery"`
	}
	if err := json.Unmarshal(e.health, &body); err != nil {
		e.add(name, Error, who+", but its answer cannot be read: "+err.Error(), "see whether another program answers there: host status"+e.own())
		return
	}
	detail := fmt.Sprintf("%s, %s", body.Status, who)
	switch {
	case body.Monitoring == "off":
		e.add(name, Warn, "health monitoring is switched off, "+who, "switch it on: health_monitoring.enabled in the configuration, then host reload"+e.own())
		return
	case body.Status == "healthy" && body.Recovery == "off":
		e.add(name, Warn, detail+", but recovery is switched off", "switch it on: recovery.enabled in the configuration, then host reload"+e.own())
		return
	}
	switch body.Status {
	case "healthy":
		e.ok(name, "%s", detail)
	case "warning":
		e.add(name, Warn, detail, "see which check it is: host status"+e.own())
	case "critical":
		e.add(name, Error, detail, "see which check it is: host status"+e.own())
	default: // starting, or nobody can look
		e.add(name, Warn, detail, "see whose checks are missing: host plugins"+e.own())
	}
}
