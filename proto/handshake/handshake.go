// Package handshake holds what a plugin and its host must agree on before the
// first gRPC call: the magic cookie and the protocol version. It is the only
// place where these constants exist; authors in other languages copy the values.
package handshake

const (
	// ProtocolVersion is the major version of the plugin API. It changes only
	// when a plugin built against the previous one cannot work any more;
	// everything else is negotiated through Describe.
	ProtocolVersion = 1

	// APIMinor is the additive revision of the API within ProtocolVersion. A
	// plugin reports the one it was built with in DescribeResponse.api_minor.
	APIMinor = 0

	// CookieKey and CookieValue tell a plugin that a host started it. They
	// guard against starting a plugin by hand, not against an attacker.
	CookieKey   = "UPKEEP_PLUGIN_COOKIE"
	CookieValue = "8f0c4f0e5f8f4b0fb2f3c3a06a4c7d0f6f6b1a52f9a24d8e8f4e0d1f7a9be3c1"

	// PluginKey is the name under which go-plugin dispenses a plugin's client.
	PluginKey = "upkeep"

	// HealthService is the service name under which the standard gRPC health
	// service (grpc.health.v1.Health) of a plugin must answer SERVING.
	HealthService = "plugin"
)

// What a hub worker inherits from host. Host and hub are the same executable,
// so these are an agreement within one binary, not with plugins.
const (
	// HubControlFD is the socket on which the hub serves its control channel
	// (proto/upkeep/hub/v1). Its end means that host is gone.
	HubControlFD = 3
	// HubFirstListenerFD is the first inherited listener; the others follow.
	HubFirstListenerFD = 4
	// HubListenersEnv holds the number of inherited listeners.
	HubListenersEnv = "UPKEEP_HUB_LISTENERS"
	// HubCommand is the hidden command of the executable that runs a hub.
	HubCommand = "hub"
)

const (
	// ProbeAuthKey is the key in the Socket.IO handshake's auth, and
	// ProbeHeader the HTTP header, that carry the probe's secret.
	ProbeAuthKey = "upkeep_probe"
	ProbeHeader  = "Upkeep-Probe"
	// ChildMarkerEnv is set in the environment of every process that host
	// starts, to the state directory's absolute path and host's pid and start
	// time, so that what outlived a killed host can be found and ended.
	ChildMarkerEnv = "UPKEEP_CHILD_OF"
)
