package conformance

import "context"

// scope says whom a rule is for.
type scope int

const (
	ofAll scope = iota
	ofCheckers
	ofWatchers
	ofStrategies
	ofUnix // not tried on this platform
)

// rule is one thing that a plugin must do.
type rule struct {
	name    string
	promise string
	of      scope
	try     func(context.Context, *kit) *breach
	// blocks says why nothing else can be tried once this rule failed; empty: it can.
	blocks string
}

// ruleStdout is tried on what the others saw.
const ruleStdout = "stdout"

// rules in the order in which they are tried.
var rules = []rule{
	{name: "handshake", promise: "prints the handshake as its first line, within 10 s, and serves gRPC where it says",
		try: handshakeRule, blocks: "it does not start"},
	{name: "cookie", promise: "started by hand, without the cookie, says what it is and ends with an error", try: cookieRule},
	{name: "version", promise: "chooses a version that it speaks from those that host offers, in whatever order", try: versionRule},
	{name: "health", promise: `answers the standard health service for "plugin" with SERVING within 2 s`, try: healthRule},
	{name: "describe", promise: "describes itself: name of its file, version, kinds, metrics, actions", try: describeRule,
		blocks: "it does not describe itself"},
	{name: "schema", promise: "has a configuration schema that is valid JSON Schema and finds its own defaults good", try: schemaRule},
	{name: "configuration", promise: "takes a good configuration, and answers a bad one with diagnostics that name the field", try: configurationRule,
		blocks: "it cannot be configured"},
	{name: "check", promise: "checks within its time and gives a sound result, or an error that says why it could not look", of: ofCheckers, try: checkRule},
	{name: "deadline", promise: "answers at the deadline of the call, and lets go of what it was looking at", of: ofCheckers, try: deadlineRule},
	{name: "cancel", promise: "lets go of a check that is cancelled, and goes on to answer", of: ofCheckers, try: cancelRule},
	{name: "concurrency", promise: "answers checks side by side as it does alone", of: ofCheckers, try: concurrencyRule},
	{name: "memory", promise: "does not grow over 1000 checks", of: ofCheckers, try: memoryRule},
	{name: "watch", promise: "opens the watch that it says it offers, and sends sound results", of: ofWatchers, try: watchRule},
	{name: "decide", promise: "answers every situation with an action, a reason and the rule that decided", of: ofStrategies, try: decideRule},
	{name: "determinism", promise: "gives the same answer to the same situation, again and in another process", of: ofStrategies, try: determinismRule},
	{name: "promptness", promise: "decides within 2 s, also about a long history", of: ofStrategies, try: promptnessRule},
	{name: "applicability", promise: "proposes only what can run now, and survives words that it does not know", of: ofStrategies, try: applicabilityRule},
	{name: "execute", promise: "refuses to perform an action that it does not bring along", of: ofStrategies, try: executeRule},
	{name: "shutdown", promise: "ends within 2 s when it is asked to", try: shutdownRule},
	{name: "stdin", promise: "ends within 2 s when its standard input ends", try: stdinRule},
	{name: "host_death", promise: "ends within 2 s when host is killed, also in the middle of a call", of: onUnix, try: hostDeathRule},
	{name: ruleStdout, promise: "prints nothing to standard output after the handshake", try: stdoutRule},
}

// Rules are the names of all rules, in the order in which they are tried.
func Rules() []string {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.name
	}
	return names
}
