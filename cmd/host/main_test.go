package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"host": main, "upkeep-hub": main})
}

// The scripts in testdata are the command line's manual.
func TestCommandLineDoesWhatItsManualSays(t *testing.T) {
	testscript.Run(t, scripted(t))
}
