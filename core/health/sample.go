package health

import "time"

// Sample is what a checker gave back as raw counters in an earlier check.
type Sample struct {
	Time time.Time
	// Generation of the hub at that time.
	Generation uint64
	Counters   map[string]float64
}

// maxSamples is how many samples a checker gets back with a request.
const maxSamples = 64

// Samples keeps the earlier counters of one checker so that it can compute
// rates without a memory of its own. It is bounded by number and age.
type Samples struct {
	kept []Sample
}

// Add keeps a sample and drops those older than window. When more than 64 are
// left, the one that is closest to its neighbours gives way, so that the oldest,
// the newest and an even spread between them stay.
func (s *Samples) Add(sample Sample, window time.Duration) {
	if len(sample.Counters) == 0 {
		return
	}
	oldest := sample.Time.Add(-window)
	kept := make([]Sample, 0, len(s.kept)+1)
	for _, k := range s.kept {
		if !k.Time.Before(oldest) && !k.Time.After(sample.Time) {
			kept = append(kept, k)
		}
	}
	kept = append(kept, sample)
	if len(kept) > maxSamples {
		drop, narrowest := 1, time.Duration(1<<63-1)
		for i := 1; i < len(kept)-1; i++ {
			if gap := kept[i+1].Time.Sub(kept[i-1].Time); gap < narrowest {
				drop, narrowest = i, gap
			}
		}
		kept = append(kept[:drop], kept[drop+1:]...)
	}
	s.kept = kept
}

// All returns the samples, oldest first. The slice is the caller's.
func (s *Samples) All() []Sample { return append([]Sample(nil), s.kept...) }
