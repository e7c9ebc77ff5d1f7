// Package core holds no code. The packages below it are Upkeep's thought: what
// health is (health), what may be done about it (recovery), the loop that joins
// the two (monitor), and errors that people read (problem). They know nothing
// of plugins, processes, sockets or Socket.IO, and import nothing but the
// standard library and each other; a test here keeps it so.
package core
