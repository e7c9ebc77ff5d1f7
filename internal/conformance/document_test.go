package conformance

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

func TestTheDocumentForAuthorsHasEachRule(t *testing.T) {
	page, err := os.ReadFile("../../docs/plugins/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		named = append(named, m[1])
	}
	if !slices.Equal(named, Rules()) {
		t.Errorf("docs/plugins/README.md has the rules\n%v\nthe kit has\n%v", named, Rules())
	}
}
