// Package hub is the Socket.IO server, as a library type and as the process that
// a supervisor runs.
//
// It owns the clients: their connections, the contract of events they speak, the
// log of events and their sessions, the statistics, and the public HTTP endpoints. It is the only package
// that knows the Socket.IO library, and hides it. It refuses to know about health,
// recovery and plugins: it asks the supervisor for what /health and its like
// answer, and does what the control channel says.
//
// Its callers are cmd/host, through Main, and whoever serves Socket.IO with a Hub
// of their own: New, Serve, Stop. They write handlers with Hub.Of, Namespace and
// Socket, beside the contract or, with Options.Plain, in its place; nothing of the
// library shows, so that it can be exchanged. What a plain server of the library did
// in ten lines, the example does, too.
//
// # Parts
//
//	hub.go        New, Serve, Stop, ClearConnections
//	blame.go      who causes what; quarantine.go who is kept out for it
//	events.go     the contract on the default namespace; relay_at_once.go its short way
//	namespace.go  handlers of others: namespaces and audiences; socket.go their clients,
//	              visit.go what the hub does beside, engine_session.go bare Engine.IO
//	relay.go      keeping and delivering an event in one step, and the heartbeat
//	session.go    clients that come back: their sessions, and what they missed
//	history.go    get_history, from the log
//	adapter.go    who is in which room, and one event to all of them
//	frame.go      an encoded event, which all share; outbox.go what waits for one client
//	writer.go     the few goroutines that write to all
//	link.go       one Engine.IO session, as the hub sees it
//	websocket.go  the transports, which replace the library's; upgrade.go, inbound.go
//	polling.go
//	decoder.go    packets to events, with exact numbers
//	http.go       routes; origin.go, hostproxy.go, engine_http.go their parts
//	control.go    the control channel; process.go the process around it
//
// # Goroutines
//
// Serve runs one goroutine for each listener. A connected WebSocket has one that
// reads; the library adds one for each timer and each queue that has work. What
// waits for clients is written by as many goroutines as there are processors, while
// there is something; a client that does not take it has one of its own until it
// has caught up. A heartbeat has one, the event log another, and the ramp one while
// somebody connects. All but the library's are counted, and Stop waits for them. Handlers of one client run one after the other, on the library's
// queue for that client or, for a plain claude_event while nothing is in that queue,
// on the goroutine that reads.
//
// # Bounds
//
// Connections: Options.MaxConnections, further handshakes get 503; those that are
// about to connect: Options.MaxHandshakes, see ramp.go. Messages of a
// client: Options.MaxPayloadBytes; a WebSocket that exceeds it is closed with
// 1009, a post refused with 413. What waits to be sent to one client:
// Options.MaxQueuedBytes, and Options.MaxQueueAge for the oldest byte; who is slower
// is cut off or, by Options.SlowClients, loses events. One write in which nothing is
// taken: Options.WriteTimeout. What one client sends, joins and owes: MessagesPerSecond,
// BytesPerSecond, MaxRooms, MaxNamespaces, MaxPendingAcks of Options; see limits.go.
// Events that wait to be handled: 64 or 1 MiB a client, then its connection is read on only when they are done. History:
// Options.EventHistory events; one reply of it 3 MiB. The event log and sessions: see
// package eventlog; what a client missed: half of Options.MaxQueuedBytes.
// Who causes what: 32 of each kind and measure, see package attribution. Who is kept
// out: MaxQuarantined.
package hub
