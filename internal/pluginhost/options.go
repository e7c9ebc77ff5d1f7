package pluginhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// Settings are what the operator configured for one plugin.
type Settings struct {
	// Enabled false leaves the plugin alone; nil means true.
	Enabled *bool
	// Config is given to the plugin. It wins over everything else, key by key.
	Config map[string]any
	// SHA256 in hexadecimal pins the plugin's file. It wins over plugin.json,
	// which whoever exchanges the file could exchange too. Empty: not pinned.
	SHA256 string
	// Environment names further variables of Options.Environ that the plugin sees.
	Environment []string
	// Required: the plugin is not removed when its files go while it runs.
	Required bool
	// MemoryLimit in bytes wins over that of the Options; 0: that one.
	MemoryLimit uint64
}

// Options of a Host. Dir, RuntimeDir and Log are required; start from
// DefaultOptions.
type Options struct {
	// Dir is the plugin directory.
	Dir string
	// RuntimeDir holds the plugins' sockets. It is made with mode 0700 if it is
	// missing, belongs to this host alone, and what an earlier host left in it
	// is removed. Its absolute path has at most 60 bytes: a socket's path is short.
	RuntimeDir string
	// Log takes what goes wrong and what the plugins write to standard error, each
	// with the plugin's name in the field "plugin". What goes well is told to Events.
	Log hclog.Logger
	// Marker is one KEY=VALUE for the environment of every plugin; empty: none.
	Marker string
	// Environ is where the few inherited variables come from.
	Environ []string
	// Settings by plugin name.
	Settings map[string]Settings
	// Trust is what is asked of the plugin directory; its Dir is taken from Dir above.
	Trust plugintrust.Policy
	// IgnoreLock: the directory's lock is not looked at; a new one is being made.
	IgnoreLock bool
	// Thresholds are merged, key by key, into config.thresholds of every plugin
	// whose JSON Schema names properties.thresholds.properties.KEY.
	Thresholds map[string]float64
	// StrategyConfig is merged, key by key, into the configuration of every
	// recovery plugin whose JSON Schema names properties.KEY.
	StrategyConfig map[string]any
	// Events is told every change of a plugin's state. It is called from the
	// plugins' own goroutines, must be safe for that and must not block. Nil: nobody listens.
	Events func(Event)
	// OnWatch takes the results that checkers with the capability "watch" send
	// between checks. Called one at a time for each plugin; while it blocks, that
	// plugin's stream waits, and so does Run at its end. Nil: no stream is opened.
	OnWatch func(checkName string, out CheckOutput)
	// WatchInput says what a watch is to look at; called when a stream opens. Nil: the zero CheckInput.
	WatchInput func(checkName string) CheckInput
	// Statistics gives a strategy the hub's numbers; nil, or a nil result: none.
	Statistics func() *Statistics

	// StartTimeout is how long a start may take, from fork to configured.
	StartTimeout time.Duration
	// HealthInterval is the pause between two health calls, HealthTimeout the
	// deadline of one. After a miss the next call follows in HealthTimeout/2.
	HealthInterval, HealthTimeout time.Duration
	// HealthMisses in a row have the process replaced.
	HealthMisses int
	// CheckTimeouts is how many calls in a row without an answer have the process
	// replaced.
	CheckTimeouts int
	// MemoryLimit is how many bytes a plugin's process and its descendants may
	// hold resident; more than that at MemoryLooks looks in a row, MemoryInterval
	// apart, has the process replaced. 0: no limit. Where the platform does not
	// tell, nothing is replaced.
	MemoryLimit    uint64
	MemoryLooks    int
	MemoryInterval time.Duration
	// CallTimeout is the deadline of a call whose context has none.
	CallTimeout time.Duration
	// StopTimeout is how long a plugin may take to end when asked; then its
	// group is killed.
	StopTimeout time.Duration
	// Lateness of this process's own timers from which on a missed deadline is
	// blamed on a pause of our own and not on the plugin.
	Lateness time.Duration
	// Restart says when a plugin that exited is started again.
	Restart RestartPolicy
	// Follow has the plugin directory watched: what is put there is started, what
	// is exchanged is reloaded, and what goes is stopped, as Rescan does. Without
	// it a changed file only releases a plugin that is quarantined or refused.
	Follow bool
	// LookInterval is the pause between two looks at the plugin directory. A
	// change counts once two looks saw the same.
	LookInterval time.Duration
	// WatchPause is the first pause before an ended watch stream is opened
	// again; it doubles up to a minute.
	WatchPause time.Duration

	gate *gate // made by New
}

// DefaultOptions are the documented times and policies, and our own environment.
func DefaultOptions() Options {
	return Options{
		Environ:        os.Environ(),
		StartTimeout:   10 * time.Second,
		HealthInterval: 5 * time.Second,
		HealthTimeout:  2 * time.Second,
		HealthMisses:   2,
		CheckTimeouts:  2,
		MemoryLimit:    256 << 20,
		MemoryLooks:    3,
		MemoryInterval: 2 * time.Second,
		LookInterval:   2 * time.Second,
		CallTimeout:    10 * time.Second,
		StopTimeout:    2 * time.Second,
		Lateness:       250 * time.Millisecond,
		Restart:        DefaultRestartPolicy(),
		WatchPause:     time.Second,
	}
}

// maxRuntimeDir leaves room for /plugin-dir1234567890/plugin1234567890 in the
// 107 bytes of a socket's path.
const maxRuntimeDir = 60

func (o *Options) validate() error {
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("Options.Dir is empty: name the plugin directory"))
	}
	if o.Log == nil {
		errs = append(errs, errors.New("Options.Log is nil: pass a logger, hclog.NewNullLogger() to hear nothing"))
	}
	if o.RuntimeDir == "" {
		errs = append(errs, errors.New("Options.RuntimeDir is empty: name a private folder for sockets"))
	} else if abs, err := filepath.Abs(o.RuntimeDir); err != nil {
		errs = append(errs, fmt.Errorf("Options.RuntimeDir: %w", err))
	} else if o.RuntimeDir = abs; len(abs) > maxRuntimeDir {
		errs = append(errs, fmt.Errorf("Options.RuntimeDir %s has %d bytes: sockets need a path of at most %d", abs, len(abs), maxRuntimeDir))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"StartTimeout", o.StartTimeout}, {"HealthInterval", o.HealthInterval}, {"HealthTimeout", o.HealthTimeout},
		{"CallTimeout", o.CallTimeout}, {"StopTimeout", o.StopTimeout}, {"Lateness", o.Lateness},
		{"Restart.Healthy", o.Restart.Healthy}, {"Restart.First", o.Restart.First}, {"Restart.Longest", o.Restart.Longest},
		{"Restart.Window", o.Restart.Window}, {"WatchPause", o.WatchPause},
		{"MemoryInterval", o.MemoryInterval}, {"LookInterval", o.LookInterval},
	} {
		if d.value <= 0 {
			errs = append(errs, fmt.Errorf("Options.%s is %v: it must be above zero; start from DefaultOptions", d.name, d.value))
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"HealthMisses", o.HealthMisses}, {"CheckTimeouts", o.CheckTimeouts}, {"MemoryLooks", o.MemoryLooks}, {"Restart.Crashes", o.Restart.Crashes}} {
		if n.value < 1 {
			errs = append(errs, fmt.Errorf("Options.%s is %d: it must be at least 1; start from DefaultOptions", n.name, n.value))
		}
	}
	return errors.Join(errs...)
}
