// Package pluginhost finds plugins on disk, starts them, watches them, starts
// them again, and is the only place that translates between the plugins' wire
// and the domain types of core.
//
// It owns the plugin directory's rules (Discover), the processes and what they
// say (Host, Instance), and the judgement of every answer. What a plugin sends
// is never trusted: texts are bounded and sanitised, metrics are judged one by
// one, messages have a limit, every call has a deadline. Whatever a plugin does,
// the host stays up, the other plugins answer, and somebody can read what
// happened.
//
// It refuses to know when a check is due, what a result means and which action
// may run: a plugin is a function here. internal/app calls it and hands
// Instances to core/monitor. Samples, history and budgets are the caller's.
//
// go-plugin provides the handshake and the connection, and no more. Its process
// runner, its log parser, its broker and its Kill can each be hung or crashed by
// a bad plugin; in their place are package child (through processRunner), logSink,
// a refusal in session.interceptStream, and session.shutdown.
//
// A plugin's life: file checked, process started, handshake, health, Describe,
// Validate, Configure; then it is Running. When its process ends, or misses its
// health calls, or lets its checks time out, it is replaced: at once at first,
// then after growing pauses, until it is Quarantined. What another start cannot
// mend is Refused at once. Both wait for Release.
//
// Goroutines: Host.Run has one for each plugin and waits for all of them. Each
// of those has, for every process it starts, one for go-plugin's handshake, one
// that awaits the death, one for a watch stream if there is one, and one that
// tidies up; it waits for them before the next start. package child and go-plugin
// have their own for each process, which end with it.
package pluginhost
