package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Kind says what a record is about.
type Kind string

// The kinds of records that a Journal writes by itself.
const (
	// KindSegment is the first record of each segment.
	KindSegment Kind = "segment"
	// KindRemoved says that the oldest segment is removed.
	KindRemoved Kind = "removed"
	// KindRepaired says that the end of the last segment was cut off.
	KindRepaired Kind = "repaired"
	// KindGap says that records are missing, and how many.
	KindGap Kind = "gap"
)

// Record is one line of the journal.
type Record struct {
	// Seq grows by one with each record of a state directory.
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	// Incident that it belongs to; empty: to none.
	Incident string `json:"incident,omitempty"`
	// Prev is the SHA-256 of the record before, in hex; zeros for the first.
	Prev string `json:"prev"`
	// Data is an object whose shape depends on the kind.
	Data json.RawMessage `json:"data,omitempty"`
	// Hash is the SHA-256 of the line without this field, in hex.
	Hash string `json:"hash,omitempty"`
}

// genesis is what comes before the first record.
const genesis = "0000000000000000000000000000000000000000000000000000000000000000"

const (
	hashField = `,"hash":"`
	hashTail  = len(hashField) + sha256.Size*2 + len(`"}`)
)

// line writes a record, whose Hash it sets, without an end of line.
func (r *Record) line() ([]byte, error) {
	r.Hash = ""
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write a record of kind %s as JSON: %w", r.Kind, err)
	}
	r.Hash = sum(body)
	return append(append(body[:len(body)-1], hashField...), r.Hash+`"}`...), nil
}

func sum(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:])
}

// errAltered says that a line is not what was written.
var errAltered = errors.New("its content does not fit its hash")

// parse reads a line and proves that it is what was written.
func parse(line []byte) (Record, error) {
	var r Record
	cut := len(line) - hashTail
	if cut < 1 || !bytes.HasPrefix(line[cut:], []byte(hashField)) {
		return r, errors.New("it is no record: it does not end in a hash")
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf("it is no record: %w", err)
	}
	h := sha256.New()
	h.Write(line[:cut])
	h.Write([]byte{'}'})
	if hex.EncodeToString(h.Sum(nil)) != r.Hash {
		return r, errAltered
	}
	return r, nil
}

// Segment is the data of KindSegment.
type Segment struct {
	Version int    `json:"version"` // of the format
	Number  uint64 `json:"segment"` // also the file's name
}

// formatVersion is that of segments.
const formatVersion = 1

// Removed is the data of KindRemoved.
type Removed struct {
	Segment uint64 `json:"segment"`
	Through uint64 `json:"through_seq"` // of its last record
	Hash    string `json:"hash"`        // of its last record
	Why     string `json:"why"`
}

// Repaired is the data of KindRepaired.
type Repaired struct {
	Segment uint64 `json:"segment"`
	After   uint64 `json:"after_seq"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"` // of what was cut off
	Begins  string `json:"begins"` // its first bytes, quoted
}

// Gap is the data of KindGap.
type Gap struct {
	Lost  uint64    `json:"lost"`
	Since time.Time `json:"since"`
	Why   string    `json:"why"`
}

// Decode reads the data of a record into shape. Data of another shape leave it
// as it is, or filled in part.
func (r Record) Decode(shape any) { _ = json.Unmarshal(r.Data, shape) }
