package plugintrust

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// openssl runs the program, which whoever signs by other means has.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("openssl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestKeysAndSignaturesAreThoseOfOpenSSL(t *testing.T) {
	dir, keys := lockedDir(t), t.TempDir()
	private, lock := filepath.Join(keys, "key.pem"), filepath.Join(dir, LockName)
	openssl(t, "genpkey", "-algorithm", "ed25519", "-out", private)
	if err := os.Chmod(private, 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := ReadKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public := openssl(t, "pkey", "-in", private, "-pubout")
	line := strings.Split(public, "\n")[1]
	for _, text := range []string{public, line} {
		if parsed, err := ParsePublicKey(text); err != nil || parsed.String() != line || parsed.Fingerprint() != key.Public().Fingerprint() {
			t.Errorf("the public key %q is read as %v (%v)", text, parsed, err)
		}
	}

	raw := filepath.Join(keys, "signature")
	openssl(t, "pkeyutl", "-sign", "-rawin", "-inkey", private, "-in", lock, "-out", raw)
	signature, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	place(t, filepath.Join(dir, SignatureName), base64.StdEncoding.EncodeToString(signature), 0o644)
	policy := Policy{Dir: dir, Keys: []PublicKey{key.Public()}}
	if state, err := policy.Read(); err != nil || state.SignedBy != key.Public().Fingerprint() {
		t.Errorf("a lock that openssl signed: %+v, %v", state, err)
	}

	ours := newKey(t)
	if err := Sign(dir, ours); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, SignatureName))
	if err == nil {
		signature, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	}
	if err != nil {
		t.Fatal(err)
	}
	pem := filepath.Join(keys, "ours.pem")
	place(t, raw, string(signature), 0o600)
	place(t, pem, "-----BEGIN PUBLIC KEY-----\n"+ours.Public().String()+"\n-----END PUBLIC KEY-----\n", 0o600)
	openssl(t, "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", pem, "-in", lock, "-sigfile", raw)
}

func TestKeysOfOtherKindsAreRefusedByName(t *testing.T) {
	keys := t.TempDir()
	rsa := filepath.Join(keys, "rsa.pem")
	openssl(t, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", rsa)
	if err := os.Chmod(rsa, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKey(rsa); err == nil || !strings.Contains(err.Error(), "a key of another kind (*rsa.PrivateKey)") {
		t.Errorf("an RSA key: %v", err)
	}
	public := openssl(t, "pkey", "-in", rsa, "-pubout")
	private, err := os.ReadFile(rsa)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		public: "a key of another kind", string(private): "it holds a PRIVATE KEY", "?": "no base64", "aGVsbG8=": "no public key", "": "no public key",
	} {
		if _, err := ParsePublicKey(text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "MCowBQYDK2VwAyEA") {
			t.Errorf("%.30q: %v, want %q and what is wanted instead", text, err, want)
		}
	}
}
