package httpapi

import (
	"testing"
	"time"
)

func TestProbesAnswerByTheirCode(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	beat := now.Add(-3 * time.Second)
	up := Hub{State: "running", Accepting: true}
	for _, tc := range []struct {
		why, path string
		snapshot  Snapshot
		code      int
		body      string
	}{
		{"the loop turns", "/livez", Snapshot{Beat: beat}, 200, "ok"},
		{"nothing is known of the loop but that it answers", "/livez", Snapshot{}, 200, "ok"},
		{"the loop stands still", "/livez", Snapshot{Beat: now.Add(-11 * time.Second)}, 503, "[-]loop failed: host's loop last turned 11 s ago\nlivez check failed\n"},
		{"a hub that is down does not make host dead", "/livez", Snapshot{Beat: beat, Hub: Hub{State: "restarting"}}, 200, "ok"},
		{"verbose", "/livez?verbose", Snapshot{Beat: beat}, 200, "[+]loop ok\nlivez check passed\n"},
		{"the hub serves", "/readyz", Snapshot{Phase: Running, Hub: up}, 200, "ok"},
		{"verbose", "/readyz?verbose=1", Snapshot{Phase: Running, Hub: up}, 200, "[+]host ok\n[+]hub ok\nreadyz check passed\n"},
		{"the hub is being restarted", "/readyz", Snapshot{Phase: Running, Hub: Hub{State: "restarting"}}, 503, "[+]host ok\n[-]hub failed: it is restarting\nreadyz check failed\n"},
		{"not begun", "/readyz", Snapshot{Phase: Starting}, 503, "[+]host ok\n[-]hub failed: it does not accept clients\nreadyz check failed\n"},
		{"on the way out", "/readyz", Snapshot{Phase: Stopping, Hub: up}, 503, "[-]host failed: it is stopping\n[+]hub ok\nreadyz check failed\n"},
		{"held", "/readyz", Snapshot{Phase: Held, Hub: Hub{State: "stopped"}}, 503, "[-]host failed: it is held\n[-]hub failed: it is stopped\nreadyz check failed\n"},
		{"what fails is left out", "/readyz?exclude=hub", Snapshot{Phase: Starting}, 200, "ok"},
		{"and it is said", "/readyz?exclude=hub&verbose", Snapshot{Phase: Starting}, 200, "[+]host ok\n[+]hub excluded: ok\nreadyz check passed\n"},
		{"several are left out", "/readyz?exclude=hub,host", Snapshot{Phase: Held}, 200, "ok"},
		{"what is not there cannot be left out", "/readyz?exclude=etcd&verbose", Snapshot{Phase: Running, Hub: up}, 200,
			"[+]host ok\n[+]hub ok\nwarn: nothing to exclude is called \"etcd\"\nreadyz check passed\n"},
	} {
		rec := ask(still(tc.snapshot, Options{Now: func() time.Time { return now }}), "GET", tc.path)
		if rec.Code != tc.code || rec.Body.String() != tc.body || rec.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %s gives %d %q %q, want %d %q", tc.why, tc.path, rec.Code, rec.Header().Get("Content-Type"), rec.Body, tc.code, tc.body)
		}
	}
}
