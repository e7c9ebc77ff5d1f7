package core_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/upkeephub/upkeep/"

// rooms are the packages of the house and what each of them may import of ours.
var rooms = map[string][]string{
	"core/health":         {},
	"core/problem":        {"core/spelling"},
	"core/spelling":       {},
	"core/recovery":       {"core/health"},
	"core/monitor":        {"core/health", "core/recovery"},
	"sdk":                 {"proto/"},
	"hub":                 {"proto/", "core/problem", "hub/"},
	"internal/child":      {},
	"internal/pluginhost": {"internal/plugintrust", "core/", "proto/", "internal/child"},
	"internal/hubproc":    {"core/", "proto/", "internal/child"},
	"internal/config":     {"core/"},
	"internal/instance":   {"core/"},
	"internal/answer":     {"core/"},
	"internal/journal":    {},
	"internal/sbom":       {},
	"internal/httpapi":    {"core/", "internal/answer"},
	"internal/adminapi":   {"core/", "internal/answer"},
	"internal/doctor":     {"core/"},
	"internal/systemd":    {},
	"plugins/process":     {"sdk"}, "plugins/network": {"sdk"}, "plugins/service": {"sdk"}, "plugins/recovery-graded": {"sdk"},
	"examples/disk": {"sdk"}, "examples/exec-checker": {"sdk"}, "examples/recovery-webhook": {"sdk"},

	// what may be run
	"internal/plugintrust": {},

	// for plugin authors
	"internal/trial":       {"proto/", "internal/child"},
	"internal/conformance": {"proto/", "internal/child", "internal/trial"},
	"internal/scaffold":    {"proto", "proto/"},

	"test/conformance": {"hub"},

	"cmd/host": {"internal/plugintrust", "internal/sbom", "internal/pluginhost", "internal/trial", "internal/conformance", "internal/scaffold", "proto/upkeep/plugin/v1", "internal/app", "internal/adminapi", "internal/config", "internal/instance", "internal/doctor", "hub", "core/"},
}

func list(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, out)
	}
	return strings.Fields(string(out))
}

func TestCoreImportsNothingButTheStandardLibraryAndItself(t *testing.T) {
	for _, dep := range list(t, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./...") {
		if !strings.HasPrefix(dep, module+"core") {
			t.Errorf("core imports %s; declare an interface in core and let internal/app supply it", dep)
		}
	}
}

func TestEveryRoomImportsOnlyWhatItMay(t *testing.T) {
	for room, allowed := range rooms {
		for _, dep := range list(t, "-f", `{{join .Imports "\n"}}`, module+room) {
			ours, is := strings.CutPrefix(dep, module)
			if !is {
				continue
			}
			ok := false
			for _, a := range allowed {
				ok = ok || ours == a || (strings.HasSuffix(a, "/") && strings.HasPrefix(ours, a))
			}
			if !ok {
				t.Errorf("%s imports %s; it may import %v: meet in internal/app, through an interface of the side that uses it", room, ours, allowed)
			}
		}
	}
}

// The stock server that the bench compares with is the library and nothing else.
const stockServer = module + "test/bench/stock"

func TestOnlyTheHubImportsTheSocketIOLibrary(t *testing.T) {
	const format = `{{$p := .ImportPath}}{{range .Imports}}{{$p}}={{.}}{{"\n"}}{{end}}`
	for _, edge := range list(t, "-f", format, module+"...") {
		from, to, _ := strings.Cut(edge, "=")
		if strings.HasPrefix(to, "github.com/zishang520/") && !strings.HasPrefix(from, module+"hub") && from != stockServer {
			t.Errorf("%s imports %s; only hub may", from, to)
		}
	}
}
