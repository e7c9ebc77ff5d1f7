package eventlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// Record is one event. Its byte slices are not changed and, when read, belong to
// the caller.
type Record struct {
	// Sequence is given by Append.
	Sequence uint64
	// Time is when the event was relayed; it is kept to the millisecond.
	Time time.Time
	// Namespace, Rooms and Except say to whom the event went: to everybody in the
	// namespace, or in any of the rooms, who is in none of the excepted rooms.
	Namespace string
	Rooms     []string
	Except    []string
	// Listed says that the event is part of the history, and Kind its type there.
	Listed bool
	Kind   string
	// Data is the event's arguments, its name first, as JSON text, with a
	// placeholder for each of Attachments.
	Data        []byte
	Attachments [][]byte
}

// A record is framed by its length and checksum, both of the body.
const frameBytes = 8

// maxBody bounds what is taken for a length. It is far beyond any event.
const maxBody = 1 << 29

const flagListed = 1

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errBroken  = errors.New("broken record")
)

// appendRecord appends the framed record to b.
func appendRecord(b []byte, r *Record) []byte {
	start := len(b)
	b = append(b, make([]byte, frameBytes)...)
	b = binary.BigEndian.AppendUint64(b, r.Sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time.UnixMilli()))
	var flags byte
	if r.Listed {
		flags |= flagListed
	}
	b = append(b, flags)
	b = appendText(b, r.Namespace)
	b = appendTexts(b, r.Rooms)
	b = appendTexts(b, r.Except)
	b = appendText(b, r.Kind)
	b = appendBytes(b, r.Data)
	b = binary.AppendUvarint(b, uint64(len(r.Attachments)))
	for _, a := range r.Attachments {
		b = appendBytes(b, a)
	}
	return sealFrame(b, start)
}

// sealFrame fills in the frame of the body that follows b[start:].
func sealFrame(b []byte, start int) []byte {
	body := b[start+frameBytes:]
	binary.BigEndian.PutUint32(b[start:], uint32(len(body)))
	binary.BigEndian.PutUint32(b[start+4:], crc32.Checksum(body, castagnoli))
	return b
}

// nextFrame returns the body of the record at the start of b and the bytes that the
// record takes. Anything that is not a whole record is errBroken.
func nextFrame(b []byte) (body []byte, size int, err error) {
	if len(b) < frameBytes {
		return nil, 0, errBroken
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > maxBody || uint64(n) > uint64(len(b)-frameBytes) {
		return nil, 0, errBroken
	}
	body = b[frameBytes : frameBytes+int(n)]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return nil, 0, errBroken
	}
	return body, frameBytes + int(n), nil
}

// decodeRecord reads a record's body. Its byte slices are parts of body.
func decodeRecord(body []byte) (Record, error) {
	d := decoder{rest: body}
	r := Record{Sequence: d.uint64(), Time: time.UnixMilli(int64(d.uint64()))}
	r.Listed = d.byte()&flagListed != 0
	r.Namespace = d.text()
	r.Rooms = d.texts()
	r.Except = d.texts()
	r.Kind = d.text()
	r.Data = d.bytes()
	if n := d.count(); n > 0 {
		r.Attachments = make([][]byte, 0, n)
		for range n {
			r.Attachments = append(r.Attachments, d.bytes())
		}
	}
	return r, d.end()
}

// summary is what the index needs of a record.
type summary struct {
	sequence uint64
	millis   int64
	listed   bool
	kind     []byte
}

// summarize reads that much of a record's body.
func summarize(body []byte) (summary, error) {
	d := decoder{rest: body}
	s := summary{sequence: d.uint64(), millis: int64(d.uint64())}
	s.listed = d.byte()&flagListed != 0
	d.bytes()
	for range 2 {
		for range d.count() {
			d.bytes()
		}
	}
	s.kind = d.bytes()
	if d.failed {
		return s, errBroken
	}
	return s, nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTexts(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendText(b, s)
	}
	return b
}

func appendBytes(b, p []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(p))), p...) }

// decoder reads a body from front to back. After the first failure it returns
// nothing but zeros.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) fail() {
	d.rest, d.failed = nil, true
}

func (d *decoder) byte() byte {
	if len(d.rest) < 1 {
		d.fail()
		return 0
	}
	v := d.rest[0]
	d.rest = d.rest[1:]
	return v
}

func (d *decoder) uint64() uint64 {
	if len(d.rest) < 8 {
		d.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(d.rest)
	d.rest = d.rest[8:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads the length of a list, whose items take a byte each at least.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail()
		return nil
	}
	p := d.rest[:n:n]
	d.rest = d.rest[n:]
	return p
}

func (d *decoder) text() string { return string(d.bytes()) }

func (d *decoder) texts() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, d.text())
	}
	return list
}

func (d *decoder) end() error {
	if d.failed || len(d.rest) > 0 {
		return errBroken
	}
	return nil
}
