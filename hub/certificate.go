package hub

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// certificateInterval is how often the files of a certificate are looked at, at most.
const certificateInterval = time.Second

// certificateBytes bounds what is read of one file.
const certificateBytes = 1 << 20

// TLS says where the certificate is that clients see. The files are looked at again
// when a client connects, at most once a second: new ones take effect without a
// restart, and where they are not in order the old certificate stays, and the log
// says why.
type TLS struct {
	// CertificateFile holds the certificate and those that lead to a known
	// authority, KeyFile its private key, both in PEM. Both empty: no TLS.
	CertificateFile, KeyFile string
	// Certificate and Key are what the files held when they were last in order, to
	// serve with when New finds them otherwise. Empty: then New fails.
	Certificate, Key []byte
}

// Enabled reports whether clients must use TLS.
func (t TLS) Enabled() bool { return t.CertificateFile != "" || t.KeyFile != "" }

// Load reads the files. The error names the one that is wrong.
func (t TLS) Load() (certificate, key []byte, pair *tls.Certificate, err error) {
	if certificate, err = readBounded(t.CertificateFile); err != nil {
		return nil, nil, nil, fmt.Errorf("read the certificate: %w", err)
	}
	if key, err = readBounded(t.KeyFile); err != nil {
		return nil, nil, nil, fmt.Errorf("read the certificate's key: %w", err)
	}
	loaded, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return certificate, key, nil, fmt.Errorf("certificate %s with key %s: %w", t.CertificateFile, t.KeyFile, err)
	}
	return certificate, key, &loaded, nil
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > certificateBytes { // a pipe would wait for ever
		return nil, fmt.Errorf("%s is no file of at most 1 MiB", path)
	}
	return os.ReadFile(path)
}

// certificates has the certificate in force.
type certificates struct {
	files TLS
	log   hclog.Logger

	current atomic.Pointer[tls.Certificate]
	looking atomic.Bool  // one handshake looks at the files; the others do not wait
	looked  atomic.Int64 // nanoseconds since 1970
	seen    [sha256.Size]byte
}

// newCertificates reads the certificate, or takes the one handed over.
func newCertificates(files TLS, log hclog.Logger) (*certificates, error) {
	c := &certificates{files: files, log: log}
	certificate, key, pair, err := files.Load()
	if err != nil && len(files.Certificate) > 0 {
		handed, fallbackErr := tls.X509KeyPair(files.Certificate, files.Key)
		if fallbackErr == nil {
			log.Error("the certificate's files are not in order: serving with the one before", "error", err)
			pair, err = &handed, nil
		}
	}
	if err != nil {
		return nil, err
	}
	c.seen = sumOf(certificate, key)
	c.current.Store(pair)
	c.looked.Store(time.Now().UnixNano())
	return c, nil
}

// config is for tls.NewListener. HTTP/2 is not offered: it cannot become a WebSocket.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.look(time.Now())
			return c.current.Load(), nil
		},
	}
}

// look takes new files into use.
func (c *certificates) look(now time.Time) {
	if now.Sub(time.Unix(0, c.looked.Load())) < certificateInterval || !c.looking.CompareAndSwap(false, true) {
		return
	}
	defer c.looking.Store(false)
	c.looked.Store(now.UnixNano())
	certificate, key, pair, err := c.files.Load()
	sum := sumOf(certificate, key)
	if sum == c.seen {
		return
	}
	c.seen = sum // what is wrong is said once
	if err != nil {
		c.log.Error("the certificate's new files are not in order: the old certificate stays", "error", err)
		return
	}
	c.current.Store(pair)
	c.log.Info("a new certificate is in use", "subject", pair.Leaf.Subject.String(), "not_after", pair.Leaf.NotAfter)
}

func sumOf(certificate, key []byte) [sha256.Size]byte {
	return sha256.Sum256(bytes.Join([][]byte{certificate, key}, []byte{0}))
}

// breakOff closes a connection at once. Closing a TLS connection would first send
// its client a last message, and wait for one that takes nothing.
func breakOff(conn net.Conn) error {
	if secured, ok := conn.(*tls.Conn); ok {
		return secured.NetConn().Close()
	}
	return conn.Close()
}
