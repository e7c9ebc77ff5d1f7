package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/upkeephub/upkeep/internal/child"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// launch starts the plugin once and takes it to the point where it can be
// asked: file checked, process started, handshake, health, Describe, Validate,
// Configure. It blocks for at most StartTimeout. After an error nothing is left
// of the process; the error is a *LaunchError, or ctx ended. Another process of
// the plugin may be running all the while.
func (i *Instance) launch(ctx context.Context, from *installed) (*session, error) {
	c := from.candidate
	seen := lookAt(c)
	code, err := from.pin.hold(c, i.wantSum(c), i.opts.gate, i.opts.RuntimeDir)
	i.mu.Lock()
	i.tried, i.triedLook = *from, seen
	i.mu.Unlock()
	if err != nil {
		return nil, err
	}
	starting, cancel := context.WithTimeout(ctx, i.opts.StartTimeout)
	defer cancel()
	s, err := open(starting, sessionSpec{
		plugin: i.name, runtimeDir: i.opts.RuntimeDir, log: i.log, timeout: i.opts.StartTimeout, code: code,
		spec: child.Spec{
			Name: i.name, Path: c.Path, Args: c.Args, Dir: c.Folder,
			Env: cleanEnviron(i.opts.Environ, i.opts.Settings[i.name].Environment, i.opts.Marker),
		},
	})
	if err != nil {
		return nil, err
	}
	s.from, s.verified = from, code.verified(i.wantSum(c))
	if err := i.introduce(starting, s, code.version()); err != nil {
		select { // a process that is dying by itself gets the time to say how
		case <-s.ctx.Done():
		case <-starting.Done():
		case <-time.After(exitGrace):
		}
		s.run.kill()
		s.close()
		return nil, i.explainIntroduction(s, err)
	}
	return s, nil
}

// introduce asks a fresh process who it is and configures it. version is the one
// that it has to have; empty: any.
func (i *Instance) introduce(ctx context.Context, s *session, version string) error {
	ctx, cancel := s.tie(ctx)
	defer cancel()
	refuse := func(err error, remedy string) error { return &LaunchError{Plugin: i.name, Err: err, Remedy: remedy} }
	if err := s.health(ctx); err != nil {
		return i.failed("answer the health service", err)
	}
	client := pluginv1.NewPluginServiceClient(s.conn)
	described, err := client.Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil {
		return i.failed("describe itself", err)
	}
	info, err := descriptionFromProto(i.name, described)
	if err != nil {
		return refuse(err, "rename the file, or correct what the plugin says in Describe")
	}
	if version != "" && info.Version != version {
		return refuse(fmt.Errorf("it calls itself version %q, but %q is locked", info.Version, version),
			"put back what was locked; or, if the change was meant, run: host plugins lock")
	}
	if _, err := compileSchema(info.Schema); err != nil {
		return refuse(err, "correct config_schema in the plugin's Describe")
	}
	sent, err := configFor(i.name, info, s.from.candidate.Config, i.configLayers())
	if wrong, ok := errors.AsType[*ConfigError](err); ok {
		return refuse(wrong.Err, wrong.Remedy)
	}
	findings, err := configure(ctx, client, sent)
	if err != nil && (info.Schema != "" || status.Code(err) != codes.Unimplemented) { // without a schema there is nothing to configure
		return i.failed("take its configuration", err)
	}
	warnings, err := judgeDiagnostics(findings)
	for _, w := range warnings {
		i.log.Warn("plugin warns about its configuration", "finding", w)
	}
	if err != nil {
		return refuse(err, configRemedy(i.name))
	}
	s.info, s.loads, s.config = info, info.loads(), sent
	return nil
}

// claim takes the name of its check for a process that is ready. Without it the
// process is ended, and the error is a *LaunchError.
func (i *Instance) claim(s *session) error {
	if !s.info.Is(Checker) {
		i.checks.release(i)
		return nil
	}
	owner := i.checks.claim(s.info.CheckName, i)
	if owner == nil {
		return nil
	}
	s.shutdown(i.opts.StopTimeout, "its check has another plugin")
	return &LaunchError{
		Plugin: i.name, Err: fmt.Errorf("its check %q is already made by plugin %q", s.info.CheckName, owner.name),
		Remedy: "remove one of the two plugins, or give it another check_name",
	}
}

// configure validates and, without a mistake, applies a configuration.
func configure(ctx context.Context, client pluginv1.PluginServiceClient, config *structpb.Struct) ([]*pluginv1.Diagnostic, error) {
	judged, err := client.Validate(ctx, &pluginv1.ValidateRequest{Config: config})
	if err != nil {
		return nil, err
	}
	if _, mistakes := judgeDiagnostics(judged.GetDiagnostics()); mistakes != nil {
		return judged.GetDiagnostics(), nil
	}
	applied, err := client.Configure(ctx, &pluginv1.ConfigureRequest{Config: config})
	return applied.GetDiagnostics(), err
}

// failed is a start that broke off; another one may succeed, unless the plugin
// lacks a service.
func (i *Instance) failed(what string, err error) error {
	cause, _ := fromStatus(err)
	e := &LaunchError{Plugin: i.name, Err: fmt.Errorf("it did not %s: %w", what, cause), again: !errors.Is(cause, ErrNotOffered)}
	switch {
	case errors.Is(cause, ErrNotOffered):
		e.Remedy = "serve grpc.health.v1.Health for \"plugin\" and upkeep.plugin.v1.PluginService"
	case errors.Is(cause, ErrTimeout):
		e.Remedy = fmt.Sprintf("make it ready within %v of its start", i.opts.StartTimeout)
	default:
		e.Remedy = "mend what the plugin's message names"
	}
	return e
}

// explainIntroduction prefers the way the process ended, if it did so by
// itself, to the broken connection that followed from it. The session is closed.
func (i *Instance) explainIntroduction(s *session, err error) error {
	var launch *LaunchError
	var exit *ExitError
	if !errors.As(err, &launch) || !launch.again || !errors.As(context.Cause(s.ctx), &exit) || exit.killed && s.run.endedByUs() {
		return err
	}
	return &LaunchError{
		Plugin: i.name, again: true, Remedy: "mend what its last words name; a plugin must print a handshake and keep running",
		Err: fmt.Errorf("it ended while it was started: %s%s", exit.Exit, lastWords(exit.Tail)), Tail: exit.Tail,
	}
}
