package problem

// The codes. They are part of the API: a code never changes its meaning, and
// PageOf has a page for each.
const (
	// DaemonConflict: another host holds the state directory.
	DaemonConflict = "daemon_conflict"
	// PortConflict: another process listens on the port.
	PortConflict = "port_conflict"
	// StaleProcess: a PID file names a process that is no running host.
	StaleProcess = "stale_process"
	// RecoveryFailed: recovery did what it may and health did not come back.
	RecoveryFailed = "recovery_failed"
	// HealthCheckFailed: a check found something ill.
	HealthCheckFailed = "health_check_failed"

	// ListenFailed: the port cannot be bound for another reason.
	ListenFailed = "listen_failed"
	// ConfigInvalid: the configuration cannot be used.
	ConfigInvalid = "config_invalid"
	// StateDirUnusable: the state directory cannot be used.
	StateDirUnusable = "state_dir_unusable"
	// PluginsMissing: plugins that are needed are not there.
	PluginsMissing = "plugins_missing"
	// PluginFailed: a plugin that was asked gave no answer.
	PluginFailed = "plugin_failed"
	// PluginUntrusted: a plugin, the lock of the plugins, or a key is not what it
	// should be, and nothing is run or written because of it.
	PluginUntrusted = "plugin_untrusted"
	// NotRunning: a command needs a running host, and there is none.
	NotRunning = "not_running"
	// Usage: a mistake on the command line.
	Usage = "usage"
	// Interrupted: a signal ended the command before it was done.
	Interrupted = "interrupted"
	// Internal: a bug of ours.
	Internal = "internal_error"

	// NotFound: there is nothing under that name.
	NotFound = "not_found"
	// AlreadyAnswered: the question has its answer, and it stands.
	AlreadyAnswered = "already_answered"
	// MethodNotAllowed: the endpoint exists, but not for that method.
	MethodNotAllowed = "method_not_allowed"
	// ForeignHost: the request was meant for another host name.
	ForeignHost = "foreign_host"
	// ForeignOrigin: the request comes from a web page of somebody else.
	ForeignOrigin = "foreign_origin"
	// Unauthorized: the request carries no token, or a wrong one.
	Unauthorized = "unauthorized"
	// BadRequest: the request cannot be understood.
	BadRequest = "bad_request"
	// BadBody: the body of the request is too large or too slow.
	BadBody = "bad_body"
	// BadJSON: the body of the request is not the JSON that is wanted.
	BadJSON = "bad_json"
	// ServerFull: the hub has as many clients as it takes.
	ServerFull = "server_full"
)
