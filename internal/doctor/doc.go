// Package doctor examines the place where a host runs or shall run:
// configuration, state directory, lock, ports, plugins, descriptor limits, disk,
// clock and versions. Each Finding says what is and, where that is not well, what
// to do. WriteBundle packs findings and evidence for a bug report, without secrets.
//
// It changes nothing but for moments: it binds free ports and writes a file into
// the state directory, and takes both back at once. It refuses to know how a
// configuration is read, a host is proved or a plugin is judged; Input brings
// answers and functions for that. The command host doctor calls it through
// internal/app. Its only goroutines end within Run.
package doctor
