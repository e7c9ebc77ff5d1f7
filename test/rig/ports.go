package rig

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// AdminOffset is how far host's default admin port is above its public port.
const AdminOffset = 10000

// Ports are given out below the range from which kernels take the local ports
// of outgoing connections, so that nobody's connection sits on one meanwhile;
// and above 8765–8769, which clients of the hub probe.
const (
	firstPort = 11000
	lastPort  = 22500
)

var (
	portsMu sync.Mutex
	given   = map[int]bool{}
)

// Port finds a port p such that p and p+AdminOffset are free on 127.0.0.1 and
// ::1. No port is given out twice by one process.
func Port() (int, error) {
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 500 {
		p := firstPort + rand.IntN(lastPort-firstPort)
		if !given[p] && free(p) && free(p+AdminOffset) {
			given[p] = true
			return p, nil
		}
	}
	return 0, errors.New("rig: found no port p with p and p+10000 free: see what listens with ss -ltn")
}

func free(port int) bool {
	for _, host := range []string{"127.0.0.1", "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		switch {
		case err == nil:
			l.Close()
		case host == "::1" && !HasIPv6():
		default:
			return false
		}
	}
	return true
}

// HasIPv6 says whether this machine has the address ::1.
func HasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}
