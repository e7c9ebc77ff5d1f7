package trial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// coreVersion is the version of go-plugin's handshake itself.
const coreVersion = 1

// Handshake is what a plugin prints first:
// CORE|VERSION|NETWORK|ADDRESS|grpc[|CERTIFICATE[|MULTIPLEX]].
type Handshake struct {
	// Version is the protocol version that the plugin chose.
	Version int
	// Network is "unix" or "tcp"; Address a path, or a loopback address and port.
	Network, Address string
}

// ParseHandshake reads the first line that a plugin prints. The error says
// what is wrong with it.
func ParseHandshake(line string) (Handshake, error) {
	fields := strings.Split(strings.TrimSpace(line), "|")
	if len(fields) < 4 {
		if line == "" {
			return Handshake{}, errors.New("it printed nothing")
		}
		return Handshake{}, fmt.Errorf("it printed %s instead of the handshake", quoted(line))
	}
	if core, err := strconv.Atoi(fields[0]); err != nil || core != coreVersion {
		return Handshake{}, fmt.Errorf("the first field of its handshake %s is not %d", quoted(line), coreVersion)
	}
	version, err := strconv.Atoi(fields[1])
	if err != nil {
		return Handshake{}, fmt.Errorf("the version in its handshake %s is no number", quoted(line))
	}
	h := Handshake{Version: version, Network: fields[2], Address: fields[3]}
	switch h.Network {
	case "unix":
		if h.Address == "" {
			return h, fmt.Errorf("its handshake %s has no path", quoted(line))
		}
	case "tcp":
		at, err := netip.ParseAddrPort(h.Address)
		if err != nil || !at.Addr().IsLoopback() {
			return h, fmt.Errorf("its handshake %s names no port of this machine", quoted(line))
		}
	default:
		return h, fmt.Errorf("the network in its handshake %s is neither unix nor tcp", quoted(line))
	}
	if len(fields) < 5 || fields[4] != "grpc" {
		return h, fmt.Errorf("the fifth field of its handshake %s is not grpc", quoted(line))
	}
	if len(fields) > 5 && fields[5] != "" {
		return h, fmt.Errorf("its handshake %s has a certificate, and none was asked for", quoted(line))
	}
	return h, nil
}

// quoted shows a foreign text, cut.
func quoted(text string) string {
	const most = 120
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strconv.Quote(text)
}

func (h Handshake) dial(ctx context.Context, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, h.Network, h.Address)
}

// ready waits until the connection stands.
func ready(ctx context.Context, conn *grpc.ClientConn) error {
	conn.Connect()
	for {
		switch state := conn.GetState(); state {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure, connectivity.Shutdown:
			return errors.New("the connection failed")
		default:
			if !conn.WaitForStateChange(ctx, state) {
				return ctx.Err()
			}
		}
	}
}
