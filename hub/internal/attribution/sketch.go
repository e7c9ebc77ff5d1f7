package attribution

import "container/heap"

// sketchSize is how many keys a sketch tells apart. Who causes more than one part
// in sketchSize of everything is always among them.
const sketchSize = 32

// negligible is what is forgotten when it has faded to so little.
const negligible = 0.05

// sketch keeps the keys that were counted most.
type sketch struct {
	total   float64
	entries map[string]*entry
	order   byCount // the same, the least one first
}

// entry has a key's count, which is too high by excess at most: that is what the
// key had that it has replaced.
type entry struct {
	key           string
	count, excess float64
	identity      Identity // as it was told last
	index         int      // in the order
}

// add counts n for a key.
func (s *sketch) add(key string, n float64, id Identity) {
	s.total += n
	e := s.entries[key]
	switch {
	case e != nil:
		e.count += n
		e.identity = id
		heap.Fix(&s.order, e.index)
	case len(s.order) < sketchSize:
		if s.entries == nil {
			s.entries = make(map[string]*entry, sketchSize)
		}
		e = &entry{key: key, count: n, identity: id}
		s.entries[key] = e
		heap.Push(&s.order, e)
	default:
		e = s.order[0]
		delete(s.entries, e.key)
		*e = entry{key: key, count: e.count + n, excess: e.count, identity: id}
		s.entries[key] = e
		heap.Fix(&s.order, 0)
	}
}

// fade leaves a part of everything.
func (s *sketch) fade(part float64) {
	s.total *= part
	for _, e := range s.order {
		e.count, e.excess = e.count*part, e.excess*part
	}
	for len(s.order) > 0 && s.order[0].count < negligible {
		delete(s.entries, heap.Pop(&s.order).(*entry).key)
	}
}

// sure is how much was counted for a key at least.
func (e *entry) sure() float64 { return e.count - e.excess }

// byCount is a heap of entries.
type byCount []*entry

func (b byCount) Len() int           { return len(b) }
func (b byCount) Less(i, j int) bool { return b[i].count < b[j].count }
func (b byCount) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].index, b[j].index = i, j
}
func (b *byCount) Push(x any) {
	e := x.(*entry)
	e.index = len(*b)
	*b = append(*b, e)
}
func (b *byCount) Pop() any {
	last := len(*b) - 1
	e := (*b)[last]
	(*b)[last] = nil
	*b = (*b)[:last]
	return e
}
