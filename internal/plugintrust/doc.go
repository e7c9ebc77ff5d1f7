// Package plugintrust says whether what lies in a plugin directory may be run.
//
// It owns three things: the rules for owners and permissions (Judge), the lock
// file that fixes what each plugin consists of (Lock, Folder, Policy), and the
// ed25519 signature of that file (PublicKey, Sign). It reads files, compares them
// and says what differs; each refusal has a reason and a next step.
//
// It refuses to know what a plugin is, where its executable lies and how it is
// started: package pluginhost says which files belong to a plugin, calls this
// package before each start and runs what was compared. The commands that lock,
// sign and verify call it too. It starts no goroutine and remembers nothing.
package plugintrust
