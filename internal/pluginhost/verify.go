package pluginhost

// Verify judges, as before a start, whether the plugin may be run: owner,
// permissions and links of its file and folders, and the file's SHA-256 where
// plugin.json pins one. It reads the file and starts nothing. The error is nil or
// a *LaunchError.
func (c Candidate) Verify() error {
	var p pin
	defer p.forget()
	return p.verify(c, c.SHA256)
}
