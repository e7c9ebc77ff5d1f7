package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// configureTimeout bounds one call that judges or applies a configuration in a
// running plugin.
const configureTimeout = 2 * time.Second

// Configuration is what of Options may change while the plugins run.
type Configuration struct {
	// Settings by plugin name. Of those of plugins that are there, Config and
	// Required change; the rest is for plugins that are installed from now on.
	Settings map[string]Settings
	// Thresholds and StrategyConfig are as in Options.
	Thresholds     map[string]float64
	StrategyConfig map[string]any
}

func (c Configuration) layers(plugin string) *configLayers {
	return &configLayers{thresholds: c.Thresholds, strategy: c.StrategyConfig, settings: c.Settings[plugin].Config}
}

// ConfigError says that a running plugin does not take a configuration.
type ConfigError struct {
	Plugin string
	Err    error
	Remedy string // one imperative sentence
}

func (e *ConfigError) Error() string { return fmt.Sprintf("plugin %q: %v", e.Plugin, e.Err) }

// Unwrap gives the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// Hint is one imperative sentence for the operator.
func (e *ConfigError) Hint() string { return e.Remedy }

// Reconfigure gives every running plugin whose configuration it changes the new
// one, all or none: first each judges it, and only if nobody minds each applies
// it. If one then refuses all the same, the others get the earlier one back, and
// a plugin of which it is not known what it has is started anew with the earlier
// one. The error joins a *ConfigError for each plugin that refused or did not
// answer, sorted by name. It blocks while plugins are reloaded, then for at most
// 6 s, and no more than 2 s once ctx has ended.
//
// Plugins that do not run get the new configuration at their next start; one
// that was refused is started at once, as its configuration may have been why.
func (h *Host) Reconfigure(ctx context.Context, c Configuration) error {
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait until plugins are reloaded: %w", context.Cause(ctx))
	}
	defer func() { <-h.turn }()
	var changes []*configChange
	var errs []error
	for _, i := range h.all() {
		change, err := i.planned(c.layers(i.name))
		if err != nil {
			errs = append(errs, err)
		} else if change != nil {
			changes = append(changes, change)
		}
	}
	if err := errors.Join(append(errs, together(ctx, changes, (*configChange).judge)...)...); err != nil {
		return err
	}
	if err := errors.Join(together(ctx, changes, (*configChange).apply)...); err != nil {
		together(context.WithoutCancel(ctx), changes, (*configChange).revert)
		return err
	}
	h.given = c
	for _, i := range h.all() {
		i.adopt(c.layers(i.name))
	}
	return nil
}

// configChange is another configuration for a running process.
type configChange struct {
	instance *Instance
	session  *session
	old, new *structpb.Struct
	state    changeState
}

// changeState is what is known of the process.
type changeState int

const (
	untouched changeState = iota
	changed
	unclear // it was told to change and did not answer
)

// together does something with all of them at once and gives what came of it, in
// their order.
func together(ctx context.Context, changes []*configChange, do func(*configChange, context.Context) error) []error {
	errs := make([]error, len(changes))
	var all sync.WaitGroup
	for n, c := range changes {
		all.Go(func() {
			limited, cancel := context.WithTimeout(ctx, configureTimeout)
			defer cancel()
			tied, untie := c.session.tie(limited)
			defer untie()
			errs[n] = do(c, tied)
		})
	}
	all.Wait()
	return errs
}

// judge asks the plugin what it thinks of the new configuration.
func (c *configChange) judge(ctx context.Context) error {
	answer, err := pluginv1.NewPluginServiceClient(c.session.conn).Validate(ctx, &pluginv1.ValidateRequest{Config: c.new})
	return c.outcome(answer.GetDiagnostics(), err)
}

// apply has the plugin use the new configuration.
func (c *configChange) apply(ctx context.Context) error {
	answer, err := pluginv1.NewPluginServiceClient(c.session.conn).Configure(ctx, &pluginv1.ConfigureRequest{Config: c.new})
	told := c.outcome(answer.GetDiagnostics(), err)
	switch {
	case err != nil:
		c.state = unclear
	case told == nil:
		c.state = changed
		c.instance.mu.Lock()
		c.session.config = c.new
		c.instance.mu.Unlock()
	}
	return told
}

// revert gives the plugin its earlier configuration back, or has it started anew.
func (c *configChange) revert(ctx context.Context) error {
	switch c.state {
	case untouched:
		return nil
	case changed:
		answer, err := pluginv1.NewPluginServiceClient(c.session.conn).Configure(ctx, &pluginv1.ConfigureRequest{Config: c.old})
		if err == nil {
			if _, err = judgeDiagnostics(answer.GetDiagnostics()); err == nil {
				c.instance.mu.Lock()
				c.session.config = c.old
				c.instance.mu.Unlock()
				return nil
			}
		}
	}
	c.session.condemn(verdict{reason: "it did not take its earlier configuration back", recycled: true})
	return nil
}

// outcome turns an answer into words. A process that has ended meanwhile has no
// say: its successor starts with the configuration that is then in force.
func (c *configChange) outcome(findings []*pluginv1.Diagnostic, err error) error {
	i := c.instance
	refused := func(err error) error {
		return &ConfigError{Plugin: i.name, Err: err, Remedy: configRemedy(i.name)}
	}
	switch {
	case c.session.ctx.Err() != nil:
		return nil
	case status.Code(err) == codes.Unavailable:
		select {
		case <-c.session.ctx.Done():
			return nil
		case <-time.After(exitGrace):
		}
	}
	if err != nil {
		cause, _ := fromStatus(err)
		return &ConfigError{Plugin: i.name, Err: fmt.Errorf("it did not take its configuration: %w", cause), Remedy: "see what is the matter with it: host plugins; then try again"}
	}
	warnings, err := judgeDiagnostics(findings)
	for _, w := range warnings {
		i.log.Warn("plugin warns about its configuration", "finding", w)
	}
	if err != nil {
		return refused(err)
	}
	return nil
}

func configRemedy(plugin string) string {
	return "correct plugins." + plugin + ".config in the configuration, or the plugin's " + manifestName
}

// planned is the change that layers mean for the running process; nil when none
// runs or nothing changes for it.
func (i *Instance) planned(layers *configLayers) (*configChange, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.session == nil {
		return nil, nil
	}
	config, err := configFor(i.name, i.session.info, i.session.from.candidate.Config, layers)
	if err != nil || proto.Equal(config, i.session.config) {
		return nil, err
	}
	return &configChange{instance: i, session: i.session, old: i.session.config, new: config}, nil
}

// configFor is the configuration of a plugin of that description, ready to be sent.
func configFor(plugin string, info Description, manifest map[string]any, layers *configLayers) (*structpb.Struct, error) {
	schema, err := compileSchema(info.Schema)
	if err != nil { // its launch has refused it
		return nil, &ConfigError{Plugin: plugin, Err: err, Remedy: "correct config_schema in the plugin's Describe"}
	}
	all := *layers
	all.manifest = manifest
	config := all.merge(schema, info)
	if schema == nil && len(config) > 0 {
		err = fmt.Errorf("it takes no configuration, but has %s", keysOf(config))
	}
	var sent *structpb.Struct
	if err == nil {
		sent, err = configToProto(config)
	}
	if err != nil {
		return nil, &ConfigError{Plugin: plugin, Err: err, Remedy: configRemedy(plugin)}
	}
	return sent, nil
}

// adopt makes layers those of every start from now on.
func (i *Instance) adopt(layers *configLayers) {
	i.mu.Lock()
	defer i.mu.Unlock()
	same := reflect.DeepEqual(i.layers.settings, layers.settings)
	if same && maps.Equal(i.layers.thresholds, layers.thresholds) && reflect.DeepEqual(i.layers.strategy, layers.strategy) {
		return
	}
	i.layers = layers
	i.outdatedLocked()
	if !i.byHand && (i.snapshot.State == Refused || i.snapshot.State == Quarantined && !same) {
		select {
		case i.renewed <- struct{}{}:
		default: // it will start already
		}
	}
}

// outdatedLocked ends a process that was started with an earlier configuration,
// which happens when that changes during its start. The lock is held.
func (i *Instance) outdatedLocked() {
	if i.session == nil {
		return
	}
	if config, err := configFor(i.name, i.session.info, i.session.from.candidate.Config, i.layers); err != nil || !proto.Equal(config, i.session.config) {
		i.session.condemn(verdict{reason: "its configuration changed while it was started", recycled: true})
	}
}

// configLayers are the sources of the configuration of a start.
func (i *Instance) configLayers() *configLayers {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.layers
}
