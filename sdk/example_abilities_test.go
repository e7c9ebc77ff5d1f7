package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
	"github.com/upkeephub/upkeep/sdk"
)

// dial serves a plugin within this program, as tests do with sdk.Register. A
// plugin's own main calls sdk.Serve.
func dial(info sdk.Info, implementation any) (conn *grpc.ClientConn, end func()) {
	listener, server := bufconn.Listen(1<<16), grpc.NewServer()
	if err := sdk.Register(server, info, implementation); err != nil {
		panic(err)
	}
	go func() { _ = server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		panic(err)
	}
	return conn, func() { _ = conn.Close(); server.Stop() }
}

// What is wrong with a configuration is found by the struct's tags, and by a
// method Validate where tags cannot say it.
type backupSettings struct {
	Path   string      `json:"path" jsonschema:"minLength=1" jsonschema_description:"Folder of the backups."`
	MaxAge sdk.Seconds `json:"max_age_seconds" jsonschema:"exclusiveMinimum=0"`
	Warn   sdk.Seconds `json:"warn_seconds"`
}

// Validate compares two fields; the path says which one to change.
func (s backupSettings) Validate() error {
	if s.Warn > s.MaxAge {
		return sdk.Diagnostic{Path: "warn_seconds", Summary: "is above max_age_seconds", Detail: "want less"}
	}
	return nil
}

type backupChecker struct{ *sdk.Config[backupSettings] }

func (c backupChecker) Check(context.Context, sdk.Request) (sdk.Result, error) {
	return sdk.Result{Status: sdk.Healthy, Message: "looking at " + c.Current().Path}, nil
}

// A checker with a configuration: its JSON Schema, its defaults and its
// diagnostics come from a struct.
func ExampleNewConfig() {
	checker := backupChecker{sdk.NewConfig(backupSettings{Path: "/var/backups", MaxAge: 86400, Warn: 3600})}
	conn, end := dial(sdk.Info{Name: "backup", Version: "0.1.0"}, checker)
	defer end()
	plugin := pluginv1.NewPluginServiceClient(conn)
	for _, config := range []map[string]any{
		{"pth": "/srv", "max_age_seconds": "a day"},
		{"warn_seconds": 90000},
		{"path": "/srv"},
	} {
		sent, _ := structpb.NewStruct(config)
		answer, err := plugin.Configure(context.Background(), &pluginv1.ConfigureRequest{Config: sent})
		for _, d := range answer.GetDiagnostics() {
			fmt.Printf("%s %s: %s\n", d.Path, d.Summary, d.Detail)
		}
		if err == nil && len(answer.GetDiagnostics()) == 0 {
			fmt.Println("in force:", checker.Current().Path, checker.Current().MaxAge.Duration())
		}
	}
	// Output:
	// max_age_seconds is the string "a day": want a number
	// pth is not known: did you mean path?
	// warn_seconds is above max_age_seconds: want less
	// in force: /srv 24h0m0s
}

// doorChecker is told of what happens, and need not wait to be asked.
type doorChecker struct{ opened <-chan string }

func (doorChecker) Check(context.Context, sdk.Request) (sdk.Result, error) {
	return sdk.Result{Status: sdk.Healthy}, nil
}

// Watch sends a result whenever something happens, until ctx ends.
func (c doorChecker) Watch(ctx context.Context, req sdk.Request, send func(sdk.Result) error) error {
	for {
		select {
		case door := <-c.opened:
			if err := send(sdk.Result{Status: sdk.Warning, Message: door + " was opened"}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A checker that also notices things between checks is a Watcher.
func ExampleWatcher() {
	opened := make(chan string, 1)
	conn, end := dial(sdk.Info{Name: "door", Version: "0.1.0"}, doorChecker{opened})
	defer end()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	stream, err := pluginv1.NewCheckerServiceClient(conn).Watch(ctx, &pluginv1.WatchRequest{})
	if err != nil {
		fmt.Println(err)
		return
	}
	opened <- "the back door"
	seen, err := stream.Recv()
	fmt.Println(seen.GetCheck().GetStatus(), seen.GetCheck().GetMessage(), err)
	// Output: STATUS_WARNING the back door was opened <nil>
}

// pager is a strategy that brings an action along: it calls somebody.
type pager struct{ paged []string }

func (*pager) Decide(ctx context.Context, s sdk.Situation) (sdk.Proposal, error) {
	for _, a := range s.Actions {
		if a.Action == "page_somebody" && a.Applicable && s.Report.Status == sdk.Critical {
			return sdk.Proposal{Action: a.Action, Rule: "critical", Reason: "The hub is critical."}, nil
		}
	}
	return sdk.Proposal{Rule: "nothing", Reason: "The hub is not critical."}, nil
}

// Execute is called once for each key while the process lives. The key goes to
// the outside, too, so that nobody is called twice if the plugin is restarted.
func (p *pager) Execute(ctx context.Context, e sdk.Execution) (string, error) {
	if _, limited := ctx.Deadline(); !limited {
		return "", errors.New("no deadline was given")
	}
	p.paged = append(p.paged, e.IdempotencyKey)
	return "called somebody about " + e.IncidentID, nil
}

// A strategy with an action of its own is an Executor, and names the action in
// Info.Actions. The host decides whether it may run, and gives it a deadline.
func ExampleExecutor() {
	p := &pager{}
	conn, end := dial(sdk.Info{
		Name: "pager", Version: "0.1.0",
		Actions: []sdk.ActionInfo{{Name: "page_somebody", Description: "Calls whoever is on duty."}},
	}, p)
	defer end()
	order := &pluginv1.ExecuteRequest{
		Action: "page_somebody", IdempotencyKey: "inc-7-1", IncidentId: "inc-7", Deadline: timestamppb.New(time.Now().Add(time.Minute)),
	}
	for range 2 { // the host asks again when it does not know what became of the first call
		answer, err := pluginv1.NewRecoveryServiceClient(conn).Execute(context.Background(), order)
		fmt.Println(answer.GetMessage(), err)
	}
	fmt.Println("calls:", len(p.paged))
	// Output:
	// called somebody about inc-7 <nil>
	// called somebody about inc-7 <nil>
	// calls: 1
}
