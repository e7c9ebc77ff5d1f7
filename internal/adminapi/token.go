package adminapi

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// TokenFile is the name of the token's file in the state directory.
const TokenFile = "token"

// tokenBytes of chance are in a generated token.
const tokenBytes = 32

// LoadToken reads the token from the state directory, or makes a new one there
// (0600) when there is none, or none that is fit: a file that others could read
// or that is no regular file is replaced, since its content may be known. Call
// it while the directory's lock is held.
func LoadToken(dir string) (string, error) {
	path := filepath.Join(dir, TokenFile)
	if token, ok := readToken(path); ok {
		return token, nil
	}
	random := make([]byte, tokenBytes)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	token := hex.EncodeToString(random)
	f, err := os.CreateTemp(dir, "."+TokenFile+".*") // 0600; a new file, so no link is followed
	if err != nil {
		return "", fmt.Errorf("make the token's file: %w", err)
	}
	_, err = f.WriteString(token + "\n")
	if syncErr := f.Sync(); err == nil {
		err = syncErr
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("make the token's file: %w", err)
	}
	return token, nil
}

// readToken reads a token that only its owner could have read before.
func readToken(path string) (token string, ok bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || open(info) {
		return "", false
	}
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer func() { _ = f.Close() }()
	if again, err := f.Stat(); err != nil || !os.SameFile(info, again) {
		return "", false
	}
	data, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return "", false
	}
	token = strings.TrimSpace(string(data))
	return token, len(token) >= 2*tokenBytes && !strings.ContainsAny(token, " \t\r\n")
}
