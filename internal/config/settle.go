package config

import "fmt"

// settle looks at what no value shows by itself.
func (r *reader) settle(cfg *Config) {
	h, rec := &cfg.HealthMonitoring, &cfg.Recovery
	if h.FastCheckInterval > h.CheckInterval {
		r.bounded("health_monitoring.fast_check_interval", h.FastCheckInterval, "health_monitoring.check_interval", "at most", h.CheckInterval)
		h.FastCheckInterval = h.CheckInterval
	}
	if f := &h.Flapping; f.LowPercent > f.HighPercent {
		r.bounded("health_monitoring.flapping.low_percent", f.LowPercent, "health_monitoring.flapping.high_percent", "at most", f.HighPercent)
		f.LowPercent = f.HighPercent
	}
	const certificate, private = "server.tls.certificate", "server.tls.key"
	if t := cfg.Server.TLS; (t.Certificate == "") != (t.Key == "") {
		missing, other := private, certificate
		if t.Certificate == "" {
			missing, other = certificate, private
		}
		r.add(mistakeAt(missing, r.given[other], "nothing", "the other half of "+other+": TLS needs both files"))
	}
	r.settleInterval(rec)
	if rec.MaxRecoveryInterval < rec.MinRecoveryInterval {
		r.bounded("recovery.max_recovery_interval", rec.MaxRecoveryInterval, "recovery.min_recovery_interval", "at least", rec.MinRecoveryInterval)
		rec.MaxRecoveryInterval = rec.MinRecoveryInterval
	}
	longest := rec.RecoveryTimeout
	for _, d := range []Seconds{rec.ActionTimeouts.ClearConnections, rec.ActionTimeouts.RestartService, rec.ActionTimeouts.EmergencyStop} {
		longest = max(longest, d)
	}
	// An attempt takes its action, the grace, and the time in which it is judged.
	if least, trial := longest+rec.Grace+rec.RecoveryTimeout, &rec.CircuitBreaker.TrialTimeout; *trial > 0 && *trial < least {
		r.bounded("recovery.circuit_breaker.trial_timeout_seconds", *trial, "recovery.recovery_timeout", "0, or at least what an attempt may take by", least)
		*trial = least
	}
}

// bounded is what becomes of a value that contradicts another one: given, it is a
// mistake; a default follows the other, and comes from where that comes from.
func (r *reader) bounded(key string, value any, other, bound string, limit any) {
	if at, given := r.given[key]; given {
		r.add(mistakeAt(key, at, fmt.Sprint(value), fmt.Sprintf("%s %s (%v)", bound, other, limit)))
	} else if at, given := r.given[other]; given {
		r.given[key] = at
	}
}

// settleInterval settles one setting with two keys: the stronger source wins, and
// one source may not say two things.
func (r *reader) settleInterval(rec *Recovery) {
	settings := rec.Strategy.Settings
	if settings == nil {
		return
	}
	const outer, inner = "recovery.min_recovery_interval", "recovery.strategy.min_recovery_interval"
	in, innerGiven := r.given[inner]
	out, outerGiven := r.given[outer]
	switch {
	case innerGiven && outerGiven && in.rank() == out.rank() && settings.MinRecoveryInterval != rec.MinRecoveryInterval:
		r.add(mistakeAt(inner, in, settings.MinRecoveryInterval.String(),
			fmt.Sprintf("the same as %s (%s), or only one of the two keys", outer, rec.MinRecoveryInterval)))
	case innerGiven && (!outerGiven || in.rank() > out.rank()):
		rec.MinRecoveryInterval, r.given[outer] = settings.MinRecoveryInterval, in
	default:
		settings.MinRecoveryInterval = rec.MinRecoveryInterval
		if outerGiven {
			r.given[inner] = out
		}
	}
}
