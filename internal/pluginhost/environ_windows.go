package pluginhost

// inheritedHere: without these no program can open a socket or a temporary file.
var inheritedHere = []string{"SYSTEMROOT", "SystemRoot", "TEMP", "TMP", "USERPROFILE", "PATHEXT"}
