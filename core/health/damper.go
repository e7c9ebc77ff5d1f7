package health

import "slices"

// DampConfig says when what a checker says counts.
type DampConfig struct {
	// Rise is how many healthy results in a row make a check well that was not,
	// Fall how many in a row that are a warning or critical make one ill that was
	// well. Below 1 they are taken as 1.
	Rise, Fall int
	Flap       FlapConfig
}

// FlapConfig says when a check that is now well and now ill counts as trouble.
type FlapConfig struct {
	Results int // that are looked back on; below 2: flapping is not looked for
	// Bad is how many of Results, in more than one stretch, make it flap; 0: any
	// number may.
	Bad int
	// High is the share of changes between well and ill among Results, in percent,
	// from which it flaps, and Low that below which it no longer does. A High of 0
	// or less: changes are not looked at.
	High, Low float64
}

// DefaultDampConfig takes every result at its word, and looks for flapping.
func DefaultDampConfig() DampConfig {
	return DampConfig{Rise: 1, Fall: 1, Flap: FlapConfig{Results: 20, Bad: 10, High: 40, Low: 20}}
}

// Damper turns what one checker says into the status of its check. Its zero
// value knows nothing yet: the first result counts as it is, and so does the
// first about another generation.
type Damper struct {
	known      bool
	generation uint64
	shown      track // of the status
	unloaded   track // of the status with load left out: load alone must not grow into more
}

// Add takes the next result and gives it as it counts. A result that could not
// look stays unknown and is not counted; a carried one is not counted either.
func (d *Damper) Add(cfg DampConfig, r Result) Result {
	r.Observed = r.Status
	if r.Status == Unknown {
		return r
	}
	if d.known && r.Generation != d.generation {
		*d = Damper{}
	}
	if !r.Carried || !d.known {
		unloaded := r.WithoutLoad()
		if !d.known {
			d.known, d.generation = true, r.Generation
			d.shown.status, d.unloaded.status = r.Status, unloaded
		}
		d.shown.count(cfg, r.Status)
		d.unloaded.count(cfg, unloaded)
	}
	r.Status, r.Flapping = d.shown.counts(), d.shown.flapping
	unloaded := d.unloaded.counts()
	r.unloaded = &unloaded
	return r
}

// track follows one status.
type track struct {
	status   Status // that counts but for flapping: healthy, or the last that was not
	rises    int    // healthy ones in a row while ill
	falls    int    // others in a row while well
	ill      []bool // the last ones, newest last
	flapping bool
}

// counts is the status that counts.
func (t *track) counts() Status {
	if t.flapping {
		return Worse(t.status, Warning)
	}
	return t.status
}

func (t *track) count(cfg DampConfig, s Status) {
	ill := s != Healthy
	t.flap(cfg.Flap, ill)
	if ill {
		t.rises = 0
		t.falls++
		if t.status != Healthy || t.falls >= max(1, cfg.Fall) {
			t.status = s
		}
		return
	}
	t.falls = 0
	t.rises++
	if t.rises >= max(1, cfg.Rise) {
		t.status = Healthy
	}
}

// flap looks whether it is now well and now ill.
func (t *track) flap(cfg FlapConfig, ill bool) {
	if cfg.Results < 2 {
		t.ill, t.flapping = nil, false
		return
	}
	t.ill = append(t.ill, ill)
	if extra := len(t.ill) - cfg.Results; extra > 0 {
		t.ill = slices.Delete(t.ill, 0, extra)
	}
	bad, changes, stretches := 0, 0, 0
	for i, was := range t.ill {
		if i > 0 && was != t.ill[i-1] {
			changes++
		}
		if was {
			bad++
			if i == 0 || !t.ill[i-1] {
				stretches++
			}
		}
	}
	rate := 100 * float64(changes) / float64(cfg.Results-1)
	many := cfg.Bad > 0 && bad >= cfg.Bad && stretches > 1
	changing := cfg.High > 0 && (rate >= cfg.High || t.flapping && rate >= cfg.Low && rate > 0)
	t.flapping = many || changing
}

// Symptoms marks the results that are ill because of others: those of checks that
// depend, also by way of others, on one that is a warning or critical. Of checks
// that depend on each other none is a symptom of the other. The checks that a
// check depends on are given by its name.
func Symptoms(results []Result, dependsOn map[string][]string) []Result {
	results = slices.Clone(results)
	status := map[string]Status{}
	for _, r := range results {
		status[r.Check] = r.Status
	}
	ill := func(s Status) bool { return s == Warning || s == Critical }
	for i, r := range results {
		results[i].SymptomOf = ""
		if !ill(r.Status) {
			continue
		}
		for _, cause := range causesOf(r.Check, dependsOn) {
			if ill(status[cause]) && !slices.Contains(causesOf(cause, dependsOn), r.Check) {
				results[i].SymptomOf = cause
				break
			}
		}
	}
	return results
}

// causesOf lists what a check depends on, nearest first, without itself.
func causesOf(check string, dependsOn map[string][]string) []string {
	var found []string
	next := dependsOn[check]
	for len(next) > 0 {
		var further []string
		for _, c := range next {
			if c != check && !slices.Contains(found, c) {
				found = append(found, c)
				further = append(further, dependsOn[c]...)
			}
		}
		next = further
	}
	return found
}
