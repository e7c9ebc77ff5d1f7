package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// stopLimit is how long host may take to stop, whatever its children do.
const stopLimit = 5 * time.Second

// stopped waits for the end that was asked for at since: code 0, in time, with
// nothing left behind.
func stopped(t testing.TB, h *rig.Host, since time.Time, name string) {
	t.Helper()
	exit, err := h.Wait(within(t, 15*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	took := exit.At.Sub(since)
	measured(t, "stop_"+name, took)
	if exit.Code != 0 || exit.Err != nil {
		t.Errorf("host ended with %s, want code 0", exit)
	}
	if took > stopLimit {
		t.Errorf("host took %s to stop, want at most %s", took, stopLimit)
	}
	nothingLeft(t, h)
}

// nothingLeft checks that a host that stopped took everything with it.
func nothingLeft(t testing.TB, h *rig.Host) {
	t.Helper()
	for _, s := range h.Started() {
		t.Errorf("process %d was left behind: %v", s.PID, s.Command)
	}
	for _, port := range []int{h.Port, h.AdminPort} {
		if listening(port) {
			t.Errorf("somebody still listens on port %d", port)
		}
	}
	if err := filepath.WalkDir(h.StateDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSocket != 0 || strings.HasSuffix(path, ".pid") {
			t.Errorf("%s was left behind", path)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// toldAndComingBack checks that each client was told in a way that makes it
// come back by itself.
func toldAndComingBack(t testing.TB, d *rig.Driver, mark int, clients ...string) {
	t.Helper()
	for _, c := range clients {
		n := await(t, d, mark, 5*time.Second, c, "disconnect")
		if n.Reason != "transport close" {
			t.Errorf("%s was told %q, want %q", c, n.Reason, "transport close")
		}
		if s, err := d.State(within(t, 5*time.Second), c); err != nil || !s.Active {
			t.Errorf("%s does not try to come back: %+v, %v", c, s, err)
		}
	}
}

func TestHostStopsWhenAskedAndTellsItsClients(t *testing.T) {
	for _, c := range []struct {
		name    string
		signals []syscall.Signal
		load    bool
	}{
		{"term_idle", []syscall.Signal{syscall.SIGTERM}, false},
		{"int_idle", []syscall.Signal{syscall.SIGINT}, false},
		{"term_under_load", []syscall.Signal{syscall.SIGTERM}, true},
		{"term_twice", []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}, false},
		{"int_twice_under_load", []syscall.Signal{syscall.SIGINT, syscall.SIGINT}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := serve(t, rig.Options{})
			d := node(t)
			transports := []string{"websocket", "polling", "upgrade"}
			for _, transport := range transports {
				open(t, d, rig.Open{Client: transport, URL: h.Base(), Transport: transport})
			}
			await(t, d, 0, 5*time.Second, "upgrade", "upgrade")
			if c.load {
				load := rig.StartLoad(h.Port, connectsPerSecond)
				defer load.Stop()
				pass(t, time.Second)
			}
			mark := d.Mark()
			since := time.Now()
			for _, sig := range c.signals {
				if err := h.Signal(sig); err != nil && !h.Exited() {
					t.Fatal(err)
				}
			}
			stopped(t, h, since, c.name)
			toldAndComingBack(t, d, mark, transports...)
		})
	}
}

func TestClosedTerminalIsNoReasonToStop(t *testing.T) {
	h := serve(t, rig.Options{})
	b := standBy(t, h)
	for range 3 {
		if err := h.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	pass(t, time.Second)
	if r := get(t, h, "/health"); h.Exited() || r.Status != 200 {
		t.Errorf("after SIGHUP /health is %s", r)
	}
	b.unaffected(t, "sighup", time.Second)
}

func TestNothingOutlivesAKilledHostAndTheNextStartIsHealthy(t *testing.T) {
	h := serve(t, rig.Options{})
	d := node(t)
	open(t, d, rig.Open{Client: "a", URL: h.Base(), Transport: "websocket"})
	children := h.Started()
	if len(children) != len(rig.BundledPlugins)+1 {
		t.Fatalf("host has %d children, want the hub and %d plugins: %v", len(children), len(rig.BundledPlugins), children)
	}
	mark := d.Mark()
	if err := h.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone, err := rig.WaitGone(within(t, 5*time.Second), children...)
	if err != nil {
		t.Fatalf("children outlived a killed host: %v", err)
	}
	measured(t, "orphans_gone", gone)
	if gone > time.Second {
		t.Errorf("children were gone %s after host was killed, want 1 s", gone)
	}
	await(t, d, mark, 5*time.Second, "a", "disconnect")
	if _, err := h.Wait(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}

	next := launch(t, rig.Options{StateDir: h.StateDir, Port: h.Port})
	ready(t, next)
	took := time.Since(next.Began)
	measured(t, "next_start_healthy", took)
	if word := at(object(t, next, "/health"), "status"); word != "healthy" {
		t.Errorf("after a start on what a killed host left behind the status is %v", word)
	}
	await(t, d, mark, 10*time.Second, "a", "connect")
	pidFile, err := next.PIDFile()
	if err != nil || number(pidFile, "pid") != float64(next.PID()) {
		t.Errorf("the PID file says %v (%v), want %d", pidFile["pid"], err, next.PID())
	}
}

// A crash of host itself, as a bug of ours would cause it: Go's runtime answers
// SIGQUIT exactly as it ends on a panic, stacks and all.
func TestCrashOfHostIsAFailureAndTheNextStartIsHealthy(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	h, err := rig.Start(rig.Options{Root: root, StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endHost(t, h) })
	ready(t, h)
	children := h.Started()
	if err := h.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	exit, err := h.Wait(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if exit.Code == 0 || exit.Code == 8 {
		t.Errorf("a crash ends with %s, want a failure that is no emergency stop", exit)
	}
	if _, err := rig.WaitGone(within(t, time.Second), children...); err != nil {
		t.Errorf("children outlived a crashed host: %v", err)
	}
	next := serve(t, rig.Options{StateDir: state, Port: h.Port})
	if word := at(object(t, next, "/health"), "status"); word != "healthy" {
		t.Errorf("after a crash the next start is %v", word)
	}
}

// Host frozen for a while and continued: its own pause is no illness of anybody.
func TestHostThatWasFrozenForAWhileGoesOn(t *testing.T) {
	h := serve(t, rig.Options{Args: []string{"--config", configFile(t, map[string]any{
		"health_monitoring": map[string]any{"check_interval": 1},
	})}})
	outliveFirstPause(t, h) // and recovery's grace
	b := standBy(t, h)
	before := h.Started()
	if err := h.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pass(t, 8*time.Second)
	continued := time.Now()
	if err := h.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "host works again", func() error {
		health := object(t, h, "/health")
		if health["status"] != "healthy" {
			return fmt.Errorf("the status is %v", health["status"])
		}
		if age := number(health, "check_details", "network_connectivity", "age_seconds"); age > time.Since(continued).Seconds() {
			return fmt.Errorf("the newest check is %v s old", age)
		}
		return nil
	})
	took := time.Since(continued)
	measured(t, "host_works_after_its_freeze", took)
	if took > 2*time.Second {
		t.Errorf("host worked again after %s, want 2 s", took)
	}
	// Two misses of a plugin would be found within 14 s.
	pass(t, 15*time.Second)
	for _, s := range before {
		if !s.Alive() {
			t.Errorf("process %d (%v) was replaced because host was frozen", s.PID, s.Command)
		}
	}
	if n := restarts(t, h); n != 0 {
		t.Errorf("host counts %v restarts of the hub", n)
	}
	noRecovery(t, h)
	b.unaffected(t, "frozen_host", time.Second)
}

func TestHostStopsInTimeWhileAChildIsFrozen(t *testing.T) {
	for _, name := range []string{"hub", "network", "recovery-graded", "everything"} {
		t.Run(name, func(t *testing.T) {
			h := serve(t, rig.Options{})
			for _, child := range h.Started() {
				hub := hubOf(t, h).PID == child.PID
				if name == "everything" || hub && name == "hub" || !hub && strings.HasSuffix(child.Command[0], "/"+name) {
					signal(t, child, syscall.SIGSTOP)
				}
			}
			since := time.Now()
			if err := h.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			stopped(t, h, since, "with_frozen_"+name)
		})
	}
}

// More connections than descriptors: those that fit are served, nothing spins,
// and when they go everything is as before.
func TestHubOutOfDescriptorsComesBackByItself(t *testing.T) {
	h := serve(t, rig.Options{Prefix: []string{"prlimit", "--nofile=256:256"}})
	hub := hubOf(t, h)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range 600 {
		c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.Port)), time.Second)
		if err != nil {
			break // the kernel's queue is full as well
		}
		conns = append(conns, c)
	}
	measured(t, "connections_held", len(conns))
	before, err := rig.ReadStat(hub.PID)
	if err != nil {
		t.Fatal(err)
	}
	pass(t, 2*time.Second)
	after, err := rig.ReadStat(hub.PID)
	if err != nil {
		t.Fatalf("the hub did not survive: %v", err)
	}
	busy := after.CPU - before.CPU
	measured(t, "hub_cpu_in_2_s_without_descriptors", busy)
	if busy > time.Second {
		t.Errorf("without descriptors the hub used %s of CPU in 2 s: it spins", busy)
	}
	if r, err := rig.Get(within(t, 5*time.Second), h.AdminURL("/health")); err != nil {
		t.Errorf("on the admin port host cannot be asked: %v", err)
	} else {
		t.Logf("meanwhile /health on the admin port: %.200s", r)
	}
	for _, c := range conns {
		c.Close()
	}
	conns = nil
	took := eventually(t, 10*time.Second, "clients are served again", func() error {
		r, err := rig.DialRaw(within(t, 5*time.Second), h.Port, "")
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = r.Ping(within(t, 5*time.Second))
		return err
	})
	measured(t, "served_after_exhaustion", took)
	if took > 5*time.Second {
		t.Errorf("clients were served %s after the flood, want 5 s", took)
	}
}

// A connection flood beyond the limit is turned away politely, and its end is
// the end of it.
func TestConnectionsBeyondTheLimitAreTurnedAwayPolitely(t *testing.T) {
	h := serve(t, rig.Options{Args: []string{"--config", configFile(t, map[string]any{"limits": map[string]any{"max_connections": 20}})}})
	ctx := within(t, 30*time.Second)
	var clients []*rig.Raw
	defer func() {
		for _, r := range clients {
			r.Close()
		}
	}()
	refused := 0
	for range 30 {
		r, err := rig.DialRaw(ctx, h.Port, "")
		if err != nil {
			if !strings.Contains(err.Error(), "503") {
				t.Errorf("beyond the limit: %v, want 503", err)
			}
			refused++
			continue
		}
		clients = append(clients, r)
	}
	if len(clients) != 20 || refused != 10 {
		t.Errorf("of 30 clients %d are served and %d turned away, with a limit of 20", len(clients), refused)
	}
	if r := get(t, h, "/health"); r.Status != 200 {
		t.Errorf("with all places taken /health is %s", r)
	}
	clients[0].Close()
	eventually(t, 5*time.Second, "a place that was left is given again", func() error {
		r, err := rig.DialRaw(ctx, h.Port, "")
		if err == nil {
			clients[0] = r
		}
		return err
	})
}

func TestPIDFileIsWrittenAgainAndTheLockHoldsWithoutIt(t *testing.T) {
	h := serve(t, rig.Options{})
	path := filepath.Join(h.StateDir, fmt.Sprintf("host-%d.pid", h.Port))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the PID file has mode %v, want 0600", info.Mode().Perm())
	}
	content, err := h.PIDFile()
	if err != nil {
		t.Fatal(err)
	}
	checkShape(t, "PID file", content, shape{
		"pid": "number", "server_id": "string", "server_version": "string", "port": "number", "host": "=localhost",
		"start_time": "any", "process_start_time": "any", "platform": "any", "created_at": "any",
	})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := launch(t, rig.Options{StateDir: h.StateDir, Port: h.Port})
	exit, err := second.Wait(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if exit.Code != 4 {
		t.Errorf("without the PID file a second host ends with %s, want code 4: the lock holds", exit)
	}
	eventually(t, 15*time.Second, "the PID file is there again", func() error {
		content, err := h.PIDFile()
		if err == nil && number(content, "pid") != float64(h.PID()) {
			err = errors.New("it names another process")
		}
		return err
	})
}
