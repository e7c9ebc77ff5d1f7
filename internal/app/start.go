package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/adminapi"
	"github.com/upkeephub/upkeep/internal/child"
	"github.com/upkeephub/upkeep/internal/config"
	"github.com/upkeephub/upkeep/internal/httpapi"
	"github.com/upkeephub/upkeep/internal/hubproc"
	"github.com/upkeephub/upkeep/internal/instance"
	"github.com/upkeephub/upkeep/internal/pluginhost"
	"github.com/upkeephub/upkeep/internal/sbom"
	"github.com/upkeephub/upkeep/proto/handshake"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// identity makes this start's server id and the probe's secret.
func identity() (serverID, secret string, err error) {
	random := make([]byte, 4+32)
	if _, err := rand.Read(random); err != nil {
		return "", "", fmt.Errorf("no random numbers from the system: %w", err)
	}
	return "upkeep-" + hex.EncodeToString(random[:4]), hex.EncodeToString(random[4:]), nil
}

// checkPlugins refuses a plugin folder that cannot be meant, or that lacks a
// plugin that these settings require, before anything is opened. Single plugins that do not start are no reason to stay down.
func (a *App) checkPlugins(settings map[string]config.Plugin) error {
	found, skipped, err := pluginhost.Discover(a.opts.Plugins)
	if err != nil {
		return unusableFolder(a.opts.Plugins, err)
	}
	var missing []string
	for name, p := range settings {
		if p.Enabled && p.Required && !slices.ContainsFunc(found, func(c pluginhost.Candidate) bool { return c.Name == name }) {
			why := "is not in the folder"
			for _, s := range skipped {
				if s.Name == name {
					why = s.Reason
				}
			}
			if !p.Required {
				a.log.Warn("a plugin that is configured, but not required, is missing", "plugin", name, "reason", why)
				continue
			}
			missing = append(missing, name+" "+why)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return &problem.Error{
		Code: problem.PluginsMissing, What: "required plugins are missing", Why: strings.Join(missing, "\n"),
		Steps:   []string{"put them into " + a.opts.Plugins + " (make build builds the bundled ones)", "or set plugins.NAME.required to false in the configuration"},
		Context: map[string]any{"plugins": a.opts.Plugins, "missing": missing},
	}
}

// hint is the next step that an error carries, if any.
func hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func (a *App) takeInstance() error {
	dir, err := instance.Resolve(a.opts.StateDir, os.Getenv, a.cfg.Server.Port)
	if err != nil {
		return err
	}
	a.instance, err = instance.Open(dir, instance.Options{Logger: a.log.Named("instance"), Port: a.cfg.Server.Port})
	if err != nil {
		return err
	}
	a.onStop("state directory", a.instance.Close)
	for _, l := range a.instance.Leftovers() {
		p := l.Problem()
		a.log.Warn("an earlier host left its PID file behind, it is replaced", "code", p.Code, "path", l.Path, "pid", l.Info.PID,
			"status", string(l.Status), "reasons", strings.Join(l.Reasons, "; "))
	}
	return nil
}

// sweep ends what a killed host's children left running.
func (a *App) sweep() error {
	ended, err := child.Sweep(context.Background(), handshake.ChildMarkerEnv, a.instance.Dir())
	if err != nil {
		a.log.Warn("cannot look for processes of an earlier host", "error", err)
	}
	for _, p := range ended {
		a.log.Warn("ended a process that an earlier host left behind", "pid", p.PID, "command", p.Command, "gone", p.Gone)
	}
	return nil
}

func (a *App) listen() (err error) {
	host, port := a.cfg.Server.Host, a.cfg.Server.Port
	a.listeners, err = hubproc.Listen(host, port)
	var taken *hubproc.InUseError
	switch {
	case errors.As(err, &taken):
		return a.portConflict(host, taken.Addr, port, err, false)
	case err != nil:
		return &problem.Error{
			Code: problem.ListenFailed, What: fmt.Sprintf("cannot listen on %s", net.JoinHostPort(host, strconv.Itoa(port))), Err: err,
			Steps:   []string{"give a name or address of this machine: host --host localhost", "ports below 1024 need special rights: choose a higher one with --port"},
			Context: map[string]any{"host": host, "port": port},
		}
	}
	a.onStop("public listeners", a.listeners.Close)
	return nil
}

// listenAdmin binds the admin listener. The default address gives way when it is
// taken; one that was set by hand does not.
func (a *App) listenAdmin() error {
	switch a.cfg.Admin.Address {
	case AdminOff:
		return nil
	case "":
		addr := "127.0.0.1:0"
		if port := a.listeners.Port() + 10000; port <= 65535 {
			addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		}
		l, err := listenTCP(addr)
		if err != nil {
			a.log.Warn("the default admin address is taken, using a free port instead", "address", addr)
			l, err = listenTCP("127.0.0.1:0")
		}
		if err != nil {
			return fmt.Errorf("listen for admin requests: %w", err)
		}
		a.admin = l
	default:
		l, err := listenTCP(a.cfg.Admin.Address)
		if err != nil {
			host, port, _ := net.SplitHostPort(a.cfg.Admin.Address)
			n, _ := strconv.Atoi(port)
			if errors.Is(err, syscall.EADDRINUSE) {
				return a.portConflict(host, a.cfg.Admin.Address, n, err, true)
			}
			return &problem.Error{Code: problem.ListenFailed, What: "cannot listen on the admin address " + a.cfg.Admin.Address, Err: err,
				Steps: []string{"give a loopback address of this machine: host --admin 127.0.0.1:18765"}, Context: map[string]any{"admin": a.cfg.Admin.Address}}
		}
		a.admin = l
	}
	a.onStop("admin listener", ignoreClosed(a.admin.Close))
	return nil
}

// listenTCP binds an address, but never on the ports that existing clients probe
// for hubs when the kernel chooses.
func listenTCP(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

func ignoreClosed(do func() error) func() error {
	return func() error {
		if err := do(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// listenPrivate binds the socket on which the hub asks for the read-only answers.
func (a *App) listenPrivate() error {
	path := filepath.Join(a.instance.SocketDir(), "hub.sock")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return &problem.Error{Code: problem.StateDirUnusable, What: "cannot replace the socket " + path, Err: err,
			Steps: []string{"give the state directory to this user, or choose another one with --state-dir"}}
	}
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return &problem.Error{Code: problem.StateDirUnusable, What: "cannot make the socket " + path, Err: err,
			Steps: []string{"choose another state directory with --state-dir"}}
	}
	a.private = l
	a.onStop("private listener", ignoreClosed(l.Close))
	return nil
}

// listenOwner binds the socket that the command line asks.
func (a *App) listenOwner() (err error) {
	a.owner, err = adminapi.ListenUnix(a.instance.SocketDir(), a.log.Named("admin"))
	if err != nil {
		return &problem.Error{Code: problem.StateDirUnusable, What: "cannot make the admin socket", Err: err,
			Steps: []string{"choose another state directory with --state-dir"}}
	}
	a.onStop("owner's socket", ignoreClosed(a.owner.Close))
	return nil
}

func (a *App) writePID() error {
	return a.instance.WritePID(instance.Info{
		ServerID: a.serverID, ServerVersion: Version, Host: a.cfg.Server.Host, Port: a.listeners.Port(),
		StartTime: a.started, Admin: a.adminAddress(), TLS: a.cfg.Server.TLS.Enabled(),
	})
}

func (a *App) adminAddress() string {
	if a.admin == nil {
		return ""
	}
	return a.admin.Addr().String()
}

func (a *App) wirePlugins() (err error) {
	opts := pluginhost.DefaultOptions()
	opts.Dir = a.opts.Plugins
	opts.RuntimeDir = filepath.Join(a.instance.SocketDir(), "plugins")
	opts.Log = a.log
	opts.Marker = handshake.ChildMarkerEnv + "=" + child.NewMarker(a.instance.Dir()).String()
	given := pluginConfiguration(a.cfg)
	opts.Settings, opts.Thresholds, opts.StrategyConfig = given.Settings, given.Thresholds, given.StrategyConfig
	if opts.Trust, err = trustPolicy(a.cfg); err != nil {
		return err
	}
	opts.MemoryLimit = uint64(a.cfg.Supervision.PluginMemoryLimitMB) << 20
	opts.CheckTimeouts = a.cfg.Supervision.PluginCallTimeouts
	opts.Follow = a.cfg.Supervision.FollowPlugins
	opts.Events = a.pluginEvent
	opts.OnWatch = func(check string, out pluginhost.CheckOutput) {
		a.monitor.Watched(check, monitor.Outcome{Result: out.Result, Counters: out.Counters}, out.Result.Generation)
	}
	opts.WatchInput = func(string) pluginhost.CheckInput { return a.checkInput(time.Now()) }
	opts.Statistics = a.statistics
	a.plugins, err = pluginhost.New(opts)
	return err
}

// logDirectory is where the event log is, in the state directory.
const logDirectory = "log"

// recoveryWindow is the hub's setting: there 0 is the default, and "never" negative.
func recoveryWindow(e config.Events) time.Duration {
	if e.RecoveryWindow == 0 {
		return -1
	}
	return e.RecoveryWindow.Duration()
}

func (a *App) wireHub() (err error) {
	opts := hubproc.DefaultOptions()
	opts.Listeners = a.listeners
	opts.Log = a.log
	opts.LogLevel = func() string { return a.log.GetLevel().String() }
	opts.StateDir = a.instance.Dir()
	opts.Events = a.hubEvent
	opts.Settings = &hubv1.Settings{
		ServerId: a.serverID, ServerVersion: Version, HostPid: int64(os.Getpid()), HostStartedAt: timestamppb.New(a.started),
		Host: a.cfg.Server.Host, Port: int32(a.listeners.Port()), HostSocket: a.private.Addr().String(), ProbeSecret: a.secret,
		EventHistory: int32(a.cfg.Events.History), MaxConnections: int64(a.cfg.Limits.MaxConnections),
		PingInterval: durationpb.New(25 * time.Second), PingTimeout: durationpb.New(60 * time.Second), MaxPayloadBytes: int64(a.cfg.Limits.MaxPayloadBytes),
		EnableCors: a.cfg.Server.EnableCORS, Limits: hubLimits(a.cfg.Limits),
		AllowedOrigins: a.cfg.Server.AllowedOrigins, Tokens: tokenPolicy(a.cfg.Server.Tokens),
		LogDir: filepath.Join(a.instance.Dir(), logDirectory), LogEvents: int32(a.cfg.Events.LogEvents),
		LogBytes: int64(a.cfg.Events.LogMB) << 20, LogAge: durationpb.New(a.cfg.Events.LogAge.Duration()), LogSync: a.cfg.Events.LogSync,
		RecoveryWindow: durationpb.New(recoveryWindow(a.cfg.Events)),
	}
	if a.certificate != nil {
		opts.Amend = func(s *hubv1.Settings) { s.Tls = a.certificate.settings() }
	}
	a.keeper, err = hubproc.New(opts)
	return err
}

// hubLimits tells the hub the limits that are configured.
func hubLimits(l config.Limits) *hubv1.Limits {
	return &hubv1.Limits{
		MessagesPerSecond: int64(l.MessagesPerSecond), BytesPerSecond: int64(l.BytesPerSecond),
		MaxQueuedBytes: int64(l.MaxQueuedBytes), MaxQueueAge: durationpb.New(l.MaxQueueAge.Duration()),
		SlowClients: l.SlowClients, WriteTimeout: durationpb.New(l.WriteTimeout.Duration()),
		MaxRooms: int64(l.MaxRooms), MaxNamespaces: int64(l.MaxNamespaces), MaxPendingAcks: int64(l.MaxPendingAcks),
		HeaderTimeout: durationpb.New(l.HeaderTimeout.Duration()), BodyTimeout: durationpb.New(l.BodyTimeout.Duration()),
		IdleTimeout: durationpb.New(l.IdleTimeout.Duration()), MaxHandshakes: int64(l.MaxHandshakes),
	}
}

func (a *App) wireAPI() error {
	source := httpapi.SourceFunc(a.Snapshot)
	log := a.log.Named("http")
	shown := httpapi.Options{Logger: log, Configuration: a.shownConfiguration}
	for _, m := range sbom.Modules() {
		shown.Modules = append(shown.Modules, httpapi.Module(m))
	}
	a.api = apiServer(httpapi.Handler(source, shown), log)
	shown.CheckHost = true
	ops, adminLog := (*operations)(a), a.log.Named("admin")
	a.ownerAPI = apiServer(adminapi.Handler(ops, adminapi.Options{Owner: true, Logger: adminLog}), adminLog)
	if a.admin != nil {
		token := string(a.cfg.Admin.Token)
		if token == "" {
			var err error
			if token, err = adminapi.LoadToken(a.instance.Dir()); err != nil {
				return &problem.Error{Code: problem.StateDirUnusable, What: "cannot keep the admin token", Err: err,
					Steps: []string{"choose another state directory with --state-dir"}}
			}
		}
		mux := http.NewServeMux()
		mux.Handle(adminapi.Prefix+"/", adminapi.Handler(ops, adminapi.Options{Token: token, Logger: adminLog}))
		mux.Handle("/", httpapi.Handler(source, shown))
		a.adminAPI = apiServer(mux, log)
	}
	return nil
}

func apiServer(h http.Handler, log hclog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
}
