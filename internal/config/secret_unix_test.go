//go:build unix

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASecretThatOthersCanReadIsSaid(t *testing.T) {
	dir := t.TempDir()
	token, file := filepath.Join(dir, "token"), filepath.Join(dir, "upkeep.json")
	for path, text := range map[string]string{token: "0123456789abcdef", file: `{"admin": {"token": "0123456789abcdef"}}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []Sources{{File: file}, {Environ: []string{"UPKEEP_ADMIN__TOKEN_FILE=" + token}}} {
		_, origins, err := Load(s)
		notices := origins.Notices()
		if err != nil || len(notices) != 1 || notices[0].Key != "admin.token" || !strings.Contains(notices[0].Text, "chmod 600") {
			t.Errorf("notices %v, %v", notices, err)
		}
	}
	open := filepath.Join(dir, "no-secret.json")
	if err := os.WriteFile(open, []byte(`{"admin": {"token": ""}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, origins, err := Load(Sources{File: open}); err != nil || len(origins.Notices()) > 0 {
		t.Errorf("notices %v about a file without a secret, %v", origins.Notices(), err)
	}
}
