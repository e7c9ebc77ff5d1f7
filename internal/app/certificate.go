package app

import (
	"crypto/tls"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/config"
	"github.com/upkeephub/upkeep/internal/doctor"
	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
)

const (
	// certificateBytes bounds what is read of a certificate's file.
	certificateBytes = 1 << 20
	// expiresSoon is how long before its end a certificate is said to end.
	expiresSoon = 14 * 24 * time.Hour
)

// certificate is what the hub serves with over TLS. The hub looks at the files by
// itself; what host has read of them is for a hub that starts while they are not in
// order.
type certificate struct {
	files config.TLS

	mu   sync.Mutex
	good *hubv1.TLS // as last read in order
}

// read looks at the files and keeps what they hold when they are in order. The
// error is a *problem.Error.
func (c *certificate) read() (notAfter time.Time, err error) {
	pair, pem, key, err := readPair(c.files)
	if err != nil {
		return time.Time{}, &problem.Error{
			Code: problem.ConfigInvalid, What: "the certificate of server.tls cannot be used", Why: err.Error(), Err: err,
			Steps: []string{
				"see that both files are in PEM, belong together and can be read by this user: " + c.files.Certificate + " and " + c.files.Key,
				"show what is in the certificate: openssl x509 -noout -subject -enddate -in " + c.files.Certificate,
			},
			Context: map[string]any{"certificate": c.files.Certificate, "key": c.files.Key},
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.good = &hubv1.TLS{CertificateFile: c.files.Certificate, KeyFile: c.files.Key, Certificate: pem, Key: key}
	return pair.Leaf.NotAfter, nil
}

// settings are for a hub that is about to start.
func (c *certificate) settings() *hubv1.TLS {
	_, _ = c.read() // else the one before serves; the hub says why
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.good
}

func readPair(files config.TLS) (pair tls.Certificate, pem, key []byte, err error) {
	if pem, err = readBounded(files.Certificate); err == nil {
		key, err = readBounded(files.Key)
	}
	if err == nil {
		pair, err = tls.X509KeyPair(pem, key)
	}
	return pair, pem, key, err
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > certificateBytes {
		return nil, fmt.Errorf("%s is no file of at most 1 MiB", path)
	}
	return os.ReadFile(path)
}

// openKey says that others than its owner may read a private key.
func openKey(path string) bool {
	info, err := os.Stat(path)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0
}

// checkCertificate reads the certificate before anything is opened, and tells what
// is odd about it and about the tokens.
func (a *App) checkCertificate() error {
	t := a.cfg.Server.TLS
	if !t.Enabled() {
		if a.cfg.Server.Tokens.Required() && !Loopback(a.cfg.Server.Host) {
			a.log.Warn("tokens and events can be read on their way: clients connect without TLS", "hint", "set server.tls, or put a proxy with TLS in front")
		}
		return nil
	}
	a.certificate = &certificate{files: t}
	return a.readCertificate()
}

// readCertificate reads the certificate's files again. Bad ones are an error, and
// the hub goes on with what it has.
func (a *App) readCertificate() error {
	if a.certificate == nil {
		return nil
	}
	notAfter, err := a.certificate.read()
	if err != nil {
		return err
	}
	switch left := time.Until(notAfter); {
	case left <= 0:
		a.log.Error("the certificate has expired: clients will refuse it", "certificate", a.certificate.files.Certificate, "not_after", notAfter)
	case left < expiresSoon:
		a.log.Warn("the certificate expires soon", "certificate", a.certificate.files.Certificate, "not_after", notAfter)
	}
	if key := a.certificate.files.Key; openKey(key) {
		a.log.Warn("others can read the certificate's key", "key", key, "hint", "chmod 600 "+key)
	}
	return nil
}

// tokenPolicy is what the configuration says about clients' tokens; nil: nothing.
func tokenPolicy(t config.Tokens) *hubv1.TokenPolicy {
	if !t.Required() {
		return nil
	}
	policy := &hubv1.TokenPolicy{SigningKey: []byte(t.SigningKey)}
	for _, token := range t.ClientTokens() {
		policy.Fixed = append(policy.Fixed, &hubv1.Token{Name: token.Name, Value: token.Value, Roles: token.Roles})
	}
	return policy
}

// examineCertificate is what doctor wants to know.
func examineCertificate(t config.TLS) func() (doctor.Certificate, error) {
	if !t.Enabled() {
		return nil
	}
	return func() (doctor.Certificate, error) {
		c := doctor.Certificate{File: t.Certificate, Key: t.Key, OpenKey: openKey(t.Key)}
		pair, _, _, err := readPair(t)
		if err != nil {
			return c, err
		}
		c.Subject, c.NotBefore, c.NotAfter = pair.Leaf.Subject.String(), pair.Leaf.NotBefore, pair.Leaf.NotAfter
		return c, nil
	}
}
