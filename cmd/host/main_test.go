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

func TestFlagHintNamesTheNearestFlagOrNone(t *testing.T) {
	for name, want := range map[string]int{"port": 0, "prot": 2, "hots": 2, "": 4} {
		if got := editDistance(name, map[string]string{"port": "port", "prot": "port", "hots": "host", "": "port"}[name]); got != want {
			t.Errorf("distance of %q is %d, want %d", name, got, want)
		}
	}
}
