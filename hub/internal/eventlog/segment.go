package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	segmentSuffix = ".events"
	headerBytes   = 64
	// The parts of a header: magic, generation, base, time of creation, boot, then
	// flags, which change, then the checksum of what does not.
	flagsAt    = 48
	checksumAt = 56
)

// What the flags of a segment say.
const (
	// flagClosed: its writer closed it, so the disk has all of it.
	flagClosed = 1 << iota
	// flagLost: events that followed it may be missing.
	flagLost
	// flagSynced: each event was on the disk before it was delivered.
	flagSynced
)

var magic = []byte("upkeep\x00\x01")

// entry is one event in the index of a segment.
type entry struct {
	kind   uint64 // hash of the kind
	at     uint32 // where its record begins
	listed bool
}

// segment is a run of events, in a file or, when the disk fails, in memory. In both
// its content is the same: a header and records. The log's lock guards it; what is
// below size does not change any more.
type segment struct {
	generation uint64
	base       uint64 // sequence of the first event
	created    time.Time
	boot       [16]byte
	flags      byte

	path   string
	file   *os.File // nil: in memory
	mem    []byte
	size   int64
	index  []entry
	listed int       // entries that are
	last   time.Time // of the newest event
	dirty  bool      // has what is not synced
}

func segmentName(base, generation uint64) string {
	return fmt.Sprintf("%016x-%016x%s", base, generation, segmentSuffix)
}

// parseSegmentName reads what segmentName wrote.
func parseSegmentName(name string) (base, generation uint64, ok bool) {
	text, isSegment := strings.CutSuffix(name, segmentSuffix)
	if !isSegment || len(text) != 33 || text[16] != '-' {
		return 0, 0, false
	}
	base, errB := strconv.ParseUint(text[:16], 16, 64)
	generation, errG := strconv.ParseUint(text[17:], 16, 64)
	return base, generation, errB == nil && errG == nil && segmentName(base, generation) == name
}

func (s *segment) header() []byte {
	h := make([]byte, headerBytes)
	copy(h, magic)
	binary.BigEndian.PutUint64(h[8:], s.generation)
	binary.BigEndian.PutUint64(h[16:], s.base)
	binary.BigEndian.PutUint64(h[24:], uint64(s.created.UnixMilli()))
	copy(h[32:], s.boot[:])
	h[flagsAt] = s.flags
	binary.BigEndian.PutUint32(h[checksumAt:], crc32.Checksum(h[:flagsAt], castagnoli))
	return h
}

func (s *segment) readHeader(h []byte) error {
	if len(h) < headerBytes || !bytes.Equal(h[:8], magic) ||
		crc32.Checksum(h[:flagsAt], castagnoli) != binary.BigEndian.Uint32(h[checksumAt:]) {
		return errBroken
	}
	s.generation = binary.BigEndian.Uint64(h[8:])
	s.base = binary.BigEndian.Uint64(h[16:])
	s.created = time.UnixMilli(int64(binary.BigEndian.Uint64(h[24:])))
	copy(s.boot[:], h[32:48])
	s.flags = h[flagsAt]
	return nil
}

// end is the sequence of the newest event; base-1 when there is none.
func (s *segment) end() uint64 { return s.base + uint64(len(s.index)) - 1 }

// follows reports whether nothing is missing between s and the one before it.
func (s *segment) follows(before *segment) bool {
	return s.base == before.end()+1 && (before.flags&flagLost == 0 || before.generation == s.generation)
}

// createSegment makes the file of s, with what s has in memory. Room for more than
// that is asked for, so that a disk that is all but full counts as full.
func (s *segment) createSegment(dir string) error {
	path := filepath.Join(dir, segmentName(s.base, s.generation))
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	content := append(s.header(), s.mem...)
	_, err = file.WriteAt(make([]byte, len(content)+spareBytes), 0)
	err = errors.Join(err, file.Truncate(0)) // a process that dies here leaves no header, so no segment
	if err == nil {
		_, err = file.WriteAt(content, 0)
	}
	if err != nil {
		_ = file.Close()
		_ = os.Remove(path)
		return err
	}
	s.path, s.file, s.mem = path, file, nil
	s.size = int64(len(content))
	return nil
}

// spareBytes is what must be free for a new segment.
const spareBytes = 8 << 10

// view is a part of a segment that can be read without the log's lock.
type view struct {
	file  *os.File
	mem   []byte
	base  uint64  // sequence of the first event of index
	index []entry // of the part
	end   int64   // where the part ends
}

// from returns what s has from the given sequence on, which it must have.
func (s *segment) from(sequence uint64) view {
	return view{file: s.file, mem: s.mem, base: sequence, index: s.index[sequence-s.base:], end: s.size}
}

// readAt reads from the segment's content. A segment that was deleted meanwhile is
// an error.
func (v *view) readAt(p []byte, off int64) error {
	if v.file != nil {
		_, err := v.file.ReadAt(p, off)
		return err
	}
	if off -= headerBytes; off+int64(len(p)) > int64(len(v.mem)) {
		return io.ErrUnexpectedEOF
	}
	copy(p, v.mem[off:])
	return nil
}

// span says where the records i to j-1 of the index are.
func (v *view) span(i, j int) (at, size int64) {
	at, end := int64(v.index[i].at), v.end
	if j < len(v.index) {
		end = int64(v.index[j].at)
	}
	return at, end - at
}

// write appends framed records.
func (s *segment) write(b []byte) error {
	if s.file == nil {
		s.mem = append(s.mem, b...)
		s.size += int64(len(b))
		return nil
	}
	n, err := s.file.WriteAt(b, s.size)
	if err != nil {
		if n > 0 { // so that no reader takes the part for a broken record
			_ = s.file.Truncate(s.size)
		}
		return err
	}
	s.size += int64(n)
	return nil
}

// mark sets flags in place, which takes no space on the disk.
func (s *segment) mark(flags byte) {
	s.flags |= flags
	if s.file != nil {
		_, _ = s.file.WriteAt([]byte{s.flags}, flagsAt)
	}
}

func (s *segment) note(at int64, sum summary, seed maphash.Seed) {
	s.index = append(s.index, entry{kind: maphash.Bytes(seed, sum.kind), at: uint32(at), listed: sum.listed})
	s.last = time.UnixMilli(sum.millis)
	if sum.listed {
		s.listed++
	}
}

// scan indexes the records from size on. tail tells what stopped it.
func (s *segment) scan(seed maphash.Seed) (tail tail, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return tail, err
	}
	if s.size == 0 {
		h := make([]byte, headerBytes)
		if _, err := s.file.ReadAt(h, 0); err != nil && !errors.Is(err, io.EOF) {
			return tail, err
		}
		if err := s.readHeader(h); err != nil {
			return tail, err
		}
		s.size = headerBytes
	} else {
		var flags [1]byte
		if _, err := s.file.ReadAt(flags[:], flagsAt); err == nil {
			s.flags = flags[0]
		}
	}
	if info.Size() <= s.size {
		return tail, nil
	}
	content := make([]byte, info.Size()-s.size)
	n, err := s.file.ReadAt(content, s.size)
	if err != nil && !errors.Is(err, io.EOF) {
		return tail, err
	}
	content = content[:n]
	for len(content) > 0 {
		body, size, err := nextFrame(content)
		if err == nil {
			var sum summary
			if sum, err = summarize(body); err == nil && sum.sequence != s.end()+1 {
				err = errBroken
			}
			if err == nil {
				s.note(s.size, sum, seed)
			}
		}
		if err != nil {
			tail.bytes = int64(len(content))
			tail.short = isShort(content)
			return tail, nil
		}
		s.size += int64(size)
		content = content[size:]
	}
	return tail, nil
}

// tail is what follows the last whole record of a segment.
type tail struct {
	bytes int64
	// short says that it looks like the beginning of a record whose writer was
	// killed: such an event was never delivered.
	short bool
}

// isShort reports whether b may be the beginning of one record and no more.
func isShort(b []byte) bool {
	if len(b) < frameBytes {
		return true
	}
	n := binary.BigEndian.Uint32(b)
	return n > 0 && n <= maxBody && uint64(n) > uint64(len(b)-frameBytes)
}

func (s *segment) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}

// remove deletes the segment.
func (s *segment) remove() {
	s.close()
	if s.file != nil {
		_ = os.Remove(s.path)
	}
}
