package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/upkeephub/upkeep/internal/conformance"
	"github.com/upkeephub/upkeep/proto/handshake"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// authors are the documents for authors of plugins, by their path below docs.
func authors(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "docs", "plugins", "*.md"))
	if err != nil || len(paths) < 6 {
		t.Fatalf("pages are %v, %v", paths, err)
	}
	pages := map[string]string{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pages["plugins/"+filepath.Base(path)] = string(data)
	}
	return pages
}

func TestDocumentsForAuthorsLinkToWhatExists(t *testing.T) {
	pages := authors(t)
	for name, text := range pages {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[1], "https://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, "docs", "plugins", m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if name != "plugins/README.md" && !strings.Contains(pages["plugins/README.md"], "("+filepath.Base(name)+")") {
			t.Errorf("the index does not name %s", name)
		}
	}
}

func TestTheProtocolDocumentNamesEveryServiceAndConstant(t *testing.T) {
	pages := authors(t)
	protocol := pages["plugins/protocol.md"]
	want := []string{handshake.CookieKey, handshake.CookieValue, handshake.ChildMarkerEnv, "for the service `" + handshake.HealthService + "`"}
	for _, file := range []protoreflect.FileDescriptor{
		pluginv1.File_upkeep_plugin_v1_plugin_proto, pluginv1.File_upkeep_plugin_v1_checker_proto, pluginv1.File_upkeep_plugin_v1_recovery_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			want = append(want, "`"+string(service.FullName())+"`")
			for m := range service.Methods().Len() {
				want = append(want, "`"+string(service.Methods().Get(m).Name())+"`")
			}
		}
	}
	for _, text := range want {
		if !strings.Contains(protocol, text) {
			t.Errorf("protocol.md does not name %s", text)
		}
	}
	for _, rule := range conformance.Rules() {
		if !strings.Contains(pages["plugins/README.md"], "| `"+rule+"` |") {
			t.Errorf("README.md does not have the rule %s", rule)
		}
	}
}
