package fleet

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Acked says how fast events were acknowledged.
type Acked struct {
	Acks          int64
	Elapsed       time.Duration
	Before, After Usage
	P50, P99      time.Duration
}

// Acknowledge publishes with one event in flight: the next one is sent when the
// acknowledgement of the last one is there. It needs no members. usage is called
// at the begin and the end of the measurement.
func (f *Fleet) Acknowledge(ctx context.Context, warm, measure time.Duration, usage func() (Usage, error)) (Acked, error) {
	if _, err := f.Gather(ctx, f.Members()+1, 1); err != nil {
		return Acked{}, err
	}
	c := f.members[len(f.members)-1]
	if err := f.Idle(ctx, 500*time.Millisecond); err != nil {
		return Acked{}, err
	}
	if c.state != joined {
		return Acked{}, fmt.Errorf("the publisher was disconnected: %w", c.why)
	}
	// From here on the socket is this function's alone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.EpollCtl(f.epoll, unix.EPOLL_CTL_DEL, int(c.fd), nil); err != nil {
		return Acked{}, fmt.Errorf("epoll: %w", err)
	}
	defer f.drop(c, nil)
	if err := unix.SetNonblock(int(c.fd), false); err != nil {
		return Acked{}, err
	}
	timeout := unix.NsecToTimeval(int64(5 * time.Second))
	_ = unix.SetsockoptTimeval(int(c.fd), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)
	_ = unix.SetsockoptTimeval(int(c.fd), unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout)

	var a Acked
	var err error
	var packet, frame, rest []byte
	var took []uint32
	begin, seq := f.now()+int64(warm), int64(0)
	for measuring := false; ; seq++ {
		now := f.now()
		if !measuring && now >= begin {
			measuring, begin, took = true, now, took[:0]
			if a.Before, err = usage(); err != nil {
				return a, err
			}
		}
		if measuring && now >= begin+int64(measure) {
			break
		}
		if ctx.Err() != nil {
			return a, ctx.Err()
		}
		packet = appendEvent(packet[:0], seq, seq)
		frame = appendFrame(frame[:0], opText, packet)
		if n, err := unix.Write(int(c.fd), frame); err != nil || n < len(frame) {
			return a, fmt.Errorf("publish event %d: %d of %d bytes: %w", seq, n, len(frame), err)
		}
		if rest, err = f.awaitAck(c, rest, seq); err != nil {
			return a, fmt.Errorf("the acknowledgement of event %d: %w", seq, err)
		}
		took = append(took, uint32(min((f.now()-now)/1000, 1<<32-1)))
	}
	a.Elapsed, a.Acks = time.Duration(f.now()-begin), int64(len(took))
	if a.After, err = usage(); err != nil {
		return a, err
	}
	slices.Sort(took)
	if len(took) > 0 {
		a.P50 = time.Duration(took[len(took)/2]) * time.Microsecond
		a.P99 = time.Duration(took[len(took)*99/100]) * time.Microsecond
	}
	return a, nil
}

// awaitAck reads until the acknowledgement of that number; any other one is an
// error. It returns what it read beyond.
func (f *Fleet) awaitAck(c *client, data []byte, id int64) ([]byte, error) {
	data = f.buffer[:copy(f.buffer[:], data)]
	want := "43" + strconv.FormatInt(id, 10) + "["
	for {
		opcode, payload, n, err := nextFrame(data)
		switch {
		case err != nil:
			return nil, err
		case n == 0:
			had := copy(f.buffer[:], data)
			n, err := unix.Read(int(c.fd), f.buffer[had:])
			if err == unix.EINTR {
				n, err = 0, nil
			} else if n == 0 && err == nil {
				err = errors.New("the server closed the connection")
			}
			if err != nil {
				return nil, err
			}
			data = f.buffer[:had+n]
			continue
		case opcode == opClose:
			return nil, fmt.Errorf("the server closed the WebSocket: % x", payload)
		}
		data = data[n:]
		switch {
		case opcode != opText:
		case len(payload) >= len(want) && string(payload[:len(want)]) == want:
			return slices.Clone(data), nil
		case len(payload) > 1 && payload[0] == '4' && payload[1] == '3':
			return nil, fmt.Errorf("another one came: %s", payload)
		case len(payload) > 0 && payload[0] == '2':
			if err := c.send(pongFrame); err != nil {
				return nil, err
			}
		}
	}
}
