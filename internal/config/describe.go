package config

import "strings"

// descriptions says what each key means: for the JSON Schema, for the
// documentation, and for whoever reads a list of the keys. NAME stands for a
// plugin's name. A test sees to it that every key has its line here.
var descriptions = map[string]string{
	"server":             "Where clients find the hub.",
	"server.host":        "Name or address that clients use. localhost is 127.0.0.1 and, where present, ::1. An address that other machines can reach is refused unless --insecure-bind says that you want it: clients are not asked for a token.",
	"server.port":        "Port that clients use; 0: any free one, which needs --state-dir.",
	"server.enable_cors": "Answer requests of pages of the same origin with CORS headers. Pages of other origins are always refused.",
	"server.server_id":   "How the hub calls itself to clients; empty: a new name at every start.",

	"health_monitoring":                             "How health is watched.",
	"health_monitoring.enabled":                     "Off: nothing is checked and nothing is recovered. A hub that exits or hangs is replaced all the same.",
	"health_monitoring.check_interval":              "Seconds between two rounds of checks while all is well.",
	"health_monitoring.fast_check_interval":         "Seconds between two rounds of checks while anything is not well.",
	"health_monitoring.check_timeout":               "Seconds that one check may take, where the plugin does not ask for another time.",
	"health_monitoring.thresholds":                  "Each goes to every plugin that declares a threshold of that name. Over it a metric is a warning, from 1.2 times it critical, where the plugin does not say otherwise. What is left out is the plugin's own default.",
	"health_monitoring.thresholds.cpu_percent":      "CPU that the hub uses, in percent of the CPUs that it may use.",
	"health_monitoring.thresholds.memory_mb":        "Memory of the hub, in MB.",
	"health_monitoring.thresholds.file_descriptors": "Open files of the hub, sockets of clients not counted.",
	"health_monitoring.thresholds.error_rate":       "Failures of the hub's own making as a share of all events, 0 to 1.",
	"health_monitoring.thresholds.max_clients":      "Connected clients.",
	"health_monitoring.thresholds.network_timeout":  "Seconds that a client's way to the hub and back may take.",
	"health_monitoring.thresholds.round_trip_ms":    "Milliseconds that an event may take to the hub and back.",
	"health_monitoring.history_size":                "Results that are kept.",
	"health_monitoring.aggregation_window":          "Seconds that the aggregate looks back.",
	"health_monitoring.aggregation":                 "worst: any critical check is critical, a check that cannot look is at best a warning. ratio: over all metrics, more than 30 % warnings are a warning, more than 50 % unknown are unknown.",

	"recovery":                                   "What is done about bad health.",
	"recovery.enabled":                           "Off: health is watched and nothing is done about it.",
	"recovery.strategy":                          "graded, the name of another strategy plugin, or an object with the settings of the graded strategy.",
	"recovery.strategy.warning_threshold":        "Warnings in a row that lead to an action.",
	"recovery.strategy.critical_threshold":       "Critical reports in a row that lead to an action.",
	"recovery.strategy.failure_window_seconds":   "Seconds after which a report no longer counts.",
	"recovery.strategy.min_recovery_interval":    "The same as recovery.min_recovery_interval; give one of the two.",
	"recovery.min_recovery_interval":             "Seconds between the starts of two attempts.",
	"recovery.max_recovery_attempts":             "Attempts in one incident.",
	"recovery.recovery_timeout":                  "Seconds that an action may take, and that health may take to come back after the grace.",
	"recovery.grace":                             "Seconds after a start of the hub and after an attempt in which nothing is decided.",
	"recovery.circuit_breaker":                   "Stops attempts that do not help.",
	"recovery.circuit_breaker.failure_threshold": "Failed attempts in a row that open the breaker.",
	"recovery.circuit_breaker.timeout_seconds":   "Seconds that the breaker stays open.",
	"recovery.circuit_breaker.success_threshold": "Cured attempts in a row that close it again.",
	"recovery.actions":                           "An action that is switched off is never taken, whatever the strategy proposes.",
	"recovery.actions.log_warning":               "Write a warning to the log.",
	"recovery.actions.clear_connections":         "Close the connections of all clients, who then come back.",
	"recovery.actions.restart_service":           "Replace the hub.",
	"recovery.actions.emergency_stop":            "Take the hub down.",
	"recovery.emergency_stop":                    "exit: host ends with exit code 8. hold: the hub is down and host stays, with /health answering 503 on the admin listener.",

	"events":                 "What is kept of events.",
	"events.history":         "Events that get_history can give.",
	"events.log_events":      "Events that the event log keeps, at least as many as events.history. Clients that were away get what they missed from it.",
	"events.log_mb":          "MB that the event log may take on the disk.",
	"events.log_age":         "Seconds that the event log keeps an event.",
	"events.log_sync":        "When an event has to be on the disk: interval, within 100 ms; always, before it is delivered; never, whenever the system likes. The end of a process costs no event with any of them; a failure of power may.",
	"events.recovery_window": "Seconds after the loss of its connection for which a client gets its session back, with what it missed. 0: never.",

	"limits":                     "Limits of the hub.",
	"limits.max_connections":     "More clients than this get 503.",
	"limits.max_handshakes":      "Clients that may be about to connect at once while the hub is well: after a start it admits a few at a time, then more, and fewer when it becomes slow itself. Others wait in the accept queue.",
	"limits.max_payload_bytes":   "Bytes of one message of a client. A larger one closes its connection (1009), a larger POST gets 413.",
	"limits.messages_per_second": "Messages that one client may send in a second. One that sends more gets limit_exceeded and is disconnected (1008).",
	"limits.bytes_per_second":    "Bytes that one client may send in a second, likewise.",
	"limits.max_queued_bytes":    "Bytes that may wait to be sent to one client.",
	"limits.max_queue_age":       "Seconds that the oldest byte may wait to be sent to a client.",
	"limits.slow_clients":        "What becomes of a client for whom more waits, or longer. disconnect: its connection is closed. drop: it loses events until it has caught up, but no answer.",
	"limits.write_timeout":       "Seconds after which a client that takes nothing of what is sent to it is disconnected.",
	"limits.max_rooms":           "Rooms of one client. One that joins more gets limit_exceeded and is disconnected (1008).",
	"limits.max_namespaces":      "Namespaces of one client, likewise.",
	"limits.max_pending_acks":    "Acknowledgements that one client may owe; of more than these the oldest is no longer waited for.",
	"limits.header_timeout":      "Seconds in which the header of a request must come.",
	"limits.body_timeout":        "Seconds in which the body of a request must come.",
	"limits.idle_timeout":        "Seconds after which an HTTP connection without a request is closed.",

	"supervision":                        "When a plugin's process is replaced, and what is done about changes in the plugin folder.",
	"supervision.plugin_memory_limit_mb": "MB that a plugin and the processes that it forks may hold resident. One that is over it for some seconds is replaced. 0: no limit.",
	"supervision.plugin_call_timeouts":   "Checks or decisions in a row without an answer after which the plugin's process is replaced.",
	"supervision.follow_plugins":         "On: a plugin that is put into the plugin folder is started, one that is exchanged there is reloaded, one that goes is stopped. Off: host plugins reload does that.",

	"logging":              "What is logged, and where to.",
	"logging.level":        "The least that is logged. WARNING and CRITICAL, as Python calls them, are warn and error.",
	"logging.format":       "text, or json for one object a line.",
	"logging.file":         "Path of the log; a leading ~/ is the home directory. Empty: standard error.",
	"logging.max_size_mb":  "MB after which the file is put aside and a new one begun.",
	"logging.backup_count": "Files put aside that are kept.",

	"admin":         "Where the host is steered.",
	"admin.address": "host:port of the admin listener, or off. Empty: 127.0.0.1 on the public port + 10000.",
	"admin.token":   "What admin requests over TCP must carry. Empty: host makes one and keeps it in the state directory. UPKEEP_ADMIN__TOKEN_FILE names a file that holds it.",

	"plugin_trust":                   "What has to be true of plugins before they are run; see docs/plugins/trust.md.",
	"plugin_trust.require_checksums": "On: without the lock file that host plugins lock writes, no plugin is run. With a lock file, every plugin must be what it says, whether this is on or off.",
	"plugin_trust.trusted_keys":      "Public keys, as host plugins keygen prints them. When there are any, one of them must have signed the lock file, or no plugin is run.",

	"plugins":                      "Settings of plugins, by name. A plugin that is not named here is enabled and required.",
	"plugins.NAME.enabled":         "Off: the plugin is not started.",
	"plugins.NAME.required":        "On: host does not start without the plugin, and its check must be known. Off: its check may be unknown without harm.",
	"plugins.NAME.memory_limit_mb": "MB that this plugin and the processes that it forks may hold. 0: supervision.plugin_memory_limit_mb.",
	"plugins.NAME.config":          "The plugin's own settings, which the plugin judges. They win over health_monitoring.thresholds.",
	"plugins.NAME.environment":     "Names of variables of host's environment that the plugin sees, beside PATH, HOME, TMPDIR, LANG, LC_ALL, TZ, SSL_CERT_FILE and SSL_CERT_DIR. Secrets belong in config.",
}

// describe gives the description of a key.
func describe(key string) string {
	if rest, ok := strings.CutPrefix(key, "plugins."); ok {
		_, setting, _ := strings.Cut(rest, ".")
		key = "plugins.NAME." + setting
	}
	return descriptions[key]
}
