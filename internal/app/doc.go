// Package app is where everything of host meets: it reads the configuration,
// takes the state directory, binds the listeners, wires monitor, plugins and
// hub together, tells people what is going on, and undoes it all in order.
//
// It is the only package that knows all the others (but sdk, plugins and hub),
// and it holds no policy of its own. cmd/host calls Run. Its goroutines are the
// long-lived loops that Run starts and waits for: the monitor, the reload on a signal, the hub's keeper,
// the plugin host, the instance's watch over its PID file, and one HTTP server
// for each listener.
package app
