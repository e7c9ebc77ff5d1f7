package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
)

// Verification is what Verify found.
type Verification struct {
	Segments int    `json:"segments"`
	Records  uint64 `json:"records"`
	First    uint64 `json:"first_seq"` // 0: there are none
	Last     uint64 `json:"last_seq"`
	// Removed is the last record that gave way to the bounds of the journal, and
	// with it all before it; 0: none did.
	Removed uint64 `json:"removed_through_seq"`
	// Lost counts the records that could not be written when they were made, and
	// Repaired how often the end was cut off.
	Lost     uint64 `json:"lost"`
	Repaired int    `json:"repaired"`
	// Torn is how many bytes at the very end are no whole record: it is being
	// written, or was cut off and is repaired by the next start.
	Torn int64 `json:"torn_bytes"`
	// Altered is the first record that is not what was written; nil: all are.
	Altered *Fault `json:"altered"`
}

// Fault is where the chain breaks.
type Fault struct {
	Seq     uint64 `json:"seq"`
	Segment string `json:"segment"` // path of the file
	Line    int    `json:"line"`
	What    string `json:"what"`
}

func (f *Fault) Error() string {
	return fmt.Sprintf("record %d (%s, line %d): %s", f.Seq, f.Segment, f.Line, f.What)
}

// Verify reads the whole journal in dir and proves that each record is what was
// written, that none is missing and none was put in. known is a record that
// somebody else remembers, as the ledger does: up to there nothing can have been
// taken from the end; its zero value knows nothing. It may be called while the
// journal is written.
func Verify(dir string, known Head) (Verification, error) {
	for again := 0; ; again++ {
		v, err := verify(dir, known)
		if errors.Is(err, fs.ErrNotExist) && again < 3 {
			continue // a segment was removed meanwhile
		}
		return v, err
	}
}

// chain follows the records.
type chain struct {
	Verification
	known   Head
	prev    Head
	dir     string
	origin  string // hash of what was before the first record that is there
	removed Removed
	at      Fault // where the present line is
}

func verify(dir string, known Head) (Verification, error) {
	numbers, err := segments(dir)
	if err != nil {
		return Verification{}, err
	}
	c := chain{known: known, prev: Head{0, genesis}, dir: dir}
	for i, number := range numbers {
		f, err := openSegment(dir, number)
		if err != nil {
			return c.Verification, err
		}
		c.Segments++
		c.at = Fault{Segment: f.Name()}
		if i > 0 && number != numbers[i-1]+1 {
			c.broken(c.prev.Seq+1, fmt.Sprintf("the segment before, %s, is missing", segmentPath(dir, number-1)))
		}
		last := i == len(numbers)-1
		torn := false
		err = eachLine(f, func(line []byte, whole bool) bool {
			c.at.Line++
			if last && (!whole || len(bytes.Trim(line, "\x00")) == 0) {
				c.Torn, torn = int64(len(line)), true
				return true
			}
			if torn {
				c.Torn = 0
				c.broken(c.prev.Seq+1, "it is no record")
			}
			return c.Altered == nil && c.take(line)
		})
		_ = f.Close()
		if err != nil || c.Altered != nil {
			return c.Verification, err
		}
	}
	c.end()
	return c.Verification, nil
}

// broken notes the first fault.
func (c *chain) broken(seq uint64, what string) {
	if c.Altered == nil {
		f := c.at
		f.Seq, f.What = seq, what
		c.Altered = &f
	}
}

// take follows the chain by one line and says whether to go on.
func (c *chain) take(line []byte) bool {
	r, err := parse(line)
	next := c.prev.Seq + 1
	switch {
	case err != nil:
		seq := next
		if c.Records == 0 && c.at.Segment != segmentPath(c.dir, 1) && r.Seq > 0 {
			seq = r.Seq // nothing before it says which one it should be
		}
		c.broken(seq, err.Error())
	case c.Records == 0:
		c.First, c.origin = r.Seq, r.Prev
		if r.Seq == 1 && r.Prev != genesis {
			c.broken(1, "it is the first record, and says that one was before it")
		}
	case r.Seq > next:
		c.broken(next, fmt.Sprintf("it is missing, and so is everything up to record %d", r.Seq-1))
	case r.Seq < next:
		c.broken(r.Seq, fmt.Sprintf("it follows record %d: it was put in, or is there twice", c.prev.Seq))
	case r.Prev != c.prev.Hash:
		c.at.Line--
		c.broken(c.prev.Seq, "the record after it was written after another one: it was exchanged")
	}
	if c.Altered != nil {
		return false
	}
	c.prev = Head{r.Seq, r.Hash}
	c.Records, c.Last = c.Records+1, r.Seq
	if r.Seq == c.known.Seq && r.Hash != c.known.Hash {
		c.broken(r.Seq, "the ledger remembers another one: it, or one before it, was exchanged and all after it written anew")
		return false
	}
	switch r.Kind {
	case KindRemoved:
		r.Decode(&c.removed)
		c.Removed = max(c.Removed, c.removed.Through)
	case KindRepaired:
		c.Repaired++
	case KindGap:
		var g Gap
		r.Decode(&g)
		c.Lost += g.Lost
	}
	if c.origin != "" && c.First > 1 && c.removed.Through == c.First-1 && c.removed.Hash == c.origin {
		c.origin = "" // what was before is accounted for
	}
	return true
}

func (c *chain) end() {
	c.at = Fault{Segment: c.dir}
	switch {
	case c.Records > 0 && c.First > 1 && c.origin != "":
		c.broken(c.First-1, "it and all before it are gone, and no record says that they were removed")
	case c.known.Seq > c.Last:
		c.broken(c.Last+1, fmt.Sprintf("the journal ends before it, and the ledger remembers records up to %d", c.known.Seq))
	}
}
