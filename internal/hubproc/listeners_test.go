package hubproc

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestLocalhostIsBothLoopbacksOnOnePort(t *testing.T) {
	l, err := Listen("localhost", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := []string{"127.0.0.1:" + strconv.Itoa(l.Port())}
	if hasIPv6Loopback(t) {
		want = append(want, "[::1]:"+strconv.Itoa(l.Port()))
	}
	if got := l.Addrs(); strings.Join(got, " ") != strings.Join(want, " ") || l.Port() == 0 {
		t.Errorf("bound %v, want %v", got, want)
	}
}

func TestOtherHostIsOneAddress(t *testing.T) {
	l, err := Listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Addrs(); len(got) != 1 || got[0] != "127.0.0.1:"+strconv.Itoa(l.Port()) {
		t.Errorf("bound %v", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Listen("127.0.0.1", l.Port())
	if err != nil {
		t.Fatalf("the port is not free after Close: %v", err)
	}
	again.Close()
}

func TestPortOfAStrangerIsNamedAndNothingStaysBound(t *testing.T) {
	families := []string{"127.0.0.1"}
	if hasIPv6Loopback(t) {
		families = append(families, "::1")
	}
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			stranger, err := net.Listen("tcp", net.JoinHostPort(family, "0"))
			if err != nil {
				t.Fatal(err)
			}
			defer stranger.Close()
			port := stranger.Addr().(*net.TCPAddr).Port
			l, err := Listen("localhost", port)
			var inUse *InUseError
			if l != nil || !errors.As(err, &inUse) || inUse.Addr != stranger.Addr().String() || !isInUse(err) {
				t.Fatalf("got %v, %v, want an InUseError for %v", l, err, stranger.Addr())
			}
			for _, other := range families {
				if other == family {
					continue
				}
				free, err := net.Listen("tcp", net.JoinHostPort(other, strconv.Itoa(port)))
				if err != nil {
					t.Errorf("the other loopback stays bound: %v", err)
					continue
				}
				free.Close()
			}
		})
	}
}

func TestImpossibleAddressesAreExplained(t *testing.T) {
	for _, c := range []struct {
		host string
		port int
		want string
	}{
		{"localhost", -1, "0 to 65535"},
		{"localhost", 65536, "0 to 65535"},
		{"192.0.2.1", 0, "choose an address of this machine"},
	} {
		l, err := Listen(c.host, c.port)
		if l != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Listen(%q, %d): %v, want %q", c.host, c.port, err, c.want)
		}
	}
}

func hasIPv6Loopback(t *testing.T) bool {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}
