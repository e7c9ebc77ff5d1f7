//go:build unix

package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/config"
)

// writeCertificate writes a certificate for a name, and its key, and returns the
// configuration with them.
func writeCertificate(t *testing.T, files config.TLS, name string, life time.Duration) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(life),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, files.Certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, files.Key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
}

func certificateIn(t *testing.T, name string, life time.Duration) (config.TLS, string) {
	t.Helper()
	dir := t.TempDir()
	files := config.TLS{Certificate: filepath.Join(dir, "hub.crt"), Key: filepath.Join(dir, "hub.key")}
	writeCertificate(t, files, name, life)
	return files, fmt.Sprintf(`{"server": {"tls": {"certificate": %q, "key": %q}}}`, files.Certificate, files.Key)
}

func TestAnAddressThatOthersReachNeedsTokensOrSomebodyWhoWantsItSo(t *testing.T) {
	for _, c := range []struct {
		server   string
		insecure bool
		allowed  bool
		why      string
	}{
		{`"host": "0.0.0.0"`, false, false, "everybody could read and send"},
		{`"host": "0.0.0.0"`, true, true, "somebody wants it so"},
		{`"host": "0.0.0.0", "tokens": {"fixed": "agent:publish:0123456789abcdef"}`, false, true, "fixed tokens"},
		{`"host": "::", "tokens": {"signing_key": "0123456789abcdef0123456789abcdef"}`, false, true, "signed tokens"},
		{`"host": "0.0.0.0", "tls": {"certificate": "a", "key": "b"}`, false, false, "TLS alone keeps nobody out"},
	} {
		path := filepath.Join(t.TempDir(), "upkeep.json")
		writeFile(t, path, `{"server": {`+c.server+`}}`)
		_, _, err := Options{ConfigFile: path, InsecureBind: c.insecure}.configuration()
		if (err == nil) != c.allowed {
			t.Errorf("%s: %v, want allowed %v", c.why, err, c.allowed)
		}
	}
}

func TestACertificateThatCannotBeUsedStopsTheStartAndIsNamed(t *testing.T) {
	files, cfg := certificateIn(t, "hub", time.Hour)
	other, _ := certificateIn(t, "other", time.Hour)
	for why, path := range map[string]string{
		"a key of another certificate": other.Key, "no key there": filepath.Join(t.TempDir(), "absent"), "a folder": t.TempDir(), "a certificate for a key": files.Certificate,
	} {
		path, file := strings.Replace(cfg, files.Key, path, 1), filepath.Join(t.TempDir(), "upkeep.json")
		writeFile(t, file, path)
		zero := 0
		_, err := New(Options{Plugins: t.TempDir(), Port: &zero, Admin: AdminOff, ConfigFile: file, StateDir: filepath.Join(t.TempDir(), "state"), Stdout: &safeBuffer{}, Stderr: &safeBuffer{}})
		p, ok := errors.AsType[*problem.Error](err)
		if !ok || p.Code != problem.ConfigInvalid || !strings.Contains(p.Text(), files.Certificate) {
			t.Errorf("%s: %v, want config_invalid that names the files", why, err)
		}
		if ok && strings.Contains(p.Text(), "BEGIN") {
			t.Errorf("%s: the key is shown: %s", why, p.Text())
		}
	}
}

func TestAReloadReadsTheCertificateAndRefusesABadOneWithAllElse(t *testing.T) {
	files, cfg := certificateIn(t, "first", 24*time.Hour)
	h := turn(t, cfg, nil)
	a := (*App)(h.operations)
	if log := h.log.String(); !strings.Contains(log, "the certificate expires soon") {
		t.Errorf("a certificate for a day more is not said to end soon:\n%s", log)
	}
	first := string(a.certificate.settings().GetCertificate())

	writeCertificate(t, files, "second", 90*24*time.Hour)
	if _, err := h.reload(cfg); err != nil {
		t.Fatal(err)
	}
	second := string(a.certificate.settings().GetCertificate())
	if second == first || second == "" {
		t.Error("a hub that starts after the reload gets the certificate before it")
	}
	writeFile(t, files.Certificate, "broken")
	level := strings.Replace(cfg, `{"server"`, `{"logging": {"level": "error"}, "server"`, 1)
	if _, err := h.reload(level); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a reload with a broken certificate ends with %v", err)
	}
	if got := h.setting("logging.level").Value; got != "info" {
		t.Errorf("a reload that is refused has changed the log's level to %v", got)
	}
	if got := string(a.certificate.settings().GetCertificate()); got != second {
		t.Error("a hub that starts now does not get the last good certificate")
	}
}

func TestDoctorReadsTheCertificateThatIsConfigured(t *testing.T) {
	files, cfg := certificateIn(t, "hub.example.org", time.Hour)
	path := filepath.Join(t.TempDir(), "upkeep.json")
	writeFile(t, path, cfg)
	c, err := DoctorInput(Options{ConfigFile: path, StateDir: t.TempDir()}).Certificate()
	if err != nil || !strings.Contains(c.Subject, "hub.example.org") || time.Until(c.NotAfter) > time.Hour || c.File != files.Certificate || c.OpenKey {
		t.Errorf("doctor gets %+v, %v", c, err)
	}
	writeFile(t, files.Key, "broken")
	if _, err := DoctorInput(Options{ConfigFile: path, StateDir: t.TempDir()}).Certificate(); err == nil {
		t.Error("a broken key is no finding")
	}
	if DoctorInput(Options{StateDir: t.TempDir()}).Certificate != nil {
		t.Error("without TLS doctor looks for a certificate")
	}
}

func TestTokensOfTheConfigurationReachTheHubAndNoReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.json")
	writeFile(t, path, `{"server": {"tokens": {"fixed": "agent:history+publish:0123456789abcdef", "signing_key": "0123456789abcdef0123456789abcdef"}}}`)
	opts := Options{ConfigFile: path, StateDir: t.TempDir()}
	cfg, _, err := opts.configuration()
	if err != nil {
		t.Fatal(err)
	}
	policy := tokenPolicy(cfg.Server.Tokens)
	if len(policy.GetFixed()) != 1 || policy.Fixed[0].Name != "agent" || policy.Fixed[0].Value != "0123456789abcdef" ||
		strings.Join(policy.Fixed[0].Roles, " ") != "history publish" || string(policy.SigningKey) != "0123456789abcdef0123456789abcdef" {
		t.Errorf("the policy is not that of the configuration: %d fixed", len(policy.GetFixed()))
	}
	if tokenPolicy(config.Default().Server.Tokens) != nil {
		t.Error("by default there is a policy")
	}
	evidence := DoctorEvidence(opts, DoctorInput(opts))
	for _, secret := range []string{"0123456789abcdef", "0123456789abcdef0123456789abcdef"} {
		found := false
		for _, s := range evidence.Secrets {
			found = found || s == secret
		}
		if !found {
			t.Errorf("%q is not among what a report hides", secret)
		}
		if strings.Contains(string(evidence.Config), secret) {
			t.Errorf("%q is in the configuration of a report", secret)
		}
	}
}
