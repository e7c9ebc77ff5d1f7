package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const suffix = ".jsonl"

// maxLine is the longest line that is read; a longer one is no record.
const maxLine = 16 << 20

// segmentPath is the file of a segment.
func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%08d%s", number, suffix))
}

// segments lists the numbers of the segments in dir, oldest first. A folder that
// is not there has none. Other files are nobody's.
func segments(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the journal's segments: %w", err)
	}
	var found []uint64
	for _, e := range entries {
		digits, is := strings.CutSuffix(e.Name(), suffix)
		number, err := strconv.ParseUint(digits, 10, 64)
		if is && err == nil && number > 0 && e.Type().IsRegular() && segmentPath(dir, number) == filepath.Join(dir, e.Name()) {
			found = append(found, number)
		}
	}
	slices.Sort(found)
	return found, nil
}

// openSegment opens a segment to read it.
func openSegment(dir string, number uint64) (*os.File, error) {
	f, err := os.OpenFile(segmentPath(dir, number), os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	return f, nil
}

// eachLine calls take with each line of r, without its end. whole is false for a
// last line that has none. It stops when take returns false.
func eachLine(r io.Reader, take func(line []byte, whole bool) bool) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		var long []byte
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(long) < maxLine {
				long = append(long, line...)
			}
			line, err = lines.ReadSlice('\n')
		}
		if long != nil {
			line = append(long, line...)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		body, whole := bytes.CutSuffix(line, []byte("\n"))
		if len(line) > 0 && !take(body, whole) {
			return nil
		}
		if err != nil {
			return nil
		}
	}
}

// tail is where the valid part of a segment ends.
type tail struct {
	last  Record // zero Seq: it has none
	end   int64  // of the last valid record, with its end of line
	size  int64  // of the file
	first Record // zero Seq: it has none
	after []byte // what follows the last valid record: its first bytes
	sum   string // of all that follows
}

// tailOf reads a segment to find its last valid record. What is altered before
// it is for Verify to find.
func tailOf(dir string, number uint64) (t tail, err error) {
	f, err := openSegment(dir, number)
	if err != nil {
		return t, err
	}
	defer func() { _ = f.Close() }()
	var at int64
	err = eachLine(f, func(line []byte, whole bool) bool {
		at += int64(len(line))
		if whole {
			at++
			if r, bad := parse(line); bad == nil {
				t.last, t.end = r, at
				if t.first.Seq == 0 {
					t.first = r
				}
			}
		}
		return true
	})
	t.size = at
	if err != nil || t.end == t.size {
		return t, err
	}
	rest := make([]byte, min(t.size-t.end, 1<<20))
	n, err := f.ReadAt(rest, t.end)
	if err != nil && !errors.Is(err, io.EOF) {
		return t, err
	}
	rest = rest[:n]
	t.sum, t.after = sum(rest), rest[:min(n, 200)]
	return t, nil
}

// lastOf reads the last valid record of a segment, and the size of its file. It
// reads no more of it than it has to.
func lastOf(dir string, number uint64) (last Record, size int64, err error) {
	f, err := openSegment(dir, number)
	if err != nil {
		return last, 0, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return last, 0, err
	}
	for back := int64(64 << 10); ; back *= 16 {
		from := max(0, info.Size()-back)
		err = eachLine(io.NewSectionReader(f, from, info.Size()-from), func(line []byte, whole bool) bool {
			if r, bad := parse(line); whole && bad == nil {
				last = r
			}
			return true
		})
		if err != nil || last.Seq > 0 || from == 0 {
			return last, info.Size(), err
		}
	}
}

// syncDir makes names in a folder safe from a power failure, where the system
// can do that.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil && !canNotSyncDir(err) {
		return err
	}
	return nil
}
