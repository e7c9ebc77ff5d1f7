package child

// CloseStdin ends the standard input of the process, which to a child means
// that its parent is gone. It does not wait, sends no signal, and may be called
// more than once.
func (p *Process) CloseStdin() { p.closeStdin() }
