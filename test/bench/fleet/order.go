package fleet

// order checks what one subscriber gets: every number once, ascending.
type order struct {
	next int64   // the number that is due
	gaps []int64 // numbers that were passed over and have not come since
}

// Tally counts deliveries and what is wrong with them, over all subscribers.
type Tally struct {
	Expected   int64 `json:"expected"`     // events sent × subscribers
	Delivered  int64 `json:"delivered"`    // each event once for each subscriber
	Missing    int64 `json:"missing"`      // never came
	OutOfOrder int64 `json:"out_of_order"` // came after a later one
	Doubled    int64 `json:"doubled"`      // came again
	Unknown    int64 `json:"unknown"`      // was never sent
}

// Wrong is the number of deliveries that are not as they must be.
func (t Tally) Wrong() int64 { return t.Missing + t.OutOfOrder + t.Doubled + t.Unknown }

// take notes that number seq of those below sent has come.
func (o *order) take(seq, sent int64, t *Tally) {
	switch {
	case seq >= sent:
		t.Unknown++
		return
	case seq == o.next:
		o.next++
	case seq > o.next:
		for ; o.next < seq; o.next++ {
			o.gaps = append(o.gaps, o.next)
		}
		o.next = seq + 1
	default:
		for i, g := range o.gaps {
			if g == seq {
				o.gaps = append(o.gaps[:i], o.gaps[i+1:]...)
				t.OutOfOrder++
				t.Delivered++
				return
			}
		}
		t.Doubled++
		return
	}
	t.Delivered++
}
