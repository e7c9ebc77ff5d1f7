package conformance

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/upkeephub/upkeep/internal/child"
	"github.com/upkeephub/upkeep/internal/trial"
	"github.com/upkeephub/upkeep/proto/handshake"
)

const (
	// handTime is how long a plugin that was started by hand may take to end.
	handTime = 5 * time.Second
	// healthTime is host's deadline of a health call.
	healthTime = 2 * time.Second
	// foreignVersion is a protocol version that no plugin speaks.
	foreignVersion = 99
)

func handshakeRule(ctx context.Context, k *kit) *breach {
	p, err := trial.Start(trial.Options{Spec: k.Spec})
	if err != nil {
		return &breach{err.Error(), "see that the file can be executed on this machine: its mode, its #! line, its architecture"}
	}
	defer p.End()
	starting, cancel := context.WithTimeout(ctx, trial.StartTime)
	defer cancel()
	line, err := p.FirstLine(starting)
	if err != nil {
		return &breach{"it printed nothing within " + trial.StartTime.String(), "print and flush the handshake as soon as it listens"}
	}
	shake, err := trial.ParseHandshake(line)
	if err != nil {
		if line == "" {
			return &breach{k.explain(p, err), "mend what its last words name; keep running after the handshake"}
		}
		return &breach{err.Error(), "print 1|VERSION|unix|PATH|grpc| first, with PATH in the folder $PLUGIN_UNIX_SOCKET_DIR; log to standard error"}
	}
	if shake.Version != handshake.ProtocolVersion {
		return &breach{fmt.Sprintf("it chose version %d, host offered %d", shake.Version, handshake.ProtocolVersion),
			"choose from PLUGIN_PROTOCOL_VERSIONS; this host speaks version " + fmt.Sprint(handshake.ProtocolVersion)}
	}
	if err := p.Dial(starting, shake); err != nil {
		return &breach{k.explain(p, err), "listen before the handshake is printed, and serve gRPC without TLS"}
	}
	return nil
}

func cookieRule(ctx context.Context, k *kit) *breach {
	const change = "look at " + handshake.CookieKey + " first; if it is not the cookie, say on standard error that this is a plugin, and exit with 1"
	p, err := trial.Start(trial.Options{Spec: k.Spec, WithoutCookie: true})
	if err != nil {
		return &breach{err.Error(), change}
	}
	defer p.End()
	waiting, cancel := context.WithTimeout(ctx, handTime)
	defer cancel()
	select {
	case <-p.Done():
	case <-waiting.Done():
		return &breach{fmt.Sprintf("without the cookie it still ran after %v", handTime), change}
	}
	line, _ := p.FirstLine(waiting) // the process has ended: what there is, is there
	exit := p.Exit()
	switch {
	case strings.Count(line, "|") >= 3:
		return &breach{"without the cookie it printed the handshake " + line, change}
	case exit.Code == 0:
		return &breach{"without the cookie it ended with exit code 0", change}
	case len(exit.Tail) == 0:
		return &breach{"without the cookie it ended without a word on standard error", change}
	}
	return nil
}

func versionRule(ctx context.Context, k *kit) *breach {
	const change = "split PLUGIN_PROTOCOL_VERSIONS at commas and choose the highest that the plugin speaks; it is not sorted. " +
		"With none in common, exit with an error, or print the plugin's own version"
	for _, c := range []struct {
		offered []int
		common  bool
	}{
		{[]int{foreignVersion, handshake.ProtocolVersion}, true},
		{[]int{handshake.ProtocolVersion, foreignVersion}, true},
		{[]int{foreignVersion}, false},
	} {
		p, err := trial.Start(trial.Options{Spec: k.Spec, Versions: c.offered})
		if err != nil {
			return &breach{err.Error(), change}
		}
		starting, cancel := context.WithTimeout(ctx, trial.StartTime)
		line, err := p.FirstLine(starting)
		cancel()
		p.End()
		shake, wrong := trial.ParseHandshake(line)
		switch {
		case err != nil:
			return &breach{fmt.Sprintf("offered %v, it printed nothing within %v", c.offered, trial.StartTime), change}
		case !c.common && (line == "" || shake.Version != foreignVersion):
		case !c.common:
			return &breach{fmt.Sprintf("offered %v, it says that it speaks %d", c.offered, shake.Version), change}
		case wrong != nil:
			return &breach{fmt.Sprintf("offered %v: %v", c.offered, wrong), change}
		case shake.Version != handshake.ProtocolVersion:
			return &breach{fmt.Sprintf("offered %v, it chose %d", c.offered, shake.Version), change}
		}
	}
	return nil
}

func healthRule(ctx context.Context, k *kit) *breach {
	const change = `serve grpc.health.v1.Health and answer SERVING for the service "plugin", without work of your own`
	p, end, b := k.open(ctx)
	defer end()
	if b != nil {
		return b
	}
	asked, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	if err := p.Health(asked); err != nil {
		return &breach{"the health call: " + k.explain(p, err), change}
	}
	return nil
}

func shutdownRule(ctx context.Context, k *kit) *breach {
	const change = "answer PluginService.Shutdown, release what the plugin holds, and end: when plugin.GRPCController.Shutdown is called, " +
		"when standard input ends, or at SIGTERM"
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	switch exit, answered := p.Shutdown(); {
	case answered != nil:
		return &breach{"Shutdown: " + k.explain(p, answered), change}
	case exit.Err != nil || exit.Signal == syscall.SIGKILL:
		return &breach{fmt.Sprintf("it still ran %v after Shutdown and had to be killed", trial.StopTime), change}
	}
	return nil
}

func stdinRule(ctx context.Context, k *kit) *breach {
	p, end, b := k.start(ctx)
	defer end()
	if b != nil {
		return b
	}
	p.CloseStdin()
	waiting, cancel := context.WithTimeout(ctx, slack)
	defer cancel()
	select {
	case <-p.Done():
		return nil
	case <-waiting.Done():
		return &breach{fmt.Sprintf("it still ran %v after its standard input had ended", slack),
			"read standard input, which never holds anything, and exit at once when it ends: host is gone then"}
	}
}

func stdoutRule(_ context.Context, k *kit) *breach {
	if len(k.printed) == 0 {
		return nil
	}
	return &breach{fmt.Sprintf("it printed %d lines, the first: %s", len(k.printed), child.Sanitise([]byte(k.printed[0]))),
		"write to standard error: redirect print and console.log there"}
}
