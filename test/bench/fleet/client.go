package fleet

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// state is how far a client has come.
type state byte

const (
	dialling  state = iota // the TCP connection is being made
	upgrading              // the request is sent
	opening                // Engine.IO's handshake is awaited
	joining                // the namespace connect is sent
	joined
	gone
)

var stateNames = [...]string{"dialling", "upgrading", "opening", "joining", "joined", "gone"}

// client is one Socket.IO client. All but its writing, when it publishes, is the
// loop's.
type client struct {
	fd        int32
	state     state
	publishes bool
	order     order
	rest      []byte // the begin of a frame whose end has not come
	began     int64
	why       error // why it is gone
}

// readBuffer is what one read may bring.
type readBuffer [256 << 10]byte

// source is the address that client i comes from: 25 000 of 127.0.0.0/8, each
// used again only when all were.
func source(i int) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Addr: [4]byte{127, byte(1 + i%100), byte(i / 100 % 250), 1}}
}

// dial begins a connection from source i.
func dial(port, i int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	// The port is chosen at connect, when the destination is known too.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if err = unix.Bind(fd, source(i)); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind to %v: %w", source(i).Addr, err)
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

func upgradeRequest(port int) []byte {
	return fmt.Appendf(nil, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\n"+
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dXBrZWVwLWJlbmNoLWtleQ==\r\nUser-Agent: upkeep-bench\r\n\r\n", port)
}

var (
	endOfHead    = []byte("\r\n\r\n")
	switching    = []byte("HTTP/1.1 101")
	joinAnswer   = []byte("40{")
	joinRefused  = []byte("44")
	joinFrame    = appendFrame(nil, opText, []byte("40"))
	pongFrame    = appendFrame(nil, opText, []byte("3"))
	wsPongFrame  = appendFrame(nil, opPong, nil)
	goodbyeFrame = appendFrame(nil, opClose, []byte{0x03, 0xe8})
)

// send writes a small frame at once. A socket that cannot take it is broken:
// nothing else waits in it.
func (c *client) send(frame []byte) error {
	n, err := unix.Write(int(c.fd), frame)
	if err == nil && n < len(frame) {
		err = fmt.Errorf("the server takes no more")
	}
	return err
}

// take handles all that data holds and returns what is left over, the begin of
// what comes next.
func (f *Fleet) take(c *client, data []byte, now int64) ([]byte, error) {
	if c.state == upgrading {
		end := bytes.Index(data, endOfHead)
		if end < 0 {
			return data, nil
		}
		if !bytes.HasPrefix(data, switching) {
			line, _, _ := bytes.Cut(data, []byte("\r\n"))
			return nil, fmt.Errorf("the upgrade was answered with %q", line)
		}
		data = data[end+len(endOfHead):]
		c.state = opening
	}
	for {
		opcode, payload, n, err := nextFrame(data)
		if err != nil || n == 0 {
			return data, err
		}
		data = data[n:]
		switch opcode {
		case opText:
			if c.state == joined {
				if seq, ok := sequence(payload); ok {
					f.delivered(c, seq, now)
					continue
				}
			}
			if err := f.packet(c, payload); err != nil {
				return nil, err
			}
		case opClose:
			return nil, fmt.Errorf("the server closed the WebSocket: % x", payload)
		case opPing:
			if err := c.send(wsPongFrame); err != nil {
				return nil, err
			}
		}
	}
}

// packet handles all packets but events.
func (f *Fleet) packet(c *client, p []byte) error {
	switch {
	case len(p) == 0:
		return fmt.Errorf("an empty packet")
	case c.state == opening:
		if p[0] != '0' {
			return fmt.Errorf("the first packet is %q", p)
		}
		c.state = joining
		return c.send(joinFrame)
	case c.state == joining && bytes.HasPrefix(p, joinAnswer):
		c.state = joined
		f.joined++
	case bytes.HasPrefix(p, joinRefused):
		return fmt.Errorf("the namespace was refused: %s", p)
	case p[0] == '2':
		if c.publishes { // it alone writes while it publishes
			f.pongs.Add(1)
			return nil
		}
		return c.send(pongFrame)
	case p[0] == '1':
		return fmt.Errorf("the server closed the session")
	}
	return nil
}
