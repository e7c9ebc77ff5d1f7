// Package sbom says what this program is made of: the modules that the compiler
// wrote into the executable, as a list and as a CycloneDX document. It knows
// nothing of a host; the command line and /diagnostics show what it finds.
package sbom

import (
	"bytes"
	"cmp"
	"encoding/json"
	"runtime"
	"runtime/debug"
	"slices"
)

// Module is a module that is part of this program.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// Sum is the checksum of go.sum; empty for what has none.
	Sum string `json:"sum"`
}

// Modules lists the modules that this program was built from, sorted by path,
// without our own; none when the executable does not say.
func Modules() []Module {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return []Module{}
	}
	return modules(info)
}

func modules(info *debug.BuildInfo) []Module {
	found := make([]Module, 0, len(info.Deps))
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		found = append(found, Module{dep.Path, dep.Version, dep.Sum})
	}
	slices.SortFunc(found, func(a, b Module) int { return cmp.Compare(a.Path, b.Path) })
	return found
}

// component is one entry of a CycloneDX document.
type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl"`
	Properties []property `json:"properties,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// CycloneDX is the bill of materials of the program called name, in that
// version, as a CycloneDX 1.5 document: the Go release and every module. It is
// the same for the same executable.
func CycloneDX(name, version string) ([]byte, error) {
	self := component{Type: "application", Ref: "pkg:golang/" + name + "@" + version, Name: name, Version: version, PURL: "pkg:golang/" + name + "@" + version}
	parts := []component{{Type: "library", Ref: "pkg:golang/stdlib@" + runtime.Version()[len("go"):], Name: "stdlib", Version: runtime.Version(), PURL: "pkg:golang/stdlib@" + runtime.Version()[len("go"):]}}
	for _, m := range Modules() {
		c := component{Type: "library", Ref: "pkg:golang/" + m.Path + "@" + m.Version, Name: m.Path, Version: m.Version, PURL: "pkg:golang/" + m.Path + "@" + m.Version}
		if m.Sum != "" {
			c.Properties = []property{{"golang:sum", m.Sum}}
		}
		parts = append(parts, c)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(map[string]any{
		"$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
		"metadata": map[string]any{"component": self}, "components": parts,
	})
	return b.Bytes(), err
}
