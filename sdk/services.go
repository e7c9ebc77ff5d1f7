package sdk

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// pluginService answers what every plugin answers.
type pluginService struct {
	pluginv1.UnimplementedPluginServiceServer
	*plugin
}

func (p pluginService) Describe(ctx context.Context, _ *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return guarded(ctx, p.calls, "Describe", func(context.Context) (*pluginv1.DescribeResponse, error) {
		schema, err := p.config.schemaText()
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		d := describeToProto(p.info)
		d.ConfigSchema = schema
		if p.checker != nil {
			d.Kinds = append(d.Kinds, pluginv1.Kind_KIND_CHECKER)
		}
		if p.strategy != nil {
			d.Kinds = append(d.Kinds, pluginv1.Kind_KIND_RECOVERY)
		}
		if p.watcher != nil {
			d.Capabilities = append(d.Capabilities, capabilityWatch)
		}
		return d, nil
	})
}

func (p pluginService) Validate(ctx context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	return guarded(ctx, p.calls, "Validate", func(context.Context) (*pluginv1.ValidateResponse, error) {
		_, found := p.config.prepare(r.GetConfig().AsMap())
		return &pluginv1.ValidateResponse{Diagnostics: diagnosticsToProto(found)}, nil
	})
}

func (p pluginService) Configure(ctx context.Context, r *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	type prepared struct {
		apply func()
		found []Diagnostic
	}
	got, err := guarded(ctx, p.calls, "Configure", func(context.Context) (prepared, error) {
		apply, found := p.config.prepare(r.GetConfig().AsMap())
		return prepared{apply, found}, nil
	})
	if err != nil {
		return nil, err
	}
	// Only here: a configuration whose call was given up must not come into
	// force afterwards.
	if !refused(got.found) {
		got.apply()
	}
	return &pluginv1.ConfigureResponse{Diagnostics: diagnosticsToProto(got.found)}, nil
}

func (p pluginService) Shutdown(context.Context, *pluginv1.ShutdownRequest) (*pluginv1.ShutdownResponse, error) {
	return &pluginv1.ShutdownResponse{}, p.shutdown()
}

// checkerService answers for a Checker, and for a Watcher if it is one.
type checkerService struct {
	pluginv1.UnimplementedCheckerServiceServer
	*plugin
}

func (p checkerService) Check(ctx context.Context, r *pluginv1.CheckRequest) (*pluginv1.CheckResponse, error) {
	return guarded(ctx, p.calls, "Check", func(ctx context.Context) (*pluginv1.CheckResponse, error) {
		result, err := p.checker.Check(ctx, requestFromProto(r))
		if err != nil {
			return nil, err
		}
		return resultToProto(result, time.Now()), nil
	})
}

func (p checkerService) Watch(r *pluginv1.WatchRequest, stream grpc.ServerStreamingServer[pluginv1.WatchResponse]) error {
	if p.watcher == nil {
		return status.Errorf(codes.Unimplemented, "plugin %s does not watch: call Check", p.info.Name)
	}
	// A watcher that ignores its context may send after the call has ended;
	// the stream is not to be touched then.
	var mu sync.Mutex
	ended := false
	send := func(result Result) error {
		mu.Lock()
		defer mu.Unlock()
		if ended {
			return status.Error(codes.Canceled, "the watch has ended")
		}
		return stream.Send(&pluginv1.WatchResponse{Check: resultToProto(result, time.Now())})
	}
	_, err := guarded(stream.Context(), p.calls, "Watch", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, p.watcher.Watch(ctx, requestFromProto(r.GetCheck()), send)
	})
	mu.Lock()
	ended = true
	mu.Unlock()
	return err
}

// recoveryService answers for a Strategy, and for an Executor if it is one.
type recoveryService struct {
	pluginv1.UnimplementedRecoveryServiceServer
	*plugin
}

func (p recoveryService) Decide(ctx context.Context, r *pluginv1.DecideRequest) (*pluginv1.DecideResponse, error) {
	return guarded(ctx, p.calls, "Decide", func(ctx context.Context) (*pluginv1.DecideResponse, error) {
		proposal, err := p.strategy.Decide(ctx, situationFromProto(r))
		if err != nil {
			return nil, err
		}
		return proposalToProto(proposal), nil
	})
}

func (p recoveryService) Execute(ctx context.Context, r *pluginv1.ExecuteRequest) (*pluginv1.ExecuteResponse, error) {
	e := executionFromProto(r)
	if !slices.ContainsFunc(p.info.Actions, func(a ActionInfo) bool { return a.Name == e.Action }) {
		return nil, status.Errorf(codes.InvalidArgument, "plugin %s has no action %q: ask for one that Describe names", p.info.Name, e.Action)
	}
	if !e.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, e.Deadline)
		defer cancel()
	}
	return guarded(ctx, p.calls, "Execute", func(ctx context.Context) (*pluginv1.ExecuteResponse, error) {
		message, err := p.executions.do(ctx, e.IdempotencyKey, func() (string, error) { return p.executor.Execute(ctx, e) })
		if err != nil {
			return nil, err
		}
		return &pluginv1.ExecuteResponse{Message: textToProto(message)}, nil
	})
}
