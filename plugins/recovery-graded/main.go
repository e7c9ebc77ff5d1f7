// Command recovery-graded is Upkeep's recovery strategy: a ladder, one rung a
// time, from a logged warning to the emergency stop.
//
// It owns which rung comes next. It refuses to know time, budgets and breakers:
// the host guards every proposal, judges what it did, and keeps all counts. The
// host calls it. Decide is pure; nothing here has a goroutine or a memory.
package main

import "github.com/upkeephub/upkeep/sdk"

func main() { sdk.Serve(info, newStrategy()) }

var info = sdk.Info{Name: "recovery-graded", Version: "0.1.0"}
