package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/test/rig"
)

// hubCertificate is a pair of files that host serves with.
type hubCertificate struct{ certificate, key string }

// write puts a new certificate for a name into the files, as a renewal does.
func (c hubCertificate) write(t testing.TB, name string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	c.fill(t, c.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	c.fill(t, c.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

func (c hubCertificate) fill(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// anyCertificate is for tests, whose certificates nobody vouches for.
var anyCertificate = &tls.Config{InsecureSkipVerify: true}

// shown is the name in the certificate that a client is shown.
func shown(h *rig.Host) (string, error) {
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: anyCertificate}
	conn, err := dialer.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.Port)))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func awaitShown(t testing.TB, h *rig.Host, when, want string) {
	t.Helper()
	eventually(t, 20*time.Second, when+" clients are shown the certificate "+want, func() error {
		name, err := shown(h)
		if err == nil && name != want {
			err = fmt.Errorf("they are shown %s", name)
		}
		return err
	})
}

// getTLS fetches a path of the public port with a token; empty: without one.
func getTLS(t testing.TB, h *rig.Host, path, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, "https"+strings.TrimPrefix(h.URL(path), "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: anyCertificate, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// One host for all of it: reachable by others, over TLS, for those who have a token.
func TestAHostThatOthersReachServesOverTLSThoseWhoHaveATokenAndStaysHealthy(t *testing.T) {
	t.Parallel()
	const agent, reader = "a-token-for-the-agent", "a-token-for-the-reader"
	dir := t.TempDir()
	files := hubCertificate{filepath.Join(dir, "hub.crt"), filepath.Join(dir, "hub.key")}
	files.write(t, "first")
	h := launch(t, rig.Options{Args: []string{"--host", "0.0.0.0", "--config", configFile(t, map[string]any{
		"server": map[string]any{
			"tls":    map[string]any{"certificate": files.certificate, "key": files.key},
			"tokens": map[string]any{"fixed": "agent:publish:" + agent + "\nreader:history+status:" + reader},
		},
	})}})
	awaitShown(t, h, "at the start", "first")
	eventually(t, 20*time.Second, "the first screen names https", func() error {
		if text := h.Output.Text(); !regexp.MustCompile(`listening +https://\S+:` + strconv.Itoa(h.Port)).MatchString(text) {
			return fmt.Errorf("it is:\n%s", text)
		}
		return nil
	})
	if pid, err := h.PIDFile(); err != nil || pid["tls"] != true {
		t.Errorf("the PID file says tls %v, %v", pid["tls"], err)
	}
	// The checker's probe passes TLS and tokens.
	wellAgain := func() {
		t.Helper()
		eventually(t, 30*time.Second, "the checks find the hub well", func() error {
			r, err := rig.Get(within(t, 5*time.Second), h.AdminURL("/health"))
			if err != nil {
				return err
			}
			checks, _ := r.Object("checks")
			if checks["network_connectivity"] != "healthy" {
				return fmt.Errorf("they say %s", r)
			}
			return nil
		})
	}
	wellAgain()

	d := node(t)
	secure := "https" + strings.TrimPrefix(h.Base(), "http")
	options := map[string]any{"rejectUnauthorized": false}
	for _, transport := range []string{"websocket", "polling", "upgrade"} {
		open(t, d, rig.Open{Client: transport, URL: secure, Transport: transport, Auth: map[string]any{"token": reader}, Options: options})
	}
	open(t, d, rig.Open{Client: "agent", URL: secure, Transport: "websocket", Options: map[string]any{
		"rejectUnauthorized": false, "extraHeaders": map[string]any{"Authorization": "Bearer " + agent},
	}})
	from := d.Mark()
	if _, err := d.Ack(within(t, 10*time.Second), "agent", "claude_event", map[string]any{"n": 1}); err != nil {
		t.Fatal(err)
	}
	for _, transport := range []string{"websocket", "polling", "upgrade"} {
		if o := awaitEvent(t, d, from, transport, "claude_event"); o["n"] != 1.0 {
			t.Errorf("over %s the event is %v", transport, o)
		}
	}
	if err := d.Emit(within(t, 5*time.Second), "polling", "claude_event", map[string]any{"n": 2}); err != nil {
		t.Fatal(err)
	}
	if o := awaitEvent(t, d, from, "polling", "not_allowed"); o["role"] != "publish" {
		t.Errorf("a reader that publishes is told %v", o)
	}
	for client, auth := range map[string]map[string]any{"nobody": nil, "stranger": {"token": "a-token-that-is-guessed"}} {
		if err := d.Open(within(t, 10*time.Second), rig.Open{Client: client, URL: secure, Transport: "websocket", Auth: auth, Options: options}); err != nil {
			t.Fatal(err)
		}
		if n := await(t, d, 0, 10*time.Second, client, "connect_error"); !strings.Contains(n.Reason, "token") {
			t.Errorf("%s is refused with %q", client, n.Reason)
		}
	}
	for _, c := range []struct {
		path, token string
		want        int
	}{{"/health", "", 200}, {"/diagnostics", "", 401}, {"/diagnostics", agent, 403}, {"/diagnostics", reader, 200}} {
		if status, body := getTLS(t, h, c.path, c.token); status != c.want {
			t.Errorf("%s with %q: %d %.200s, want %d", c.path, c.token, status, body, c.want)
		}
	}

	files.write(t, "second")
	awaitShown(t, h, "after a renewal, without a word to host,", "second")
	reload := func(wants string) {
		t.Helper()
		mark := h.Output.Mark()
		if err := h.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Output.WaitLine(within(t, 20*time.Second), mark, func(l rig.Line) bool { return strings.Contains(l.Text, wants) }); err != nil {
			t.Fatalf("after SIGHUP nobody says %q: %v", wants, err)
		}
	}
	reload("nothing has changed") // host has read the second now
	files.fill(t, files.certificate, []byte("broken"))
	reload("the configuration stays as it is")
	old := hubOf(t, h)
	killed := signal(t, old, syscall.SIGKILL)
	eventually(t, 20*time.Second, "there is another hub", func() error {
		s, err := h.Hub()
		if err == nil && s.PID == old.PID {
			err = fmt.Errorf("it is still %d", s.PID)
		}
		return err
	})
	awaitShown(t, h, "with broken files and a new hub", "second")
	measured(t, "kill_until_https", time.Since(killed))
	wellAgain()
	for _, secret := range []string{agent, reader, "a-token-that-is-guessed"} {
		if strings.Contains(h.Output.Text(), secret) {
			t.Errorf("the token %s is in the log", secret)
		}
	}
}
