package sdk

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"google.golang.org/grpc"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

const (
	// capabilityWatch is the word in Describe for a Watcher.
	capabilityWatch = "watch"
	// shutdownTime is how long a Shutdowner has.
	shutdownTime = 2 * time.Second
)

// plugin is an implementation with its abilities found out.
type plugin struct {
	info       Info
	checker    Checker
	watcher    Watcher
	strategy   Strategy
	executor   Executor
	config     configuration
	calls      calls
	executions executions
	shutdown   func() error // runs the Shutdowner, once
}

// Register adds the services of a plugin to a gRPC server. Serve does that for
// a plugin's process; tests, and programs that bring their own server, call it
// directly. It does not add the health service. An error says everything that
// is wrong with info or implementation.
func Register(server grpc.ServiceRegistrar, info Info, implementation any) error {
	p, err := newPlugin(info, implementation)
	if err != nil {
		return err
	}
	p.register(server)
	return nil
}

func newPlugin(info Info, implementation any) (*plugin, error) {
	p := &plugin{info: info, config: noConfig{}, calls: newCalls()}
	errs := []error{info.validate()}
	p.checker, _ = implementation.(Checker)
	p.watcher, _ = implementation.(Watcher)
	p.strategy, _ = implementation.(Strategy)
	p.executor, _ = implementation.(Executor)
	if p.checker == nil && p.strategy == nil {
		errs = append(errs, neitherError(implementation))
	}
	if p.watcher != nil && p.checker == nil {
		errs = append(errs, fmt.Errorf("%T has Watch but no Check: a Watcher is a Checker that can do more", implementation))
	}
	if p.executor != nil && len(info.Actions) == 0 {
		errs = append(errs, fmt.Errorf("%T has Execute, but Info.Actions is empty: name the actions there", implementation))
	}
	if p.executor == nil && len(info.Actions) > 0 {
		errs = append(errs, fmt.Errorf("Info.Actions names actions, but %T has no Execute(context.Context, sdk.Execution) (string, error)", implementation))
	}
	if c, ok := implementation.(Configurer); ok {
		p.config = c.configuration()
		if err := p.config.ready(); err != nil {
			errs = append(errs, fmt.Errorf("%T takes a configuration, but %w", implementation, err))
		}
	}
	p.shutdown = sync.OnceValue(func() error {
		s, ok := implementation.(Shutdowner)
		if !ok {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		_, err := guarded(ctx, make(calls, 1), "Shutdown", func(ctx context.Context) (struct{}, error) {
			return struct{}{}, s.Shutdown(ctx)
		})
		return err
	})
	return p, errors.Join(errs...)
}

// neitherError says what is missing, and if a method is nearly there, what
// keeps it from counting.
func neitherError(implementation any) error {
	if implementation == nil {
		return errors.New("the implementation is nil: pass a value with a Check or Decide method")
	}
	t := reflect.TypeOf(implementation)
	pointer := reflect.PointerTo(t)
	if pointer.Implements(reflect.TypeFor[Checker]()) || pointer.Implements(reflect.TypeFor[Strategy]()) {
		return fmt.Errorf("the methods of %s belong to its pointer: pass &%s{…}", t, t.Name())
	}
	wanted := map[string]reflect.Type{"Check": reflect.TypeFor[Checker](), "Decide": reflect.TypeFor[Strategy]()}
	for _, name := range []string{"Check", "Decide"} {
		if method, ok := reflect.ValueOf(implementation).Type().MethodByName(name); ok {
			got := reflect.ValueOf(implementation).Method(method.Index).Type()
			want, _ := wanted[name].MethodByName(name)
			return fmt.Errorf("%s has a method %s, but it is a %s: want a %s", t, name, got, want.Type)
		}
	}
	return fmt.Errorf("%s is neither a sdk.Checker nor a sdk.Strategy: "+
		"give it Check(context.Context, sdk.Request) (sdk.Result, error) or Decide(context.Context, sdk.Situation) (sdk.Proposal, error)", t)
}

func (p *plugin) register(server grpc.ServiceRegistrar) {
	pluginv1.RegisterPluginServiceServer(server, pluginService{plugin: p})
	if p.checker != nil {
		pluginv1.RegisterCheckerServiceServer(server, checkerService{plugin: p})
	}
	if p.strategy != nil {
		pluginv1.RegisterRecoveryServiceServer(server, recoveryService{plugin: p})
	}
}
