package plugintrust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// PublicKey is a key whose signature on the lock file counts. Its zero value
// verifies nothing.
type PublicKey struct{ key ed25519.PublicKey }

// maxKeyBytes bounds key files and signatures.
const maxKeyBytes = 4 << 10

// ParsePublicKey reads a key as String writes it: the base64 of its PKIX form,
// which is the line between BEGIN and END of a PEM file; a whole PEM text will do.
func ParsePublicKey(text string) (PublicKey, error) {
	const want = "want the base64 line of an ed25519 public key in PEM, which begins with MCowBQYDK2VwAyEA"
	text = strings.TrimSpace(text)
	if block, _ := pem.Decode([]byte(text)); block != nil {
		if block.Type != "PUBLIC KEY" {
			return PublicKey{}, errors.New("it holds a " + block.Type + "; " + want)
		}
		text = base64.StdEncoding.EncodeToString(block.Bytes)
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return PublicKey{}, errors.New("it is no base64; " + want)
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return PublicKey{}, errors.New("it is no public key; " + want)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return PublicKey{}, fmt.Errorf("it is a key of another kind (%T); %s", parsed, want)
	}
	return PublicKey{key}, nil
}

func (k PublicKey) der() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.key)
	if err != nil {
		panic("plugintrust: an ed25519 key cannot be written: " + err.Error()) // a bug of ours
	}
	return der
}

// String is the key as configurations have it, in one line.
func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k.der()) }

// Fingerprint names the key in few letters: the first 32 digits of the SHA-256
// of its PKIX form, in hexadecimal.
func (k PublicKey) Fingerprint() string {
	sum := sha256.Sum256(k.der())
	return hex.EncodeToString(sum[:16])
}

// verifies says whether signature is the key's for text.
func (k PublicKey) verifies(text, signature []byte) bool {
	return len(k.key) == ed25519.PublicKeySize && ed25519.Verify(k.key, text, signature)
}

// PrivateKey signs lock files.
type PrivateKey struct{ key ed25519.PrivateKey }

// Public is the other half, which configurations trust.
func (k PrivateKey) Public() PublicKey { return PublicKey{k.key.Public().(ed25519.PublicKey)} }

// NewKey makes a key pair and writes the private key to a new file that only its
// owner may read (PEM, PKCS #8). A file that is there already is left alone, and
// the error is fs.ErrExist.
func NewKey(file string) (PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return PrivateKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return PrivateKey{}, err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return PrivateKey{}, err
	}
	err = f.Chmod(0o600) // whatever the umask
	if err == nil {
		err = pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(file)
		return PrivateKey{}, err
	}
	return PrivateKey{key}, nil
}

// ReadKey reads a private key from a file as NewKey or OpenSSL writes it. A file
// that others may read or write, or that belongs to somebody else, is refused.
func ReadKey(file string) (PrivateKey, error) {
	text, _, err := readSmall(file, maxKeyBytes)
	if err != nil {
		return PrivateKey{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return PrivateKey{}, err
	}
	if _, _, stranger := Access(info); stranger != "" {
		return PrivateKey{}, &Refusal{fmt.Sprintf("the key %s belongs to %s", file, stranger), "sign as its owner"}
	}
	if readableByOthers(info.Mode()) {
		return PrivateKey{}, &Refusal{fmt.Sprintf("others can read the key %s (mode %04o)", file, info.Mode().Perm()), "run: chmod 600 " + file}
	}
	const remedy = "name the private key that host plugins keygen made, or that of: openssl genpkey -algorithm ed25519"
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return PrivateKey{}, &Refusal{file + " holds no private key in PEM (PKCS #8, without a passphrase)", remedy}
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return PrivateKey{}, &Refusal{file + " holds no private key that can be read", remedy}
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return PrivateKey{}, &Refusal{fmt.Sprintf("%s holds a key of another kind (%T)", file, parsed), remedy}
	}
	return PrivateKey{key}, nil
}

// Sign signs the lock file of dir as it is: a file beside it gets the signature
// of its bytes, as one line of base64.
func Sign(dir string, key PrivateKey) error {
	text, _, err := readTrusted(dir, LockName, maxLockBytes)
	if err != nil {
		return err
	}
	if _, err := ParseLock(text); err != nil {
		return &Refusal{LockName + " " + err.Error(), "write it anew: host plugins lock"}
	}
	line := base64.StdEncoding.EncodeToString(ed25519.Sign(key.key, text)) + "\n"
	return replace(filepath.Join(dir, SignatureName), []byte(line), 0o644)
}

// signer finds the key that signed text.
func signer(keys []PublicKey, text, signature []byte) (PublicKey, bool) {
	raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(signature)))
	if err != nil {
		return PublicKey{}, false
	}
	for _, k := range keys {
		if k.verifies(text, raw) {
			return k, true
		}
	}
	return PublicKey{}, false
}
