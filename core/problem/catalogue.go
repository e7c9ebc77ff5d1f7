package problem

// draft is a page whose steps may differ by platform.
type draft struct {
	Page
	steps func(p Platform) []string
}

const resolution = "RESOLUTION STEPS"

// pages has a page for each code.
var pages = map[string]draft{
	DaemonConflict: {Page: Page{
		Title:    "another host runs on this state directory",
		Means:    "One state directory belongs to one host. The lock file host.lock in it is held by a running\nprocess, so this start was refused; the running host is untouched.",
		Causes:   []string{"host was started twice, e.g. by a service manager and by hand", "a second host, on another port, was given the same --state-dir", "an earlier host is still stopping, which takes up to 5 s"},
		Steps:    []string{"see it: host status", "use it, or stop it: host stop", "or run beside it: host start --port 8770", "see what else is in the way: host doctor"},
		ExitCode: 4, heading: resolution,
	}},
	PortConflict: {Page: Page{
		Title:    "another process listens on the port",
		Means:    "host binds its ports before anything else starts. Another process listens on one of them, and only\none can; that process is untouched. For localhost both 127.0.0.1 and ::1 are needed.",
		Causes:   []string{"another server uses the port", "an Upkeep with another state directory serves there", "--admin names an address that is in use"},
		ExitCode: 4, heading: resolution,
	}, steps: func(p Platform) []string {
		return []string{
			"see who listens there: " + p.PortUsers(8765)[0], "serve on another port: host start --port 8770",
			"if it is an Upkeep, stop it: host stop --port 8765", "see which of host's ports are free: host doctor",
		}
	}},
	StaleProcess: {Page: Page{
		Title:   "a PID file names a process that is no running host",
		Means:   "The file was left by a host that could not remove it. host proves the identity of a process (program,\nstart time, boot) before it believes a PID file, replaces stale files at the next start, and never\nsignals a process that it cannot prove.",
		Causes:  []string{"host was killed, or the machine lost power", "the process id was given to another process since", "the process has ended and waits for its parent (zombie)", "somebody else wrote the file"},
		Steps:   []string{"start host again, which replaces the file: host start", "see what is left: host doctor"},
		heading: resolution,
	}},
	RecoveryFailed: {Page: Page{
		Title:    "recovery did what it may, and health did not come back",
		Means:    "host judges each attempt by the health that follows it. This attempt did not help; a rung that did not\nhelp is not tried again for the same cause. Exit code 8 says that the last rung, emergency_stop, was taken.",
		Causes:   []string{"the cause lies outside of the hub: disk, memory, network, a plugin's own mistake", "a threshold is lower than normal operation needs", "the circuit breaker is open after several attempts without success"},
		Steps:    []string{"see which check is ill, and why: host status", "see what was tried: host history", "check configuration, plugins, ports and limits: host doctor", "when the cause is gone: host start (or host restart)"},
		ExitCode: 8, heading: "MANUAL RESOLUTION REQUIRED",
	}},
	HealthCheckFailed: {Page: Page{
		Type: "HealthCheckError", Title: "a check found something ill",
		Means:    "A checker plugin looked and reported a metric beyond its threshold, or a service that does not answer.\nThis is about the hub, not about the plugin: a plugin that cannot look makes its check unknown.",
		Causes:   []string{"more load than the thresholds allow", "the hub hangs, leaks or answers late", "a threshold that does not fit this machine"},
		Steps:    []string{"see all checks with values and thresholds: host status", "see how it came: host history", "adjust a threshold under health_monitoring.thresholds, then: host reload", "check configuration, plugins, ports and limits: host doctor"},
		ExitCode: 6, HTTPStatus: 503, heading: "RECOMMENDED ACTIONS",
	}},
	ListenFailed: {Page: Page{
		Title:    "an address cannot be bound",
		Means:    "The operating system refuses the address or the port, for another reason than that it is taken.",
		Causes:   []string{"--host names an address that this machine does not have", "ports below 1024 need special rights", "the name cannot be resolved"},
		Steps:    []string{"serve on this machine's own name: host start --host localhost", "choose a port above 1023: host start --port 8770", "check: host doctor"},
		ExitCode: 1,
	}},
	ConfigInvalid: {Page: Page{
		Title:    "the configuration has mistakes",
		Means:    "host reads the whole configuration before it opens a port, and names every mistake at once, each with\nkey, value and what is wanted. A running host keeps its old configuration when a reload is refused.",
		Causes:   []string{"a misspelt key", "a value of the wrong type or out of range", "a file that is empty, cut off or no JSON", "an address that other machines reach, without saying that it is wanted"},
		Steps:    []string{"correct every key that the message names: it says what is wanted", "check a file without starting: host doctor --config FILE", "see every key with its default: docs/configuration.md"},
		ExitCode: 2,
	}},
	StateDirUnusable: {Page: Page{
		Title:    "the state directory cannot be used",
		Means:    "host keeps its lock, PID file and sockets in one directory that belongs to it and to nobody else\n(mode 0700).",
		Causes:   []string{"it belongs to another user, or the disk is read-only or full", "the path is a file", "the file system has no locks", "port 0 was asked for without --state-dir"},
		ExitCode: 1,
	}, steps: func(p Platform) []string {
		return []string{"name a directory that you may write: host start --state-dir DIR", "see what is wrong with it: host doctor --state-dir DIR", "see the space left: " + p.disk()}
	}},
	PluginsMissing: {Page: Page{
		Title:    "plugins that are needed are not there",
		Means:    "Either the plugin folder cannot be used at all, or a plugin that the configuration calls required is not\nin it or is not allowed to run.",
		Causes:   []string{"--plugins names another folder than was meant", "the plugins are not built", "anybody may write to the folder or to a plugin, so host does not run it"},
		Steps:    []string{"see what is found and what is skipped, with reasons: host doctor --plugins DIR", "build the bundled ones: make build", "or do without one: set plugins.NAME.required to false"},
		ExitCode: 2,
	}},
	PluginFailed: {Page: Page{
		Title:    "a plugin that was asked gave no answer",
		Means:    "The plugin was started for this one question, by host plugins run. It ended, was too late, refused its\nsettings, or answered with an error, which a checker does when it could not look.",
		Causes:   []string{"what it looks at is not there: a checker of the hub needs a running one", "a setting is missing or wrong", "the plugin breaks a rule of the plugin API"},
		Steps:    []string{"ask it about a running hub: host plugins run PATH --port PORT", "give it settings: host plugins run PATH --config FILE", "see which rule it breaks: host plugins test PATH"},
		ExitCode: 5,
	}},
	PluginUntrusted: {Page: Page{
		Title:    "a plugin is not what it should be",
		Means:    "Plugins run with the rights of host. So host runs only what nobody else may write, what plugins.lock.json\nsays where there is one, and only under a trusted signature where the configuration names keys.",
		Causes:   []string{"a plugin was updated and not locked again", "somebody changed a file of a plugin, or the lock", "the lock is not signed, or by another key", "a key file that others can read"},
		Steps:    []string{"see what differs: host plugins verify --plugins DIR", "put back what was locked; or, if the change was meant: host plugins lock --plugins DIR", "sign the lock anew: host plugins sign --key FILE"},
		ExitCode: 5,
	}},
	NotRunning: {Page: Page{
		Title:    "there is no running host to ask",
		Means:    "The command needs a running host, and no process could be proved to be the one of this state directory.",
		Causes:   []string{"host was not started, or has ended", "it runs with another --state-dir or --port than the command was given", "it belongs to another user"},
		Steps:    []string{"start it: host start", "name the one that you mean: host status --state-dir DIR", "see why it ended: host explain --guide"},
		ExitCode: 3,
	}},
	Usage: {Page: Page{
		Title:    "a mistake on the command line",
		Means:    "A command, flag or value is not one that host knows. Nothing was done.",
		Causes:   []string{"a misspelt command or flag", "a value of the wrong form"},
		Steps:    []string{"see commands and flags: host --help"},
		ExitCode: 2,
	}},
	Interrupted: {Page: Page{
		Title:    "a signal ended the command before it was done",
		Means:    "The command waited for a host that starts or stops, and was told to end before that. The message says\nwhat became of the host.",
		Causes:   []string{"Ctrl-C", "a service manager or a script whose patience was over"},
		Steps:    []string{"see how the host is: host status", "see what is in the way: host doctor"},
		ExitCode: 1,
	}},
	Internal: {Page: Page{
		Type: "InternalError", Title: "a bug in host",
		Means:    "Something happened that the program says cannot happen. What it concerned was not done; the rest goes on.",
		Causes:   []string{"a bug"},
		Steps:    []string{"collect what a report needs: host doctor --bundle upkeep-report.tar.gz", "report it with that file"},
		ExitCode: 1, HTTPStatus: 500,
	}},
	NotFound: {Page: Page{
		Title: "there is nothing under that name", Means: "The path, the plugin or the page that was asked for does not exist.",
		Causes: []string{"a misspelt path or name", "the endpoint is on the admin side only"}, Steps: []string{"read the list of what exists, which the answer carries"},
		HTTPStatus: 404, ExitCode: 1,
	}},
	MethodNotAllowed: {Page: Page{
		Title: "the endpoint does not take this method", Means: "The endpoint exists, but not for this HTTP method; the Allow header names the right ones.",
		Causes: []string{"POST to an endpoint that only tells, or GET of one that changes something"}, Steps: []string{"use a method of the Allow header"}, HTTPStatus: 405,
	}},
	ForeignHost: {Page: Page{
		Title: "the request is for another host name", Means: "host answers only under names and addresses of its own, so that no web page can reach it through a name\nthat it points here (DNS rebinding). /health, /livez and /readyz answer under every name.",
		Causes: []string{"a proxy that passes on another Host header", "an alias of this machine that host does not know"}, Steps: []string{"use localhost or the configured name", "let the proxy send one of these as Host"}, HTTPStatus: 421,
	}},
	ForeignOrigin: {Page: Page{
		Title: "the request comes from somebody else's web page", Means: "Browsers say which page a request comes from. Pages of another origin are refused; programs, which send no\nOrigin, are not.",
		Causes: []string{"a page that is served from another host or port"}, Steps: []string{"serve the page from the same origin, e.g. behind one proxy"}, HTTPStatus: 403,
	}},
	Unauthorized: {Page: Page{
		Title: "the request carries no token, or a wrong one", Means: "On the admin listener, what changes something needs the token from the state directory. The command line\nneeds none: it uses a socket that only the owner can open.",
		Causes: []string{"no Authorization header", "a token of another state directory"}, HTTPStatus: 401, ExitCode: 1,
		Steps: []string{"send the content of the file token in the state directory: Authorization: Bearer TOKEN", "or use the command line as the user who runs host"},
	}},
	AlreadyAnswered: {Page: Page{
		Title: "the question has its answer already", Means: "An action that waits for a yes gets exactly one answer: of a person, or, at its deadline, the one that is configured.\nThe first one counts.",
		Causes: []string{"somebody else answered first", "the deadline was over (recovery.approval.timeout)", "health came back, or another attempt began, before an answer came"},
		Steps:  []string{"see who answered what: host approvals"}, HTTPStatus: 409, ExitCode: 1,
	}},
	BadRequest: {Page: Page{
		Title: "the request cannot be understood", Means: "A parameter of the request is missing or has a value that is not wanted; the answer names it.",
		Causes: []string{"a misspelt parameter", "a value out of range"}, Steps: []string{"correct what the answer names"}, HTTPStatus: 400, ExitCode: 2,
	}},
	BadBody: {Page: Page{
		Title: "the body of the request is too large or too slow", Means: "Bodies have a limit and a deadline, so that nobody can fill memory or hold a connection.",
		Causes: []string{"more data than one request may carry", "a sender that stopped in between"}, Steps: []string{"send less at once"}, HTTPStatus: 413,
	}},
	BadJSON: {Page: Page{
		Title: "the body of the request is not the JSON that is wanted", Means: "The endpoint takes a JSON object, and the body is none.",
		Causes: []string{"a syntax mistake", "another type than an object"}, Steps: []string{"send a JSON object, as the documentation of the endpoint shows"}, HTTPStatus: 400,
	}},
	ServerFull: {Page: Page{
		Title: "the hub has as many clients as it takes", Means: "Connections are limited, so that too many clients cannot take the server down for those that are there.",
		Causes: []string{"more clients than limits.max_connections", "fewer descriptors than that many clients need"}, HTTPStatus: 503,
		Steps: []string{"see how many there are: host status", "see whether descriptors are the limit: host doctor", "raise limits.max_connections in the configuration, then: host restart"},
	}},
}

// diagnostics are the commands that show what a problem looks like from outside.
func diagnostics(p Platform, port int) []string {
	own := []string{
		"host status     the hub, its checks, the breaker",
		"host doctor     configuration, state directory, ports, plugins, limits",
		"host plugins    what each plugin does and last said",
		"host history    reports and recoveries, newest first",
	}
	return append(own, append(p.PortUsers(port), p.showHosts(), p.load(), p.memory(), p.disk())...)
}

// solutions are what most often helps, whatever the problem.
func solutions() []string {
	return []string{
		"Two hosts: use the first (host status) or stop it (host stop)",
		"A port is taken: choose another one (host start --port 8770)",
		"A mistake in the configuration: host doctor --config FILE names all of them",
		"A plugin does not run: host plugins says why, host doctor says whether its files are in order",
		"Health does not come back: host history shows what was tried; adjust thresholds, then host restart",
		"Nothing of this: host stop, then host start",
	}
}

// help is where to turn to.
func help() []string {
	return []string{
		"host explain --list lists all codes; host explain CODE explains one",
		"host doctor --bundle upkeep-report.tar.gz collects what a bug report needs, without secrets",
		"The folder docs/operating of Upkeep has a page for each kind of trouble",
	}
}
