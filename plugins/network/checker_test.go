package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/upkeephub/upkeep/sdk"
	"github.com/upkeephub/upkeep/sdk/checkertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheCheckerKeepsTheContract(t *testing.T) {
	checkertest.Run(t, newChecker(), checkertest.Info(info), checkertest.Settings(map[string]any{
		"thresholds": map[string]any{"network_timeout": 0.05},
	}))
}

// checkerWith has a time-out in seconds.
func checkerWith(timeout sdk.Seconds) *checker {
	c := newChecker()
	c.Config = sdk.NewConfig(settings{thresholds{NetworkTimeout: timeout, RoundTripMS: 300}})
	return c
}

// look checks the addresses and returns the metrics by name, and by name and address.
func look(t testing.TB, c *checker, addresses ...string) (map[string]sdk.Metric, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	result, err := c.Check(ctx, sdk.Request{Target: sdk.Target{Addresses: addresses, Path: "/socket.io/", ProbeSecret: "s3cret"}})
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string]sdk.Metric{}
	for _, m := range result.Metrics {
		name := strings.TrimSpace(m.Name + " " + m.Labels["address"])
		if _, twice := metrics[name]; twice {
			t.Errorf("metric %s is there twice", name)
		}
		metrics[name] = m
	}
	return metrics, result.Message
}

func TestAHubThatAnswersIsAccessible(t *testing.T) {
	for why, h := range map[string]*fakeHub{"a plain hub": {}, "a hub with much to say": {chatter: true}} {
		metrics, message := look(t, newChecker(), h.start(t))
		if up, _ := metrics[metricAccessible].Value.Flag(); !up || metrics[metricAccessible].Status != sdk.Healthy || message != "" {
			t.Errorf("%s: %s is %v (%v), message %q", why, metricAccessible, up, metrics[metricAccessible].Status, message)
		}
		trip, _ := metrics[metricRoundTrip].Value.Number()
		connect, _ := metrics[metricConnect].Value.Number()
		if trip <= 0 || connect <= 0 || metrics[metricRoundTrip].Threshold == nil || metrics[metricConnect].Threshold != nil {
			t.Errorf("%s: round trip %v ms, connect %v ms: want both measured, and a threshold for the first alone", why, trip, connect)
		}
		if m := metrics[metricSocket]; m.Status != sdk.Healthy {
			t.Errorf("%s: %s is %v", why, metricSocket, m.Status)
		}
		if len(metrics) != 4 {
			t.Errorf("%s: %d metrics, want 4 without label for one address", why, len(metrics))
		}
	}
}

func TestTheProbeSpeaksAsAClientAndShowsItsSecret(t *testing.T) {
	h := &fakeHub{chatter: true}
	look(t, newChecker(), h.start(t))
	want := "/socket.io/?EIO=4&transport=websocket s3cret\n40 s3cret\n3probe\nping\nping\n41\nclosed"
	// The farewell is read by the hub after the probe has ended.
	deadline := time.After(10 * time.Second)
	for h.notes() != want {
		select {
		case <-deadline:
			t.Fatalf("the hub saw\n%s\nwant\n%s", h.notes(), want)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestEachStepThatFailsIsCriticalAndNamed(t *testing.T) {
	notHTTP := &fakeHub{}
	for _, c := range []struct {
		address func() string
		want    []string
		why     string
	}{
		{func() string { return closed(t) }, []string{"connect: ", "refused"}, "nobody listens"},
		{func() string { return frozen(t) }, []string{"WebSocket handshake: no answer within"}, "the kernel accepts for a process that does not run"},
		{(&fakeHub{silent: true}).startIn(t), []string{"WebSocket handshake: no answer within"}, "it takes the request and says nothing"},
		{(&fakeHub{status: 503}).startIn(t), []string{"WebSocket handshake: the answer is HTTP 503"}, "it is overloaded"},
		{(&fakeHub{status: 200}).startIn(t), []string{"WebSocket handshake: the answer is HTTP 200"}, "another server has the port"},
		{(&fakeHub{greeting: "hello"}).startIn(t), []string{"Engine.IO handshake: the hub said", "hello"}, "another protocol over WebSocket"},
		{(&fakeHub{greeting: "0{}"}).startIn(t), []string{"Engine.IO handshake: the hub said"}, "a greeting without a session"},
		{(&fakeHub{greeting: "0{"}).startIn(t), []string{"Engine.IO handshake: the hub said"}, "a greeting cut off"},
		{(&fakeHub{joined: `44{"message":"no room"}`}).startIn(t), []string{"namespace connect: the hub refused it", "no room"}, "a middleware says no"},
		{(&fakeHub{joined: `1`}).startIn(t), []string{"namespace connect: the hub closed the session"}, "it hangs up by Engine.IO"},
		{(&fakeHub{joined: `x`}).startIn(t), []string{"namespace connect: the hub said", "no packet of Engine.IO 4"}, "it says what no hub says"},
		{(&fakeHub{joined: "6"}).startIn(t), []string{"namespace connect: no answer within"}, "it never lets us in"},
		{(&fakeHub{hangUp: true}).startIn(t), []string{"event round trip: the hub left the namespace"}, "it lets us in and out"},
		{(&fakeHub{pong: `42["gnop"]`}).startIn(t), []string{"event round trip: no answer within"}, "its events are stuck"},
		{notHTTP.startIn(t), nil, "a good one, for comparison"},
	} {
		t.Run(c.why, func(t *testing.T) {
			metrics, message := look(t, checkerWith(0.2), c.address())
			m := metrics[metricAccessible]
			if c.want == nil {
				if m.Status != sdk.Healthy {
					t.Errorf("%s is %v: %s", metricAccessible, m.Status, message)
				}
				return
			}
			if up, ok := m.Value.Flag(); up || !ok || m.Status != sdk.Critical {
				t.Errorf("%s is %v (%v), want false and critical", metricAccessible, m.Value, m.Status)
			}
			for _, want := range c.want {
				if !strings.Contains(m.Message, want) || !strings.Contains(message, want) {
					t.Errorf("messages %q and %q, want %q in both", m.Message, message, want)
				}
			}
			for _, name := range []string{metricRoundTrip, metricConnect} {
				if !metrics[name].Value.Empty() {
					t.Errorf("%s is %v although nothing answered", name, metrics[name].Value)
				}
			}
		})
	}
}

// startIn starts the hub when the address is asked for.
func (h *fakeHub) startIn(t testing.TB) func() string { return func() string { return h.start(t) } }

func TestASlowHubIsJudgedByTheFasterOfTwoRoundTrips(t *testing.T) {
	for _, c := range []struct {
		pings [2]time.Duration
		want  sdk.Status
		why   string
	}{
		{[2]time.Duration{0, 0}, sdk.Healthy, "both fast"},
		{[2]time.Duration{450 * time.Millisecond, 0}, sdk.Healthy, "one hiccup is no illness"},
		{[2]time.Duration{0, 450 * time.Millisecond}, sdk.Healthy, "whichever comes first"},
		{[2]time.Duration{310 * time.Millisecond, 310 * time.Millisecond}, sdk.Warning, "both over 300 ms"},
		{[2]time.Duration{400 * time.Millisecond, 450 * time.Millisecond}, sdk.Critical, "both over 1.2 times 300 ms"},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			h := &fakeHub{onPing: func(nth int) { <-time.After(c.pings[nth-1]) }}
			metrics, message := look(t, newChecker(), h.start(t))
			if m := metrics[metricRoundTrip]; m.Status != c.want {
				t.Errorf("round trips of %v are %v (%v ms), want %v; %s", c.pings, m.Status, m.Value, c.want, message)
			}
		})
	}
}

// A hub that is stopped most of the time answers whatever gathered as soon as it
// may run, so that a question right after an answer is answered at once.
func TestAHubThatRunsOnlyNowAndThenIsIll(t *testing.T) {
	const cycle, awake, phases = 700 * time.Millisecond, 100 * time.Millisecond, 14
	began := time.Now()
	h := &fakeHub{gate: func() {
		if phase := time.Since(began) % cycle; phase > awake {
			<-time.After(cycle - phase)
		}
	}}
	address := h.start(t)
	c := checkerWith(5)
	var probes sync.WaitGroup
	for n := range phases {
		probes.Go(func() {
			<-time.After(time.Duration(n) * cycle / phases)
			metrics, _ := look(t, c, address)
			if m := metrics[metricRoundTrip]; !m.Status.Worse(sdk.Warning) {
				t.Errorf("probed at %d/%d of its cycle: %v ms are %v, want critical", n, phases, m.Value, m.Status)
			}
		})
	}
	probes.Wait()
}

func TestEachAddressHasItsOwnMetricsAndTheWorstCounts(t *testing.T) {
	good, bad := (&fakeHub{}).start(t), closed(t)
	for _, c := range []struct {
		addresses []string
		want      sdk.Status
		why       string
	}{
		{[]string{good, bad}, sdk.Critical, "one of two refuses"},
		{[]string{bad, good}, sdk.Critical, "in whatever order"},
		{[]string{good, (&fakeHub{}).start(t)}, sdk.Healthy, "both answer"},
	} {
		metrics, message := look(t, newChecker(), c.addresses...)
		if m := metrics[metricAccessible]; m.Status != c.want {
			t.Errorf("without label %s is %v, want %v: %s", metricAccessible, m.Status, c.want, c.why)
		}
		if len(metrics) != 3*3+1 {
			t.Errorf("%d metrics, want three for all, three for each address, and the socket: %s", len(metrics), c.why)
		}
		for _, address := range c.addresses {
			want := sdk.Healthy
			if address == bad {
				want = sdk.Critical
			}
			if m := metrics[metricAccessible+" "+address]; m.Status != want {
				t.Errorf("%s is %v, want %v: %s", address, m.Status, want, c.why)
			}
		}
		if c.want == sdk.Critical && (!strings.Contains(message, bad) || strings.Contains(message, good)) {
			t.Errorf("message %q: want the address that refuses and no other", message)
		}
	}
	slow := (&fakeHub{onPing: func(int) { <-time.After(310 * time.Millisecond) }}).start(t)
	metrics, _ := look(t, newChecker(), good, slow)
	if metrics[metricRoundTrip].Status != sdk.Warning || metrics[metricRoundTrip+" "+good].Status != sdk.Healthy {
		t.Errorf("round trip is %v for all and %v for the fast one, want warning and healthy",
			metrics[metricRoundTrip].Status, metrics[metricRoundTrip+" "+good].Status)
	}
}

func TestAFrozenHubIsACriticalResultAndNotAMissedDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	result, err := newChecker().Check(ctx, sdk.Request{Target: sdk.Target{Addresses: []string{frozen(t), frozen(t)}}})
	if err != nil || ctx.Err() != nil {
		t.Fatalf("%v, context %v: want a result before the deadline", err, ctx.Err())
	}
	if m := result.Metrics[0]; m.Name != metricAccessible || m.Status != sdk.Critical {
		t.Errorf("%s is %v, want critical", m.Name, m.Status)
	}
}

func TestACancelledCheckEndsAtOnce(t *testing.T) {
	arrived := make(chan struct{}, 2)
	for why, h := range map[string]*fakeHub{
		"in the handshake":    {gate: func() { arrived <- struct{}{} }, silent: true},
		"in the conversation": {onPing: func(int) { arrived <- struct{}{} }, pong: "6"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		address := h.start(t)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = checkerWith(60).Check(ctx, sdk.Request{Target: sdk.Target{Addresses: []string{address}}})
		}()
		<-arrived
		cancel()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Errorf("a check that is cancelled %s goes on", why)
			<-ended
		}
	}
}

func TestACheckWithoutTimeIsAnErrorAndNotBadNews(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newChecker().Check(ctx, sdk.Request{Target: sdk.Target{Addresses: []string{frozen(t)}}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestAMachineWithoutSocketsIsCritical(t *testing.T) {
	c := newChecker()
	c.openSocket = func(context.Context) error { return errors.New("open a socket: too many open files") }
	metrics, _ := look(t, c, (&fakeHub{}).start(t))
	if m := metrics[metricSocket]; m.Status != sdk.Critical || !strings.Contains(m.Message, "too many open files") {
		t.Errorf("%s is %v (%q), want critical with the reason", metricSocket, m.Status, m.Message)
	}
}

func TestAHubThatWantsTLSIsProbedWithTLS(t *testing.T) {
	h := &fakeHub{}
	server := httptest.NewTLSServer(h)
	defer server.Close()
	address := server.Listener.Addr().String()
	for tls, want := range map[bool]sdk.Status{true: sdk.Healthy, false: sdk.Critical} {
		result, err := newChecker().Check(t.Context(), sdk.Request{Target: sdk.Target{Addresses: []string{address}, TLS: tls}})
		if err != nil || result.Metrics[0].Status != want {
			t.Errorf("with TLS %v: %v, %v (%s), want %v", tls, err, result.Metrics[0].Status, result.Message, want)
		}
	}
}

func TestTheAddressesAreTakenFromTheTarget(t *testing.T) {
	for _, c := range []struct {
		target sdk.Target
		want   string
		why    string
	}{
		{sdk.Target{Addresses: []string{"a:1", "b:2"}, Host: "c", Port: 3}, "[a:1 b:2]", "those really bound"},
		{sdk.Target{Host: "localhost", Port: 8765}, "[127.0.0.1:8765]", "else those configured"},
		{sdk.Target{Port: 8765}, "[127.0.0.1:8765]", "without a host this machine"},
		{sdk.Target{Host: "::1", Port: 8765}, "[[::1]:8765]", "IPv6"},
		{sdk.Target{Host: "localhost"}, "[]", "there is no port to probe"},
	} {
		got, err := addressesOf(c.target)
		if fmt.Sprint(got) != c.want || (err != nil) != (c.want == "[]") {
			t.Errorf("addresses %v, %v, want %s: %s", got, err, c.want, c.why)
		}
	}
	for bound, want := range map[string]string{
		"0.0.0.0:8765": "127.0.0.1:8765", "[::]:8765": "[::1]:8765", "192.0.2.1:8765": "192.0.2.1:8765", "hub.example:8765": "hub.example:8765",
	} {
		if got := reachable(bound); got != want {
			t.Errorf("%s is reached at %s, want %s", bound, got, want)
		}
	}
}

func TestTheProbeLeavesTimeForItsAnswer(t *testing.T) {
	for _, c := range []struct {
		limit, least, most time.Duration
		why                string
	}{
		{2 * time.Second, 1700 * time.Millisecond, 1800 * time.Millisecond, "200 ms are reserved"},
		{200 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, "but never more than half"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), c.limit)
		reserved, stop := withReserve(ctx)
		deadline, _ := reserved.Deadline()
		if left := time.Until(deadline); left < c.least || left > c.most {
			t.Errorf("of %v the probe has %v, want %v to %v: %s", c.limit, left, c.least, c.most, c.why)
		}
		stop()
		cancel()
	}
}

func FuzzWhateverTheHubSaysTheProbeEnds(f *testing.F) {
	for _, seed := range []string{greeting, "0{}", "", "4", "42", "2", `40{"sid":"x"}`, "44", "41", "1", "6", "\xff", `42["pong"]`} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		_ = eventName(first)
		h := &fakeHub{greeting: first, joined: second, hangUp: true}
		h.done = make(chan struct{})
		server := httptest.NewServer(http.Handler(h))
		defer server.Close()
		defer close(h.done)
		p := probe{address: server.Listener.Addr().String(), timeout: 20 * time.Millisecond}
		if out := p.run(t.Context()); out.err == nil {
			t.Errorf("%q and %q pass for a hub that hung up", first, second)
		}
	})
}
