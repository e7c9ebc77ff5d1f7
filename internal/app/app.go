package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/core/monitor"
	"github.com/upkeephub/upkeep/internal/config"
	"github.com/upkeephub/upkeep/internal/httpapi"
	"github.com/upkeephub/upkeep/internal/hubproc"
	"github.com/upkeephub/upkeep/internal/instance"
	"github.com/upkeephub/upkeep/internal/pluginhost"
	"github.com/upkeephub/upkeep/internal/systemd"
)

// ErrEmergencyStop is Run's error after emergency_stop.
var ErrEmergencyStop = errors.New("emergency stop")

// App is a host.
type App struct {
	opts     Options
	cfg      config.Config // of the start; see settings for what is in force
	log      hclog.Logger
	stderr   *redirected // where log goes; nil: to a configured file
	started  time.Time
	serverID string
	secret   string // of the probe

	instance  *instance.Instance
	listeners *hubproc.Listeners
	admin     net.Listener // nil: off
	private   net.Listener // the hub asks here
	keeper    *hubproc.Keeper
	plugins   *pluginhost.Host
	monitor   *monitor.Monitor
	api       *http.Server // on private
	adminAPI  *http.Server // on admin
	owner     net.Listener // the unix socket of the command line
	ownerAPI  *http.Server // on owner

	phase      atomic.Value  // httpapi.Phase
	emergency  chan string   // the reason; sent once, by the action, read by Run
	asked      chan string   // the reason of a stop; sent by the admin API, dropped when one waits, read by Run
	serving    chan struct{} // closed when the first hub serves
	firstHub   sync.Once
	begin      chan struct{} // closed when the first round of checks may begin
	settings   *settings
	recovered  recoveries
	quarantine quarantine
	// certificate is nil when clients connect without TLS.
	certificate *certificate
	manager     *systemd.Notifier // of services; nil: there is none
	undo        []step            // what New did, in order; Stop walks it backwards
}

// step is something to undo.
type step struct {
	name string
	do   func() error
}

func (a *App) onStop(name string, do func() error) { a.undo = append(a.undo, step{name, do}) }

// Run is the life of a host: it starts everything, serves until ctx ends or an
// emergency stop, and stops everything within 5 s. Mistakes that a person can
// mend are *problem.Error; ErrEmergencyStop is wrapped after an emergency stop.
func Run(ctx context.Context, opts Options) error {
	a, err := New(opts)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// New reads the configuration, takes the state directory and binds the
// listeners. Nothing is served yet. When a step fails, what was done before is
// undone.
func New(opts Options) (a *App, err error) {
	a = &App{opts: opts, started: time.Now(), emergency: make(chan string, 1), asked: make(chan string, 1), serving: make(chan struct{}), begin: make(chan struct{})}
	a.phase.Store(httpapi.Starting)
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	var origins config.Origins
	if a.cfg, origins, err = opts.configuration(); err != nil {
		return a, err
	}
	a.settings = newSettings(a.cfg, origins)
	a.log = a.newLog()
	a.tellNotices(origins)
	a.findManager()
	if err = a.checkPlugins(a.cfg.Plugins); err != nil {
		return a, err
	}
	if err = a.checkCertificate(); err != nil {
		return a, err
	}
	if a.serverID, a.secret, err = identity(); err != nil {
		return a, err
	}
	if id := a.cfg.Server.ServerID; id != "" {
		a.serverID = id
	}
	for _, build := range []func() error{a.takeInstance, a.rotateOwnLog, a.sweep, a.listen, a.listenAdmin, a.listenPrivate, a.listenOwner, a.writePID, a.wirePlugins, a.wireHub, a.wireMonitor, a.wireAPI} {
		if err = build(); err != nil {
			return a, err
		}
	}
	return a, nil
}

// close undoes what New did.
func (a *App) close() {
	for i := len(a.undo) - 1; i >= 0; i-- {
		if err := a.undo[i].do(); err != nil && a.log != nil {
			a.log.Warn("something did not close", "what", a.undo[i].name, "error", err)
		}
	}
	a.undo = nil
}

// Run serves until ctx ends or an emergency stop.
func (a *App) Run(ctx context.Context) error {
	defer a.close()

	// Each loop has its own context, since they end in an order: first what
	// could act, then what serves, then what tells.
	var loops sync.WaitGroup
	failed := make(chan error, 11) // one slot for each loop; read by Run while it serves
	loop := func(name string, ctx context.Context, run func(context.Context) error) <-chan struct{} {
		ended := make(chan struct{})
		loops.Go(func() {
			defer close(ended)
			if err := run(ctx); err != nil {
				if ctx.Err() != nil {
					a.log.Warn("a part did not stop cleanly", "part", name, "error", err)
					return
				}
				failed <- fmt.Errorf("%s: %w", name, err)
			}
		})
		return ended
	}
	acting, stopActing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopActing()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()

	loop("private listener", serving, a.serve(a.api, a.private))
	if a.admin != nil {
		loop("admin listener", serving, a.serve(a.adminAPI, a.admin))
	}
	loop("owner's socket", serving, a.serve(a.ownerAPI, a.owner))
	loop("instance", serving, a.instance.Keep)
	hubEnded := loop("hub", serving, a.keeper.Run)
	pluginsEnded := loop("plugins", serving, a.plugins.Run)
	monitorEnded := loop("monitor", acting, a.monitor.Run)
	loop("start", acting, func(ctx context.Context) error {
		if a.ready(ctx) {
			a.phase.CompareAndSwap(httpapi.Starting, httpapi.Running)
			a.firstScreen()
			a.tellManager(a.manager.Ready(a.statusLine()))
			close(a.begin)
		}
		return nil
	})
	loop("reload", acting, a.reloadOnHangup)
	loop("signs of life", serving, a.feedManager)

	var result error
	select {
	case <-ctx.Done():
		a.log.Info("stopping: a signal asked for it")
	case reason := <-a.asked:
		a.log.Info("stopping: asked to", "reason", reason)
	case reason := <-a.emergency:
		result = a.emergencyProblem(reason)
		a.log.Error("stopping: emergency stop", "reason", reason)
	case err := <-failed:
		result = err
		a.log.Error("stopping: a part of host failed", "error", err)
	}
	began := time.Now()
	a.phase.Store(httpapi.Stopping)
	a.tellManager(a.manager.Stopping("telling the clients and stopping"))
	stopActing()
	if !within(monitorEnded, stopPartTimeout) {
		a.log.Warn("the monitor did not stop in time")
	}
	stopServing()
	deadline := time.After(stopTimeout - time.Since(began))
	for name, ended := range map[string]<-chan struct{}{"hub": hubEnded, "plugins": pluginsEnded} {
		select {
		case <-ended:
		case <-deadline:
			a.log.Warn("a part did not stop in time", "part", name)
		}
	}
	stopped := make(chan struct{})
	go func() { loops.Wait(); close(stopped) }()
	within(stopped, time.Second)
	a.log.Info("stopped", "took", time.Since(began).Round(time.Millisecond))
	return result
}

const (
	// stopTimeout bounds the stop of hub and plugins, so that host is gone
	// within 5 s of a signal whatever hangs.
	stopTimeout = 4 * time.Second
	// stopPartTimeout bounds the stop of the monitor, whose checks and actions are cancelled.
	stopPartTimeout = 700 * time.Millisecond
	// pluginPatience is how long the first check waits for plugins that start slowly.
	pluginPatience = 10 * time.Second
)

func within(done <-chan struct{}, d time.Duration) bool {
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

// ready waits until the hub serves and every plugin has started or failed to.
func (a *App) ready(ctx context.Context) bool {
	patience := time.After(pluginPatience)
	select {
	case <-a.serving:
	case <-patience:
	case <-ctx.Done():
		return false
	}
	select {
	case <-a.plugins.Started():
	case <-patience:
	case <-ctx.Done():
		return false
	}
	return true
}

// serve runs an HTTP server on a listener until ctx ends.
func (a *App) serve(server *http.Server, l net.Listener) func(context.Context) error {
	return func(ctx context.Context) error {
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(l) }()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
		}
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 500*time.Millisecond)
		defer cancel()
		if server.Shutdown(bounded) != nil {
			_ = server.Close()
		}
		<-ended
		return nil
	}
}

// Phase says what host is doing.
func (a *App) Phase() httpapi.Phase { return a.phase.Load().(httpapi.Phase) }
