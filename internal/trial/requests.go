package trial

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// CheckRequest is what a host would ask now of a checker whose hub has that
// address. Host and hub are this very process, and the statistics are those of a
// hub that is well. earlier are the counters it gave before, oldest first.
func CheckRequest(address string, earlier ...*pluginv1.Sample) *pluginv1.CheckRequest {
	now := time.Now()
	host, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	return &pluginv1.CheckRequest{
		CheckId: "trial-" + strconv.FormatInt(now.UnixNano(), 36),
		Target: &pluginv1.Target{
			HostPid: int64(os.Getpid()), HubPid: int64(os.Getpid()), HubGeneration: 1, Host: host, Port: int32(number),
			Addresses: []string{address}, Path: "/socket.io/", ProbeSecret: "trial",
		},
		Statistics: &pluginv1.HubStatistics{
			Generation: 1, ConnectedClients: 3, ClientsServed: 10, EventsProcessed: 1000, EventsFailed: 1, Errors: 2,
			LastActivity: timestamppb.New(now.Add(-time.Second)), ClientDescriptors: 3, HistorySize: 1000,
			TakenAt: timestamppb.New(now), MaxConnections: 10000,
		},
		Samples: earlier, Now: timestamppb.New(now),
	}
}

// hostActions are the actions of the host, lowest first.
var hostActions = []string{"log_warning", "clear_connections", "restart_service", "emergency_stop"}

// DecideRequest is what a host would ask of a strategy when one check has been
// of that status in the last three reports of a new incident. Every action of
// the host can run, but for quarantine_offender, since no client stands out, and so
// can own, those of the plugin itself. The same arguments give the same request.
func DecideRequest(status pluginv1.Status, own ...string) *pluginv1.DecideRequest {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	report := func(sequence uint64, age time.Duration) *pluginv1.Report {
		at := timestamppb.New(now.Add(-age))
		return &pluginv1.Report{
			Sequence: sequence, Time: at, Status: status, StatusWithoutLoad: status,
			Results: []*pluginv1.Result{{
				Check: "network_connectivity", Status: status, Message: fmt.Sprintf("report %d", sequence), ObservedAt: at, DurationMs: 3, Generation: 1,
				Metrics: []*pluginv1.Metric{{
					Name: "port_accessible", Value: &pluginv1.Metric_Flag{Flag: status == pluginv1.Status_STATUS_HEALTHY}, Status: status,
				}},
			}},
		}
	}
	r := &pluginv1.DecideRequest{
		Now: timestamppb.New(now), Report: report(9, 0), Statistics: CheckRequest("127.0.0.1:8765").Statistics,
		History: []*pluginv1.Report{report(9, 0), report(8, time.Second), report(7, 2*time.Second)},
		Effects: []*pluginv1.Effect{{Cause: "network_connectivity", Action: "clear_connections", Cured: 1, Last: timestamppb.New(now.Add(-24 * time.Hour))}},
	}
	r.Statistics.LastActivity, r.Statistics.TakenAt = timestamppb.New(now.Add(-time.Second)), timestamppb.New(now)
	if status != pluginv1.Status_STATUS_HEALTHY {
		opened := timestamppb.New(now.Add(-2 * time.Second))
		r.Incident = &pluginv1.Incident{Id: "inc-trial", OpenedAt: opened, Causes: []string{"network_connectivity"}}
		r.Transitions = []*pluginv1.Transition{{Time: opened, From: pluginv1.Status_STATUS_HEALTHY, To: status}}
	}
	r.Actions = append(r.Actions, &pluginv1.ActionState{Action: "quarantine_offender", Reason: "no client stands out"})
	for _, action := range append(append([]string{}, hostActions...), own...) {
		r.Actions = append(r.Actions, &pluginv1.ActionState{Action: action, Applicable: true})
	}
	return r
}
