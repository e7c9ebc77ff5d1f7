package fleet

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

func TestThePublishedEventHasTwoHundredBytesWhateverItsNumber(t *testing.T) {
	for _, seq := range []int64{0, 7, 99, 123456, maxEvents} {
		for _, ack := range []int64{-1, 0, 77} {
			packet := appendEvent(nil, seq, ack)
			at := bytes.IndexByte(packet, '[')
			var args []json.RawMessage
			if err := json.Unmarshal(packet[at:], &args); err != nil || len(args) != 2 || len(args[1]) != EventBytes {
				t.Fatalf("%s: %v, the object has %d bytes", packet, err, len(args[1]))
			}
			if got, ok := sequence(packet); ack < 0 && (!ok || got != seq) {
				t.Errorf("%s: number %d, %t", packet, got, ok)
			}
		}
	}
}

func TestNumbersAreReadWhateverAServerAddsAndInWhateverOrder(t *testing.T) {
	for packet, want := range map[string]int64{
		`42["claude_event",{"data":{"text":"x"},"received_at":"now","seq":42,"type":"bench"}]`: 42,
		`42["claude_event",{"type":"bench","seq":0}]`:                                          0,
		`42["claude_event",{"type":"bench","seq":1234567},"an-offset"]`:                        1234567,
		`42["server_status",{"seq":5}]`:                                                        -1,
		`42["claude_event",{"type":"bench"}]`:                                                  -1,
		`42["claude_event",{"seq":"5"}]`:                                                       -1,
		`2`:                                                                                    -1,
	} {
		if got, ok := sequence([]byte(packet)); ok != (want >= 0) || ok && got != want {
			t.Errorf("%s: %d, %t, want %d", packet, got, ok, want)
		}
	}
}

func TestFramesAreCutWhereverTheReadsEnd(t *testing.T) {
	var stream []byte
	var want [][]byte
	for _, n := range []int{0, 1, 125, 126, 127, 300, 65535, 65536, 100_000} {
		payload := bytes.Repeat([]byte{'x'}, n)
		want = append(want, payload)
		frame := appendFrame(nil, opText, payload)
		// What servers send is not masked.
		head := len(frame) - n - len(mask)
		frame[1] &^= 0x80
		stream = append(append(stream, frame[:head]...), payload...)
	}
	for range 50 {
		var rest []byte
		got := 0
		for left := stream; len(left) > 0; {
			n := 1 + rand.IntN(min(len(left), 70_000))
			rest = append(rest, left[:n]...)
			left = left[n:]
			for {
				opcode, payload, n, err := nextFrame(rest)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
				if opcode != opText || !bytes.Equal(payload, want[got]) {
					t.Fatalf("frame %d: opcode %d, %d bytes, want %d", got, opcode, len(payload), len(want[got]))
				}
				got++
				rest = rest[n:]
			}
		}
		if got != len(want) || len(rest) != 0 {
			t.Fatalf("%d frames and %d bytes left, want %d and 0", got, len(rest), len(want))
		}
	}
	if _, _, _, err := nextFrame([]byte{0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255}); err == nil {
		t.Error("a frame of 2^64 bytes is no error")
	}
}

func TestTheClockOfAProcessCountsAllItsThreads(t *testing.T) {
	machine := MachineCPU()
	before, err := ReadUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const each = 100 * time.Millisecond
	done := make(chan struct{}, 2)
	for range 2 {
		go func() {
			for began := OwnCPU(); OwnCPU()-began < each; {
			}
			done <- struct{}{}
		}()
	}
	<-done
	<-done
	after, err := ReadUsage(os.Getpid())
	if err != nil || after.Sum()-before.Sum() < each {
		t.Errorf("%s, %v; want at least %s", after.Sum()-before.Sum(), err, each)
	}
	if busy := MachineCPU() - machine; busy < each-20*time.Millisecond { // it counts hundredths
		t.Errorf("the machine was busy for %s while this process was for %s", busy, each)
	}
	if _, err := ReadUsage(1 << 22); err == nil {
		t.Error("the clock of a process that is not there was read")
	}
	if m, err := ReadMemory(os.Getpid()); err != nil || m.PSS <= 0 || m.PSS > m.RSS {
		t.Errorf("%+v, %v", m, err)
	}
}
