package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/upkeephub/upkeep/internal/hubproc"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
	"github.com/upkeephub/upkeep/test/hubrig"
	"github.com/upkeephub/upkeep/test/rig"
)

var threeTransports = []string{"websocket", "polling", "upgrade"}

// crowd is a process with many stock clients that count events, see crowd.js.
type crowd struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string // closed when the process has ended
}

type crowdReport struct {
	Clients []struct {
		Transport   string
		Connects    int
		Unrecovered int
		Renamed     int
		Disorder    []string
		Events      int
		Digest      string
	}
	Seen []string // of the first client: place:number
}

// gather starts a crowd and returns once all have connected.
func gather(t *testing.T, port, each int, closeEvery time.Duration) *crowd {
	t.Helper()
	setting, err := json.Marshal(map[string]any{
		"url": fmt.Sprintf("http://127.0.0.1:%d", port), "transports": threeTransports, "each": each, "closeEvery": closeEvery.Milliseconds(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", "crowd.js", string(setting))
	cmd.Dir, cmd.Stderr = rig.ClientsDir(root), os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	c := &crowd{t: t, cmd: cmd, lines: make(chan string, 16)}
	go func() {
		defer close(c.lines)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			c.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		if t.Failed() {
			c.ask()
		}
		cancel()
		for range c.lines { // until it has ended
		}
		_ = cmd.Wait() // killed, or ended before
	})
	if line := c.line(30 * time.Second); !strings.Contains(line, "ready") {
		t.Fatalf("the crowd says %q, want that all have connected", line)
	}
	return c
}

// ask has the crowd say on standard error how it stands.
func (c *crowd) ask() {
	if c.cmd.Process.Signal(syscall.SIGUSR2) == nil {
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		select { // nobody waits for what it says; it is for people
		case <-timer.C:
		case <-c.lines:
		}
	}
}

func (c *crowd) line(limit time.Duration) string {
	c.t.Helper()
	select {
	case line, ok := <-c.lines:
		if !ok {
			c.t.Fatal("the crowd has ended")
		}
		return line
	case <-time.After(limit):
		c.t.Fatalf("the crowd says nothing for %v", limit)
	}
	return ""
}

// check waits until all have seen the last event, and checks that each client got
// the same events in the same order, each once, among them all the acknowledged ones,
// and was recovered whenever it came back.
func (c *crowd) check(acknowledged []int) crowdReport {
	c.t.Helper()
	var report crowdReport
	if err := json.Unmarshal([]byte(c.line(20*time.Second)), &report); err != nil {
		c.t.Fatal(err)
	}
	for i, client := range report.Clients {
		if client.Unrecovered > 0 || client.Renamed > 0 || len(client.Disorder) > 0 || client.Digest != report.Clients[0].Digest {
			c.t.Errorf("client %d (%s) connected %d times, %d times not recovered, %d times under another id; %d events, out of order: %v; the same as the first client's: %v",
				i, client.Transport, client.Connects, client.Unrecovered, client.Renamed, client.Events, client.Disorder[:min(5, len(client.Disorder))],
				client.Digest == report.Clients[0].Digest)
		}
	}
	got := make(map[int]int, len(report.Seen))
	for _, seen := range report.Seen {
		var place, n int
		if _, err := fmt.Sscanf(seen, "%d:%d", &place, &n); err != nil {
			c.t.Fatalf("%q: %v", seen, err)
		}
		got[n]++
	}
	missing := slices.DeleteFunc(slices.Clone(acknowledged), func(n int) bool { return got[n] > 0 })
	if len(missing) > 0 {
		c.t.Errorf("%d acknowledged events are missing: %v", len(missing), missing[:min(10, len(missing))])
	}
	return report
}

// publisher sends numbered events, each acknowledged before the next batch, over a
// connection that it makes anew when it ends.
type publisher struct {
	t            *testing.T
	port         int
	raw          *rig.Raw
	acknowledged []int
	repeated     int
}

// publish sends the events first to last at once. It returns when the last one is
// acknowledged; if the connection ends before, it sends those that are not again.
func (p *publisher) publish(ctx context.Context, first, last int, extra string) {
	p.t.Helper()
	for next := first; next <= last; {
		if ctx.Err() != nil {
			p.t.Fatalf("events %d to %d were not taken in time", next, last)
		}
		if p.raw == nil {
			raw, err := rig.DialRaw(ctx, p.port, "")
			if err != nil {
				continue // it is being replaced
			}
			p.raw = raw
		}
		var err error
		for n := next; n <= last && err == nil; n++ {
			err = p.raw.Send(fmt.Sprintf(`42%d["claude_event",{"n":%d%s}]`, n, n, extra))
		}
		for err == nil && next <= last {
			want := fmt.Sprintf("43%d[", next)
			if _, err = p.raw.ReadUntil(ctx, func(packet string) bool { return strings.HasPrefix(packet, want) }); err == nil {
				p.acknowledged = append(p.acknowledged, next)
				next++
			}
		}
		if err != nil {
			_ = p.raw.Close()
			p.raw = nil
			p.repeated += last - next + 1
		}
	}
}

func startHub(t *testing.T) *hubrig.Hub {
	t.Helper()
	log := hclog.NewNullLogger()
	// A stock client that is just leaving polling for a WebSocket when its hub dies does
	// not poll again, and notices nothing before its ping timeout: here that is short.
	settings := &hubv1.Settings{PingInterval: durationpb.New(time.Second), PingTimeout: durationpb.New(2 * time.Second)}
	h, err := hubrig.Start(within(t, 20*time.Second), root, t.TempDir(), settings, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func TestStockClientsMissNothingWhileTheirTransportsAreClosedAgainAndAgain(t *testing.T) {
	const events, batch = 20_000, 20
	h := startHub(t)
	c := gather(t, h.Port, 2, 120*time.Millisecond)
	ctx := within(t, 80*time.Second)
	p := &publisher{t: t, port: h.Port}
	pace := time.NewTicker(8 * time.Millisecond) // 2500 events/s: they have to meet many closed transports
	defer pace.Stop()
	for n := 1; n <= events; n += batch {
		<-pace.C
		p.publish(ctx, n, n+batch-1, "")
	}
	p.publish(ctx, events+1, events+1, `,"last":true`)
	report := c.check(p.acknowledged)
	connects := 0
	for _, client := range report.Clients {
		connects += client.Connects
		if client.Events != events+1 {
			t.Errorf("a client (%s) got %d events, want %d: none is missing and none doubled", client.Transport, client.Events, events+1)
		}
	}
	if connects < 10*len(report.Clients) {
		t.Errorf("%d clients connected %d times only", len(report.Clients), connects)
	}
	t.Logf("%d events, %d clients, %d connects, all recovered", events, len(report.Clients), connects)
}

// awaitClients waits until so many clients are there, after a kill that may have been
// noticed or not.
func awaitClients(ctx context.Context, t *testing.T, h *hubrig.Hub, count int) {
	t.Helper()
	if err := rig.Poll(ctx, 5*time.Millisecond, func() error {
		s := h.Snapshot()
		if here := s.Statistics.GetConnectedClients(); s.State != hubproc.Running || here < int64(count) {
			return fmt.Errorf("%d clients are back, the hub is %s", here, s.State)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestStockClientsMissNothingThroughTwentyKillsOfTheHub(t *testing.T) {
	const kills, each = 20, 67
	h := startHub(t)
	c := gather(t, h.Port, each, 0)
	ctx := within(t, 80*time.Second)
	p := &publisher{t: t, port: h.Port}
	n := 0
	for kill := range kills {
		until := n + 10 + rand.IntN(60)
		for n < until {
			batch := 1 + rand.IntN(4)
			killed := make(chan error, 1)
			if n+batch >= until {
				go func() { // at any moment of what follows
					time.AfterFunc(rand.N(4*time.Millisecond), func() { killed <- h.Kill() })
				}()
			} else {
				killed <- nil
			}
			p.publish(ctx, n+1, n+batch, "")
			if err := <-killed; err != nil {
				t.Fatal(err)
			}
			n += batch
		}
		if kill%4 != 0 { // else the next one comes while everybody comes back
			awaitClients(ctx, t, h, 3*each)
		}
	}
	p.publish(ctx, n+1, n+1, `,"last":true`)
	report := c.check(p.acknowledged)
	s := h.Snapshot()
	if s.Restarts < kills-2 { // two kills may meet
		t.Errorf("the hub was replaced %d times, want about %d", s.Restarts, kills)
	}
	t.Logf("%d events acknowledged, %d sent again, %d clients with %d events each, %d sessions recovered, hub replaced %d times",
		len(p.acknowledged), p.repeated, len(report.Clients), report.Clients[0].Events, s.Statistics.GetSessionsRecovered(), s.Restarts)
}

func TestStockClientsAreRecoveredThroughARestartOfTheService(t *testing.T) {
	const handovers, each = 5, 10
	h := startHub(t)
	c := gather(t, h.Port, each, 0)
	ctx := within(t, 60*time.Second)
	p := &publisher{t: t, port: h.Port}
	n := 0
	for range handovers {
		restarted := make(chan error, 1)
		go func() { restarted <- h.Restart(ctx, "the test asks for it") }()
		for over := false; !over; n++ {
			p.publish(ctx, n+1, n+1, "")
			select {
			case err := <-restarted:
				if err != nil {
					t.Fatal(err)
				}
				over = true
			default:
			}
		}
		awaitClients(ctx, t, h, 3*each)
	}
	p.publish(ctx, n+1, n+1, `,"last":true`)
	c.check(p.acknowledged)
	if s := h.Snapshot(); s.Handovers != handovers || s.Restarts != 0 {
		t.Errorf("%d handovers and %d restarts, want %d and none", s.Handovers, s.Restarts, handovers)
	}
}

func TestStockClientsAreRecoveredAfterAKillOfHostAndANewStart(t *testing.T) {
	h := serve(t, rig.Options{})
	c := gather(t, h.Port, 2, 0)
	ctx := within(t, 60*time.Second)
	p := &publisher{t: t, port: h.Port}
	p.publish(ctx, 1, 50, "")
	hub, err := h.Hub()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := rig.WaitGone(ctx, hub); err != nil {
		t.Fatal(err)
	}
	serve(t, rig.Options{Port: h.Port, StateDir: h.StateDir})
	p.publish(ctx, 51, 100, "")
	p.publish(ctx, 101, 101, `,"last":true`)
	report := c.check(p.acknowledged)
	for _, client := range report.Clients {
		if client.Connects != 2 {
			t.Errorf("a client (%s) connected %d times, want twice", client.Transport, client.Connects)
		}
	}
	entries, err := os.ReadDir(filepath.Join(h.StateDir, "log"))
	if err != nil || len(entries) < 3 {
		t.Errorf("the state directory's log has %v (%v)", entries, err)
	}
}

// TestAFullDiskIsCriticalAndCostsClientsNothing has the event log on a file system of
// 64 KiB of its own, which needs root.
func TestAFullDiskIsCriticalAndCostsClientsNothing(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	log := filepath.Join(state, "log")
	if err := os.MkdirAll(log, 0o700); err != nil {
		t.Fatal(err)
	}
	config := configFile(t, map[string]any{"health_monitoring": map[string]any{"check_interval": 0.5, "fast_check_interval": 0.2}})
	h := serve(t, rig.Options{
		StateDir: state, Args: []string{"--config", config},
		Prefix: []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=64k,mode=0700 tmpfs "$0" && exec "$@"`, log},
	})
	c := gather(t, h.Port, 2, 0)
	ctx := within(t, 60*time.Second)
	p := &publisher{t: t, port: h.Port}
	const events = 400 // of 300 bytes: nearly twice what fits
	p.publish(ctx, 1, events, fmt.Sprintf(`,"text":%q`, strings.Repeat("x", 200)))
	eventually(t, 20*time.Second, "health is critical, and says why", func() error {
		r := get(t, h, "/health")
		if r.Status != 503 || !strings.Contains(string(r.Body), "no space left") {
			return fmt.Errorf("/health is %s", r)
		}
		return nil
	})
	p.publish(ctx, events+1, events+100, "")
	p.publish(ctx, events+101, events+101, `,"last":true`)
	c.check(p.acknowledged)
	d, err := h.Diagnostics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if why, _ := d.At("hub", "statistics", "log_failure").(string); !strings.Contains(why, "no space left") {
		t.Errorf("/diagnostics says the log's failure is %q", why)
	}
	if attempts := d.Attempts(); len(attempts) > 0 || d.Number("hub", "restarts") > 0 {
		t.Errorf("a full disk led to %v and %v restarts: neither makes room", attempts, d.Number("hub", "restarts"))
	}
}
