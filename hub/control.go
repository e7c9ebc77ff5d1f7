package hub

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// finishTimeout bounds what a hub does between its answer to Stop and its end. It is
// less than the supervisor waits.
const finishTimeout = 900 * time.Millisecond

// control answers the supervisor on the control channel: it translates between
// the wire and Hub, and keeps the order load, accept, stop.
type control struct {
	hubv1.UnimplementedHubServiceServer
	log       hclog.Logger
	listeners []net.Listener
	// over takes the reason for which the process ends: nil after Stop, or the
	// error with which accepting failed. It has room for one; later ones are
	// dropped.
	over chan error

	mu        sync.Mutex
	hub       *Hub // nil before Load
	accepting bool
	stopping  bool
	stopped   bool // the hub has ended in order
}

var _ hubv1.HubServiceServer = (*control)(nil)

func newControl(log hclog.Logger, listeners []net.Listener) *control {
	return &control{log: log, listeners: listeners, over: make(chan error, 1)}
}

func (c *control) end(err error) {
	select {
	case c.over <- err:
	default:
	}
}

func (c *control) loaded() (*Hub, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hub == nil {
		return nil, status.Error(codes.FailedPrecondition, "no hub is loaded; call Load first")
	}
	return c.hub, nil
}

// Load builds the hub.
func (c *control) Load(_ context.Context, request *hubv1.LoadRequest) (*hubv1.LoadResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hub != nil {
		return nil, status.Error(codes.FailedPrecondition, "the hub is loaded already; start another process for another hub")
	}
	opts := optionsOf(request.GetSettings())
	opts.Logger = c.log
	hub, err := New(opts)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	c.hub = hub
	return &hubv1.LoadResponse{}, nil
}

// Accept takes over the event log, for which it waits for the hub before this one,
// and starts to serve on the inherited listeners.
func (c *control) Accept(ctx context.Context, request *hubv1.AcceptRequest) (*hubv1.AcceptResponse, error) {
	hub, err := c.loaded()
	if err != nil {
		return nil, err
	}
	if err := hub.TakeLog(ctx); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.accepting || c.stopping {
		return nil, status.Error(codes.FailedPrecondition, "the hub accepts already, or was stopped")
	}
	c.accepting = true
	hub.SetBase(statisticsOf(request.GetBase()))
	hub.SetQuarantine(quarantineOf(request.GetQuarantine()))
	go func() { // ends with Stop or the process; its result is awaited in over
		if err := hub.Serve(c.listeners...); err != nil {
			c.end(err)
		}
	}()
	return &hubv1.AcceptResponse{}, nil
}

// Heartbeat proves that events can pass.
func (c *control) Heartbeat(ctx context.Context, request *hubv1.HeartbeatRequest) (*hubv1.HeartbeatResponse, error) {
	hub, err := c.loaded()
	if err != nil {
		return nil, err
	}
	c.log.SetLevel(level(request.GetLogLevel(), c.log.GetLevel())) // loggers made from it share it
	statistics, err := hub.Heartbeat(ctx)
	if err != nil {
		return nil, contextError(err)
	}
	return &hubv1.HeartbeatResponse{Sequence: request.GetSequence(), Statistics: statistics.proto()}, nil
}

// level is the log level of that name, or the one before if it has none.
func level(name string, before hclog.Level) hclog.Level {
	if l := hclog.LevelFromString(name); l != hclog.NoLevel {
		return l
	}
	return before
}

// ClearConnections closes every client's transport.
func (c *control) ClearConnections(ctx context.Context, request *hubv1.ClearConnectionsRequest) (*hubv1.ClearConnectionsResponse, error) {
	hub, err := c.loaded()
	if err != nil {
		return nil, err
	}
	closed, err := hub.ClearConnections(ctx, request.GetReason(), request.GetSpread().AsDuration())
	if err != nil {
		return nil, contextError(err)
	}
	return &hubv1.ClearConnectionsResponse{Closed: int64(closed)}, nil
}

// Quarantine says who is kept out.
func (c *control) Quarantine(_ context.Context, request *hubv1.QuarantineRequest) (*hubv1.QuarantineResponse, error) {
	hub, err := c.loaded()
	if err != nil {
		return nil, err
	}
	return &hubv1.QuarantineResponse{Disconnected: int64(hub.SetQuarantine(quarantineOf(request.GetQuarantine())))}, nil
}

// Stop ends the hub. It answers as soon as another hub may accept; the process ends
// when the clients are told.
func (c *control) Stop(ctx context.Context, request *hubv1.StopRequest) (*hubv1.StopResponse, error) {
	hub, err := c.loaded()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	again := c.stopping
	c.stopping = true
	c.mu.Unlock()
	if again {
		return nil, status.Error(codes.FailedPrecondition, "the hub is stopping already")
	}
	hub.release(ctx, request.GetReason(), request.GetDrain().AsDuration())
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	go func() { // the process ends with it
		finishing, cancel := context.WithTimeout(context.Background(), finishTimeout)
		defer cancel()
		hub.finish(finishing)
		c.end(nil)
	}()
	return &hubv1.StopResponse{Statistics: hub.Statistics().proto()}, nil
}

func (c *control) isStopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

func contextError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return status.Error(codes.DeadlineExceeded, "the hub did not get through in time")
	}
	return status.Error(codes.Canceled, err.Error())
}

func optionsOf(s *hubv1.Settings) Options {
	o := Options{
		ServerID:        s.GetServerId(),
		ServerVersion:   s.GetServerVersion(),
		Generation:      s.GetGeneration(),
		HostPID:         s.GetHostPid(),
		HostStartedAt:   timeOf(s.GetHostStartedAt()),
		Host:            s.GetHost(),
		Port:            int(s.GetPort()),
		HostSocket:      s.GetHostSocket(),
		ProbeSecret:     s.GetProbeSecret(),
		EventHistory:    int(s.GetEventHistory()),
		MaxConnections:  s.GetMaxConnections(),
		PingInterval:    s.GetPingInterval().AsDuration(),
		PingTimeout:     s.GetPingTimeout().AsDuration(),
		MaxPayloadBytes: s.GetMaxPayloadBytes(),
		EnableCORS:      s.GetEnableCors(),
		LogDir:          s.GetLogDir(),
		LogEvents:       int(s.GetLogEvents()),
		LogBytes:        s.GetLogBytes(),
		LogAge:          s.GetLogAge().AsDuration(),
		LogSync:         s.GetLogSync(),
		RecoveryWindow:  s.GetRecoveryWindow().AsDuration(),
		TLS: TLS{
			CertificateFile: s.GetTls().GetCertificateFile(), KeyFile: s.GetTls().GetKeyFile(),
			Certificate: s.GetTls().GetCertificate(), Key: s.GetTls().GetKey(),
		},
		Tokens:         policyOf(s.GetTokens()),
		AllowedOrigins: s.GetAllowedOrigins(),
	}
	o.setLimits(s.GetLimits())
	return o
}

func policyOf(p *hubv1.TokenPolicy) TokenPolicy {
	policy := TokenPolicy{SigningKey: p.GetSigningKey()}
	for _, t := range p.GetFixed() {
		token := Token{Name: t.GetName(), Value: t.GetValue()}
		for _, role := range t.GetRoles() {
			token.Roles = append(token.Roles, Role(role))
		}
		policy.Fixed = append(policy.Fixed, token)
	}
	return policy
}

func quarantineOf(q *hubv1.Quarantine) (version uint64, list []Quarantined) {
	for _, e := range q.GetEntries() {
		list = append(list, Quarantined{Kind: e.GetKind(), ID: e.GetId(), Address: e.GetAddress(), Until: timeOf(e.GetUntil())})
	}
	return q.GetVersion(), list
}

// suspectsProto writes what clients say so that it can be sent: not as it came.
func suspectsProto(list []Suspect) []*hubv1.Suspect {
	var out []*hubv1.Suspect
	for _, s := range list {
		out = append(out, &hubv1.Suspect{
			Kind: s.Kind, Id: valid(s.ID), Measure: s.Measure, Share: s.Share, Rate: s.Rate, Clients: s.Clients,
			Address: s.Address, AddressClients: s.AddressClients, Token: valid(s.Token), TokenClients: s.TokenClients,
		})
	}
	return out
}

func suspectsOf(list []*hubv1.Suspect) []Suspect {
	var out []Suspect
	for _, s := range list {
		out = append(out, Suspect{
			Kind: s.GetKind(), ID: s.GetId(), Measure: s.GetMeasure(), Share: s.GetShare(), Rate: s.GetRate(), Clients: s.GetClients(),
			Address: s.GetAddress(), AddressClients: s.GetAddressClients(), Token: s.GetToken(), TokenClients: s.GetTokenClients(),
		})
	}
	return out
}

func valid(s string) string { return strings.ToValidUTF8(s, "?") }

func statisticsOf(s *hubv1.Statistics) Statistics {
	return Statistics{
		Generation:        s.GetGeneration(),
		ConnectedClients:  s.GetConnectedClients(),
		ClientsServed:     s.GetClientsServed(),
		EventsProcessed:   s.GetEventsProcessed(),
		EventsFailed:      s.GetEventsFailed(),
		Errors:            s.GetErrors(),
		LastActivity:      timeOf(s.GetLastActivity()),
		ClientDescriptors: s.GetClientDescriptors(),
		HistorySize:       s.GetHistorySize(),
		TakenAt:           timeOf(s.GetTakenAt()),
		MaxConnections:    s.GetMaxConnections(),
		ClientVersions:    s.GetClientVersions(),
		SessionsRecovered: s.GetSessionsRecovered(),
		LogFailure:        s.GetLogFailure(),
		Goroutines:        s.GetGoroutines(),
		Suspects:          suspectsOf(s.GetSuspects()),
	}
}

func (s Statistics) proto() *hubv1.Statistics {
	return &hubv1.Statistics{
		Generation:        s.Generation,
		ConnectedClients:  s.ConnectedClients,
		ClientsServed:     s.ClientsServed,
		EventsProcessed:   s.EventsProcessed,
		EventsFailed:      s.EventsFailed,
		Errors:            s.Errors,
		LastActivity:      timestampOf(s.LastActivity),
		ClientDescriptors: s.ClientDescriptors,
		HistorySize:       s.HistorySize,
		TakenAt:           timestampOf(s.TakenAt),
		MaxConnections:    s.MaxConnections,
		ClientVersions:    s.ClientVersions,
		SessionsRecovered: s.SessionsRecovered,
		LogFailure:        s.LogFailure,
		Goroutines:        s.Goroutines,
		Suspects:          suspectsProto(s.Suspects),
	}
}

// An unset time on the wire is the zero time here.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func timestampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
