package sbom

import (
	"encoding/json"
	"runtime/debug"
	"slices"
	"testing"
)

func TestModulesAreSortedAndReplacedOnesAreTheirReplacement(t *testing.T) {
	got := modules(&debug.BuildInfo{Deps: []*debug.Module{
		{Path: "b.example/x", Version: "v1.0.0", Sum: "h1:b"},
		{Path: "a.example/y", Version: "v2.0.0", Replace: &debug.Module{Path: "a.example/fork", Version: "v2.0.1", Sum: "h1:f"}},
	}})
	if want := []Module{{"a.example/fork", "v2.0.1", "h1:f"}, {"b.example/x", "v1.0.0", "h1:b"}}; !slices.Equal(got, want) {
		t.Errorf("modules are %v, want %v", got, want)
	}
	if got := modules(&debug.BuildInfo{}); got == nil || len(got) > 0 {
		t.Errorf("without dependencies: %v, want an empty list", got)
	}
}

func TestTheBillOfMaterialsIsCycloneDXAndTheSameTwice(t *testing.T) {
	first, err := CycloneDX("example.org/host", "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	again, err := CycloneDX("example.org/host", "1.2.3")
	if err != nil || string(again) != string(first) {
		t.Errorf("it differs from time to time: %v", err)
	}
	var bom struct {
		Format   string `json:"bomFormat"`
		Spec     string `json:"specVersion"`
		Version  int    `json:"version"`
		Metadata struct {
			Component struct{ Name, Version, Type string }
		}
		Components []struct{ Type, Name, Version, PURL string }
	}
	if err := json.Unmarshal(first, &bom); err != nil {
		t.Fatal(err)
	}
	if bom.Format != "CycloneDX" || bom.Spec != "1.5" || bom.Version != 1 || bom.Metadata.Component.Name != "example.org/host" || bom.Metadata.Component.Type != "application" {
		t.Errorf("%+v", bom)
	}
	if len(bom.Components) < 1 || bom.Components[0].Name != "stdlib" || bom.Components[0].Version == "" || bom.Components[0].Type != "library" {
		t.Errorf("components are %+v, want the standard library first", bom.Components)
	}
}
