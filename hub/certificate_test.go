package hub

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// makeCertificate makes a certificate for a name, and its key, in PEM.
func makeCertificate(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func (f TLS) write(t *testing.T, certificate, key []byte) {
	t.Helper()
	for path, data := range map[string][]byte{f.CertificateFile: certificate, f.KeyFile: key} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func certificateFiles(t *testing.T, name string) TLS {
	t.Helper()
	dir := t.TempDir()
	f := TLS{CertificateFile: filepath.Join(dir, "hub.crt"), KeyFile: filepath.Join(dir, "hub.key")}
	certificate, key := makeCertificate(t, name)
	f.write(t, certificate, key)
	return f
}

// presented is the name in the certificate that the hub shows a new client.
func (r *running) presented(t *testing.T) string {
	t.Helper()
	conn, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if proto := conn.ConnectionState().NegotiatedProtocol; proto == "h2" {
		t.Error("HTTP/2 is offered, which cannot become a WebSocket")
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// forget has the next handshake look at the files, as it does after a second.
func (r *running) forget() { r.tls.looked.Store(0) }

func (r *running) dialTLS(t *testing.T) *peer {
	t.Helper()
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	conn, response, err := dialer.Dial("wss"+strings.TrimPrefix(wsURL(r.addr), "ws"), http.Header{"Origin": {"https://" + r.addr}})
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, response)
	}
	t.Cleanup(func() { conn.Close() })
	p := &peer{t: t, conn: conn, events: make(chan event, 4096), acks: make(chan string, 4096),
		joined: make(chan string, 1), refused: make(chan string, 1), closed: make(chan struct{})}
	if _, open, err := conn.ReadMessage(); err != nil || open[0] != '0' {
		t.Fatalf("first message is %q (%v), want OPEN", open, err)
	}
	return p
}

func TestClientsAreServedOverTLS(t *testing.T) {
	r := start(t, Options{TLS: certificateFiles(t, "first")})
	a, b := r.dialTLS(t), r.dialTLS(t)
	a.join("")
	b.join("")
	for _, event := range []string{`421["claude_event",{"type":"x"}]`, `422["claude_event",{"text":"` + strings.Repeat("long", 50_000) + `"}]`} {
		a.send(event)
		a.nextAck(event[2:3] + "[]")
		b.next("claude_event")
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	response, err := client.Get("https://" + r.addr + DefaultPath + "?EIO=4&transport=polling")
	if err != nil {
		t.Fatal(err)
	}
	if status, open := readAnswer(t, response); status != http.StatusOK || open[0] != '0' {
		t.Errorf("polling over TLS: %d %s", status, open)
	}
	response, err = http.Get("http://" + r.addr + "/version")
	if err != nil {
		t.Fatal(err)
	}
	if status, text := readAnswer(t, response); status != http.StatusBadRequest {
		t.Errorf("without TLS: %d %s, want 400", status, text)
	}
}

func TestTheHubStopsWithClientsOverTLSAndTellsThem(t *testing.T) {
	r := start(t, Options{TLS: certificateFiles(t, "first")})
	p := r.dialTLS(t)
	p.join("")
	r.Stop(t.Context(), "the test says so", 0)
	if code := p.closeCode(); code != websocket.CloseGoingAway {
		t.Errorf("closed with %d, want %d", code, websocket.CloseGoingAway)
	}
}

// The client neither reads nor closes. Over TLS, too, nobody else waits for it.
func TestAClientOverTLSThatTakesNothingIsCutOff(t *testing.T) {
	r := start(t, Options{TLS: certificateFiles(t, "first"), MaxQueuedBytes: 1 << 20})
	slow, sender := r.dialTLS(t), r.dialTLS(t)
	slow.send("40")
	eventually(t, "it has joined", func() bool { return r.Statistics().ConnectedClients == 1 })
	sender.join("")
	event := `421["claude_event",{"text":"` + strings.Repeat("x", 500_000) + `"}]`
	for n := 0; r.Statistics().ConnectedClients == 2; n++ {
		if n > 200 {
			t.Fatal("100 MB wait for a client that takes nothing")
		}
		sender.send(event)
		sender.nextAck("1[]")
	}
	sender.roundTrip()
	if !strings.Contains(r.log.String(), "wait to be sent") {
		t.Error("the log does not say why it was cut off")
	}
}

func TestNewCertificateFilesTakeEffectAndBadOnesDoNot(t *testing.T) {
	files := certificateFiles(t, "first")
	r := start(t, Options{TLS: files})
	p := r.dialTLS(t)
	p.join("")
	if got := r.presented(t); got != "first" {
		t.Fatalf("the certificate is for %q, want first", got)
	}
	certificate, key := makeCertificate(t, "second")
	other, _ := makeCertificate(t, "third")
	for _, c := range []struct {
		certificate, key []byte
		want             string
		why              string
	}{
		{other, key, "first", "a certificate that does not fit its key"},
		{certificate, nil, "first", "an empty key: half of an exchange"},
		{certificate, key, "second", "both new"},
		{[]byte("garbage"), key, "second", "no certificate at all"},
		{certificate[:len(certificate)/2], key, "second", "cut off"},
		{certificate, key, "second", "the good ones again"},
	} {
		files.write(t, c.certificate, c.key)
		r.forget()
		if got := r.presented(t); got != c.want {
			t.Errorf("%s: the certificate is for %q, want %s", c.why, got, c.want)
		}
	}
	if err := os.Remove(files.KeyFile); err != nil {
		t.Fatal(err)
	}
	r.forget()
	if got := r.presented(t); got != "second" {
		t.Errorf("without a key's file the certificate is for %q, want second", got)
	}
	p.roundTrip() // who is connected notices nothing
	if log := r.log.String(); strings.Count(log, "the old certificate stays") != 5 || strings.Count(log, "a new certificate is in use") != 2 {
		t.Errorf("want 5 refusals and 2 exchanges in the log:\n%s", log)
	}
}

func TestTheFilesAreLookedAtOnceASecondAtMost(t *testing.T) {
	files := certificateFiles(t, "first")
	c, err := newCertificates(files, start(t, Options{}).opts.Logger)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.looked.Store(began.UnixNano())
	certificate, key := makeCertificate(t, "second")
	files.write(t, certificate, key)
	c.look(began.Add(certificateInterval - time.Millisecond))
	if got := c.current.Load().Leaf.Subject.CommonName; got != "first" {
		t.Errorf("looked within a second: %s", got)
	}
	c.look(began.Add(certificateInterval))
	if got := c.current.Load().Leaf.Subject.CommonName; got != "second" {
		t.Errorf("after a second the certificate is for %s, want second", got)
	}
}

func TestAHubStartsWithTheCertificateBeforeWhenItsFilesAreBroken(t *testing.T) {
	files := certificateFiles(t, "first")
	certificate, key, _, err := files.Load()
	if err != nil {
		t.Fatal(err)
	}
	files.write(t, []byte("broken"), key)
	if _, err := New(Options{ServerID: "x", ServerVersion: "1.0.0", TLS: files}); err == nil || !strings.Contains(err.Error(), files.CertificateFile) {
		t.Errorf("without a certificate: %v, want an error that names the file", err)
	}
	if _, err := New(Options{ServerID: "x", ServerVersion: "1.0.0", TLS: TLS{CertificateFile: files.CertificateFile}}); err == nil {
		t.Error("a certificate without a key is accepted")
	}
	files.Certificate, files.Key = certificate, key
	r := start(t, Options{TLS: files})
	if got := r.presented(t); got != "first" {
		t.Errorf("the certificate is for %q, want first", got)
	}
	certificate, key = makeCertificate(t, "second")
	files.write(t, certificate, key)
	r.forget()
	if got := r.presented(t); got != "second" {
		t.Errorf("with new files the certificate is for %q, want second", got)
	}
}
