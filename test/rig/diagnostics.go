package rig

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Diagnostics is host's own account of everything, from the admin port, which
// answers whatever the hub does.
type Diagnostics map[string]any

// Diagnostics asks the host.
func (h *Host) Diagnostics(ctx context.Context) (Diagnostics, error) {
	r, err := Get(ctx, h.AdminURL("/diagnostics"))
	if err != nil {
		return nil, err
	}
	if r.Status != 200 {
		return nil, fmt.Errorf("GET /diagnostics on the admin port: %s", r)
	}
	var d Diagnostics
	if d, err = r.JSON(); err != nil {
		return nil, err
	}
	// What is missing must not be taken for nothing that happened.
	for _, keys := range [][]string{{"hub", "restarts"}, {"plugins"}, {"recovery", "recent_recoveries"}} {
		if d.At(keys...) == nil {
			return nil, fmt.Errorf("/diagnostics does not tell %s: %s", strings.Join(keys, "."), r)
		}
	}
	return d, nil
}

// At follows keys into nested objects; a missing one gives nil.
func (d Diagnostics) At(keys ...string) any {
	var v any = map[string]any(d)
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

// Number is At as a number; a missing one is -1, which no counter is.
func (d Diagnostics) Number(keys ...string) float64 {
	if n, ok := d.At(keys...).(float64); ok {
		return n
	}
	return -1
}

// Attempts are the recovery actions that clients could feel, oldest first:
// those of the history and those of the open incident that are not judged yet.
func (d Diagnostics) Attempts() []string {
	var actions []string
	recent, _ := d.At("recovery", "recent_recoveries").([]any)
	for i := len(recent) - 1; i >= 0; i-- { // newest first there
		actions = appendAction(actions, recent[i])
	}
	open, _ := d.At("recovery", "incident", "attempts").([]any)
	for _, a := range open {
		if o, _ := a.(map[string]any); o["outcome"] == "pending" {
			actions = appendAction(actions, a)
		}
	}
	return actions
}

func appendAction(actions []string, event any) []string {
	o, _ := event.(map[string]any)
	if action, _ := o["action"].(string); action != "" && action != "none" && action != "log_warning" {
		return append(actions, action)
	}
	return actions
}

// PluginState is what host says of a plugin.
type PluginState struct {
	State    string
	PID      int // 0: none
	Restarts int
}

// Plugin finds a plugin's state; ok is false if host does not know it.
func (d Diagnostics) Plugin(name string) (s PluginState, ok bool) {
	plugins, _ := d.At("plugins").([]any)
	for _, p := range plugins {
		o, _ := p.(map[string]any)
		if o["name"] != name {
			continue
		}
		s.State, _ = o["state"].(string)
		pid, _ := o["pid"].(float64)
		restarts, _ := o["restarts"].(float64)
		s.PID, s.Restarts = int(pid), int(restarts)
		return s, true
	}
	return s, false
}

// WaitPluginReplaced waits until another process than old serves as the plugin.
// It returns the times from since until host knew that the old one is no good,
// and until the new one was fit for work.
func (h *Host) WaitPluginReplaced(ctx context.Context, name string, old Stat, since time.Time) (noticed, replaced time.Duration, err error) {
	err = Poll(ctx, 2*time.Millisecond, func() error {
		d, err := h.Diagnostics(ctx)
		if err != nil {
			return err
		}
		s, _ := d.Plugin(name)
		if noticed == 0 && (s.PID != old.PID || s.State != "running") {
			noticed = time.Since(since)
		}
		if s.PID == old.PID || s.PID == 0 || s.State != "running" {
			return fmt.Errorf("plugin %s is %+v", name, s)
		}
		return nil
	})
	return noticed, time.Since(since), err
}
