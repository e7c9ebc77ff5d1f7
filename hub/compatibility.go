package hub

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

const (
	// unknownVersion stands for a client that says no version we can read.
	unknownVersion = "unknown"
	// clientConstraint is the range of client versions that work with this server.
	clientConstraint = ">=0.7.0"
	minPython        = "3.8"
	minSocketIO      = "5.11.0"
	// socketIOVersion is the python-socketio release whose behaviour on the wire
	// this server has. Clients compare it with socketio_min.
	socketIOVersion = "5.11.0"
	// maxVersionLength bounds what a client may call its version, in bytes.
	maxVersionLength = 64
)

var oldestClient = semver.MustParse("0.7.0")

// features are what clients may rely on. The reference's come first and stay:
// clients look for them by name and count them.
var features = []string{
	"persistent_server",
	"version_compatibility",
	"process_isolation",
	"health_monitoring",
	"advanced_health_monitoring",
	"automatic_recovery",
	"circuit_breaker",
	"resource_monitoring",
	"event_namespacing",
	"comprehensive_diagnostics",
	"metrics_export",
}

// compatibility says whether a client works with this server.
type compatibility struct {
	Compatible        bool         `json:"compatible"`
	ServerVersion     string       `json:"server_version"`
	ClientVersion     string       `json:"client_version"`
	Warnings          []string     `json:"warnings"`
	SupportedFeatures []string     `json:"supported_features"`
	Requirements      requirements `json:"requirements"`
}

type requirements struct {
	MinPython   string `json:"min_python"`
	SocketIOMin string `json:"socketio_min"`
}

// matrixEntry is what one version of the server asks of its clients.
type matrixEntry struct {
	ClientVersions []string `json:"claude_mpm_versions"`
	MinPython      string   `json:"min_python"`
	SocketIOMin    string   `json:"socketio_min"`
	Features       []string `json:"features"`
}

func compatibilityMatrix(serverVersion string) map[string]matrixEntry {
	return map[string]matrixEntry{serverVersion: {
		ClientVersions: []string{clientConstraint},
		MinPython:      minPython,
		SocketIOMin:    minSocketIO,
		Features:       features,
	}}
}

// judge compares what a client gave as its version. given is nil when it gave
// nothing, which is no reason to warn; every other value that is not a readable
// version is.
func judge(serverVersion string, given any) compatibility {
	c := compatibility{
		Compatible:        true,
		ServerVersion:     serverVersion,
		ClientVersion:     unknownVersion,
		Warnings:          []string{},
		SupportedFeatures: features,
		Requirements:      requirements{MinPython: minPython, SocketIOMin: minSocketIO},
	}
	text, isText := given.(string)
	if given == nil || text == unknownVersion {
		return c
	}
	release, readable := releaseOf(text)
	if !isText || !readable {
		c.Warnings = append(c.Warnings,
			"the client version cannot be read; it is treated as unknown. Send claude_mpm_version as text such as 0.7.0")
		return c
	}
	c.ClientVersion = text
	if release.LessThan(oldestClient) {
		c.Compatible = false
		c.Warnings = append(c.Warnings, fmt.Sprintf(
			"client version %s is older than 0.7.0, the oldest one that works with server %s; update the client",
			text, serverVersion))
	}
	return c
}

// pythonVersion reads the versions that semver refuses: PEP 440 spellings such
// as 0.7.0.dev1, 0.7.0rc1, 1!0.7, and releases of two or four numbers. Only its
// first three numbers matter to us.
var pythonVersion = regexp.MustCompile(
	`^(?:(\d+)!)?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.\d+)*` + // epoch, release
		`(?:[-_.]?(?:a|b|c|rc|alpha|beta|pre|preview)[-_.]?\d*)?` + // pre-release
		`(?:-\d+|[-_.]?(?:post|rev|r)[-_.]?\d*)?` + // post-release
		`(?:[-_.]?dev[-_.]?\d*)?` + // development release
		`(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?$`) // local version

// releaseOf reads a client's version and returns its release, without the
// pre-release part: a client installed from the 0.7.0 branch calls itself
// 0.7.0-dev and must be let in as 0.7.0.
func releaseOf(text string) (*semver.Version, bool) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxVersionLength {
		return nil, false
	}
	if v, err := semver.NewVersion(text); err == nil {
		return semver.New(v.Major(), v.Minor(), v.Patch(), "", ""), true
	}
	m := pythonVersion.FindStringSubmatch(strings.TrimPrefix(strings.ToLower(text), "v"))
	if m == nil {
		return nil, false
	}
	var release [3]uint64
	for i := range release {
		if m[i+2] == "" {
			continue
		}
		n, err := strconv.ParseUint(m[i+2], 10, 64)
		if err != nil {
			return nil, false
		}
		release[i] = n
	}
	if m[1] != "" && strings.Trim(m[1], "0") != "" {
		// A later epoch is newer than any release of this one.
		release[0] = max(release[0], 1)
	}
	return semver.New(release[0], release[1], release[2], "", ""), true
}
