package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"host": main})
}

// The scripts in testdata are the command line's manual.
func TestCommandLineDoesWhatItsManualSays(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: func(env *testscript.Env) error {
		return os.Mkdir(env.Getenv("WORK")+"/plugins", 0o755)
	}})
}

func TestFlagHintNamesTheNearestFlagOrNone(t *testing.T) {
	for name, want := range map[string]int{"port": 0, "prot": 2, "hots": 2, "": 4} {
		if got := editDistance(name, map[string]string{"port": "port", "prot": "port", "hots": "host", "": "port"}[name]); got != want {
			t.Errorf("distance of %q is %d, want %d", name, got, want)
		}
	}
}
