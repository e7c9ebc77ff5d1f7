package eventlog

import (
	"errors"
	"strconv"
	"strings"
)

// ErrUnknownOffset says that the log cannot tell what came after an offset: it was
// not given out by this log, or what followed it is not kept any more.
var ErrUnknownOffset = errors.New("unknown offset")

// Offset is a place in a log: behind the event with this sequence.
type Offset struct {
	Generation uint64
	Sequence   uint64
}

// String writes an offset as two numbers of base 36 with a dash between them.
func (o Offset) String() string {
	var room [32]byte
	b := strconv.AppendUint(room[:0], o.Generation, 36)
	b = append(b, '-')
	return string(strconv.AppendUint(b, o.Sequence, 36))
}

// ParseOffset reads what String wrote. Everything else is ErrUnknownOffset.
func ParseOffset(text string) (Offset, error) {
	generation, sequence, ok := strings.Cut(text, "-")
	if !ok {
		return Offset{}, ErrUnknownOffset
	}
	g, errG := strconv.ParseUint(generation, 36, 64)
	s, errS := strconv.ParseUint(sequence, 36, 64)
	o := Offset{Generation: g, Sequence: s}
	if errG != nil || errS != nil || o.String() != text {
		return Offset{}, ErrUnknownOffset
	}
	return o, nil
}
