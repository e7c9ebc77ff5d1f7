package pluginhost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// manifest is the optional plugin.json.
type manifest struct {
	Description string         `json:"description"`
	Command     string         `json:"command"`
	Args        []string       `json:"args"`
	Config      map[string]any `json:"config"`
	SHA256      string         `json:"sha256"`

	file plugintrust.File // its own size and checksum
}

const (
	maxManifestBytes = 64 << 10
	maxDescription   = 1024
)

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// readManifest reads the plugin.json of a folder; without one the zero value.
func readManifest(root, folder string) (m manifest, warning string, refusal *distrust) {
	path := filepath.Join(folder, manifestName)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return m, "", nil
	}
	path, refusal = inside(root, path)
	if refusal != nil {
		return m, "", &distrust{manifestName + " " + refusal.reason, refusal.remedy}
	}
	info, err := os.Stat(path)
	if err != nil {
		return m, "", &distrust{manifestName + ": " + pathCause(err).Error(), "let the user that runs host read it"}
	}
	if !info.Mode().IsRegular() {
		return m, "", &distrust{manifestName + " is no regular file (" + plugintrust.KindOf(info.Mode()) + ")", "replace it by a file"}
	}
	if warning, refusal = trust(path, info); refusal != nil {
		return m, "", refusal
	}
	file, _, err := plugintrust.Open(path)
	if err != nil {
		return m, "", &distrust{manifestName + ": " + pathCause(err).Error(), "let the user that runs host read it"}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxManifestBytes+1))
	if err != nil {
		return m, "", &distrust{manifestName + ": " + pathCause(err).Error(), "let the user that runs host read it"}
	}
	m, err = parseManifest(text)
	if err != nil {
		return m, "", &distrust{fmt.Sprintf("%s: %v", manifestName, err),
			`correct it; it may have "description", "command", "args", "config" and "sha256"`}
	}
	m.file, err = plugintrust.Sum(bytes.NewReader(text))
	if err != nil {
		return m, "", &distrust{manifestName + ": " + err.Error(), "let the user that runs host read it"}
	}
	return m, warning, nil
}

func parseManifest(text []byte) (manifest, error) {
	var m manifest
	if len(text) > maxManifestBytes {
		return m, fmt.Errorf("is larger than %d KiB", maxManifestBytes>>10)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return manifest{}, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return manifest{}, errors.New("has text after its closing brace")
	}
	m.SHA256 = strings.ToLower(m.SHA256)
	if m.SHA256 != "" && !sha256Hex.MatchString(m.SHA256) {
		return manifest{}, errors.New("sha256 must be 64 hexadecimal digits")
	}
	if strings.ContainsRune(m.Command+strings.Join(m.Args, ""), 0) {
		return manifest{}, errors.New("command and args must not hold a NUL")
	}
	m.Description = cleanText(m.Description, maxDescription)
	return m, nil
}
