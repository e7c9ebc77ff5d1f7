package docs

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestEveryDecisionHasANumberOfItsOwnAndIsHeadedByIt(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "adr")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries { // sorted by name
		number, err := strconv.Atoi(e.Name()[:min(4, len(e.Name()))])
		if err != nil || number != i+1 {
			t.Errorf("docs/adr/%s: want number %04d: the next free one", e.Name(), i+1)
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if heading, want := string(text[:min(len(text), 10)]), "# "+strconv.Itoa(number)+". "; !strings.HasPrefix(heading, want) {
			t.Errorf("docs/adr/%s begins with %q, want %q", e.Name(), heading, want)
		}
	}
}
