package adminapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	reflector "github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

type object = map[string]any

// document is what the OpenAPI document has to be: the routes, and the shapes of
// their requests and answers with the comments of the Go types.
func document(t *testing.T) []byte {
	t.Helper()
	schemas := object{"Problem": problemSchema}
	shape := func(v any) object {
		if v == nil {
			return object{"type": "object"}
		}
		if reflect.TypeOf(v).Name() == "" {
			return object{"type": "object", "additionalProperties": false}
		}
		r := reflector.Reflector{AllowAdditionalProperties: false}
		if err := r.AddGoComments("github.com/upkeephub/upkeep/internal/adminapi", "."); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(r.Reflect(v))
		if err != nil {
			t.Fatal(err)
		}
		var reflected struct {
			Defs map[string]object `json:"$defs"`
		}
		raw = bytes.ReplaceAll(raw, []byte("#/$defs/"), []byte("#/components/schemas/"))
		if err := json.Unmarshal(raw, &reflected); err != nil {
			t.Fatal(err)
		}
		for name, def := range reflected.Defs {
			schemas[name] = nullable(def, name)
		}
		return object{"$ref": "#/components/schemas/" + reflect.TypeOf(v).Name()}
	}
	content := func(kind string, schema object) object { return object{kind: object{"schema": schema}} }
	paths := object{}
	for _, rt := range routes() {
		op := object{"summary": rt.summary, "operationId": operationID(rt), "responses": object{}}
		var parameters []object
		for _, p := range rt.parameters {
			parameters = append(parameters, object{"name": p.name, "in": p.in, "description": p.about, "required": p.in == "path", "schema": p.schema})
		}
		if parameters != nil {
			op["parameters"] = parameters
		}
		if rt.request != nil {
			op["requestBody"] = object{"required": false, "content": content("application/json", shape(rt.request))}
		}
		responses := op["responses"].(object)
		for code, v := range rt.responses {
			responses[strconv.Itoa(code)] = object{"description": http.StatusText(code), "content": content("application/json", shape(v))}
		}
		for _, code := range problemCodes(rt) {
			responses[strconv.Itoa(code)] = object{"description": http.StatusText(code), "content": content("application/problem+json", object{"$ref": "#/components/schemas/Problem"})}
		}
		path := Prefix + rt.path
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path].(object)[strings.ToLower(rt.method)] = op
	}
	doc, err := json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Upkeep admin API", "version": "1", "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "What the owner of a running host can see and do. On the unix socket admin.sock in the state directory no token is needed; on the admin listener every request carries one.",
		},
		"servers":    []object{{"url": "http://127.0.0.1:18765"}},
		"security":   []object{{"token": []string{}}, {}},
		"paths":      paths,
		"components": object{"schemas": schemas, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "The content of the file token in the state directory, unless admin.token is configured."}}},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(doc, '\n')
}

// problemCodes are the statuses of the problems that a route may answer with.
func problemCodes(rt route) []int {
	codes := append([]int{401, 403, 405, 421, 500}, rt.problems...)
	if rt.request != nil {
		codes = append(codes, 400, 413, 415)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

func operationID(rt route) string {
	words := strings.FieldsFunc(strings.NewReplacer("{name}", "", "{id}", "one", "{approval}", "one").Replace(rt.path), func(r rune) bool { return r == '/' || r == '-' || r == '.' })
	id := strings.ToLower(rt.method)
	for _, w := range words {
		id += strings.ToUpper(w[:1]) + w[1:]
	}
	return id
}

// nullable marks what a pointer without omitempty can be, and what any can.
func nullable(def object, name string) object {
	t, ok := types[name]
	properties, _ := def["properties"].(object)
	for i := 0; ok && i < t.NumField(); i++ {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Type.Kind() != reflect.Pointer || options != "" {
			continue
		}
		was := properties[key].(object)
		about := was["description"]
		delete(was, "description")
		properties[key] = object{"anyOf": []any{was, object{"type": "null"}}}
		if about != nil {
			properties[key].(object)["description"] = about
		}
	}
	return def
}

var types = map[string]reflect.Type{}

func init() {
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(t.Elem())
		case reflect.Struct:
			if _, known := types[t.Name()]; known || t.PkgPath() == "time" {
				return
			}
			types[t.Name()] = t
			for i := range t.NumField() {
				walk(t.Field(i).Type)
			}
		}
	}
	for _, rt := range routes() {
		for _, v := range rt.responses {
			if v != nil {
				walk(reflect.TypeOf(v))
			}
		}
	}
}

// problemSchema is RFC 9457 with the members of every error of ours.
var problemSchema = object{
	"type": "object", "required": []string{"type", "title", "status", "detail", "error_type", "error_code", "message", "steps", "context", "timestamp"},
	"properties": object{
		"type": object{"type": "string"}, "title": object{"type": "string"}, "status": object{"type": "integer"}, "detail": object{"type": "string"},
		"instance": object{"type": "string"}, "error_type": object{"type": "string"}, "error_code": object{"type": "string"}, "message": object{"type": "string"},
		"why": object{"type": "string"}, "details": object{"type": "array"}, "steps": object{"type": "array", "items": object{"type": "string"}},
		"context": object{"type": "object"}, "timestamp": object{"type": "string", "format": "date-time"},
	},
	"additionalProperties": false,
}

func TestTheOpenAPIDocumentIsWhatTheHandlersDo(t *testing.T) {
	want := document(t)
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(openAPI, want) {
		t.Error("openapi.json differs from the routes and their types; look at the difference of: go test ./internal/adminapi -run TestTheOpenAPI -update")
	}
}

// exchange is one request, with the answer that it earns.
type exchange struct {
	why, method, path, body string
	set                     func(*fakeHost)
	header                  http.Header
	want                    int
}

// exchanges bring out every answer of every route.
func exchanges() []exchange {
	unwell := func(f *fakeHost) { f.unwell = true }
	panics := func(f *fakeHost) { f.panics = true }
	var all []exchange
	for _, rt := range routes() {
		path := Prefix + strings.NewReplacer("{name}", "process", "{id}", "qua-1", "{approval}", "apr-1").Replace(rt.path)
		body := map[string]string{"/log-level": `{"level":"debug"}`, "/recovery": `{"enabled":true}`, "/monitoring": `{"enabled":true}`,
			"/recovery/run": `{"action":"restart_service"}`, "/recovery/pause": `{"seconds":60,"reason":"a test"}`, "/recovery/breaker/open": `{"reason":"a test"}`, "/recovery/breaker/close": `{"reason":"a test"}`}[rt.path]
		good := 200
		if rt.path == "/stop" {
			good = 202
		}
		all = append(all,
			exchange{why: "as it is meant", method: rt.method, path: path, body: body, want: good},
			exchange{why: "no token", method: rt.method, path: path, body: body, header: http.Header{"Authorization": nil}, want: 401},
			exchange{why: "a wrong token", method: rt.method, path: path, body: body, header: http.Header{"Authorization": {"Bearer wrong"}}, want: 401},
			exchange{why: "the token as a password", method: rt.method, path: path, body: body, header: http.Header{"Authorization": {"Basic " + testToken}}, want: 401},
			exchange{why: "a page of somebody else", method: rt.method, path: path, body: body, header: http.Header{"Origin": {"http://evil.example"}}, want: 403},
			exchange{why: "a page without origin", method: rt.method, path: path, body: body, header: http.Header{"Origin": {"null"}}, want: 403},
			exchange{why: "another site, says the browser", method: rt.method, path: path, body: body, header: http.Header{"Sec-Fetch-Site": {"cross-site"}}, want: 403},
			exchange{why: "a method that it does not have", method: http.MethodDelete, path: path, want: 405},
			exchange{why: "a host name of somebody else", method: rt.method, path: path, body: body, header: http.Header{"Host": {"evil.example"}}, want: 421},
		)
		if rt.request != nil {
			all = append(all,
				exchange{why: "a form", method: rt.method, path: path, body: body, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, want: 415},
				exchange{why: "no content type", method: rt.method, path: path, body: body, header: http.Header{"Content-Type": nil}, want: 415},
				exchange{why: "too long", method: rt.method, path: path, body: `{"reason":"` + strings.Repeat("x", maxBody) + `"}`, want: 413},
				exchange{why: "an unknown field", method: rt.method, path: path, body: `{"rm":"-rf"}`, want: 400},
				exchange{why: "no JSON", method: rt.method, path: path, body: `enabled`, want: 400},
				exchange{why: "two objects", method: rt.method, path: path, body: body + "{}{}", want: 400},
			)
		}
	}
	return append(all,
		exchange{why: "a bug", method: "GET", path: "/api/v1/status", set: panics, want: 500},
		exchange{why: "unwell", method: "GET", path: "/api/v1/check", set: unwell, want: 503},
		exchange{why: "no such probe", method: "GET", path: "/api/v1/check?probe=alive", want: 400},
		exchange{why: "no such plugin", method: "POST", path: "/api/v1/plugins/nobody/release", want: 404},
		exchange{why: "no such plugin", method: "POST", path: "/api/v1/plugins/nobody/reload", want: 404},
		exchange{why: "nobody there", method: "POST", path: "/api/v1/quarantine/qua-9/release", want: 404},
		exchange{why: "a start that takes too long", method: "POST", path: "/api/v1/plugins/process/reload", set: func(f *fakeHost) { f.hangs = true }, want: 504},
		exchange{why: "not as host is now", method: "POST", path: "/api/v1/plugins/process/reload", set: unwell, want: 409},
		exchange{why: "a folder that takes too long", method: "POST", path: "/api/v1/plugins/reload", set: func(f *fakeHost) { f.hangs = true }, want: 504},
		exchange{why: "not as host is now", method: "POST", path: "/api/v1/plugins/reload", set: unwell, want: 409},
		exchange{why: "no such question", method: "POST", path: "/api/v1/recovery/approvals/apr-9/approve", want: 404},
		exchange{why: "no such question", method: "POST", path: "/api/v1/recovery/approvals/apr-9/deny", want: 404},
		exchange{why: "answered before", method: "POST", path: "/api/v1/recovery/approvals/apr-1/approve", set: unwell, want: 409},
		exchange{why: "answered before", method: "POST", path: "/api/v1/recovery/approvals/apr-1/deny", set: unwell, want: 409},
		exchange{why: "host stops", method: "POST", path: "/api/v1/recovery/pause", body: `{"seconds":60,"reason":"a test"}`, set: unwell, want: 409},
		exchange{why: "host stops", method: "POST", path: "/api/v1/recovery/run", body: `{"action":"restart_service"}`, set: unwell, want: 409},
		exchange{why: "no action", method: "POST", path: "/api/v1/recovery/run", want: 400},
		exchange{why: "forced without a reason", method: "POST", path: "/api/v1/recovery/run", body: `{"action":"restart_service","force":true}`, want: 400},
		exchange{why: "for no time", method: "POST", path: "/api/v1/recovery/pause", body: `{"reason":"a test"}`, want: 400},
		exchange{why: "for too long", method: "POST", path: "/api/v1/recovery/pause", body: `{"seconds":2592001,"reason":"a test"}`, want: 400},
		exchange{why: "without a reason", method: "POST", path: "/api/v1/recovery/pause", body: `{"seconds":60,"reason":" "}`, want: 400},
		exchange{why: "host stops", method: "POST", path: "/api/v1/recovery/resume", set: unwell, want: 409},
		exchange{why: "host stops", method: "POST", path: "/api/v1/recovery/breaker/open", body: `{"reason":"a test"}`, set: unwell, want: 409},
		exchange{why: "host stops", method: "POST", path: "/api/v1/recovery/breaker/close", body: `{"reason":"a test"}`, set: unwell, want: 409},
		exchange{why: "without a reason", method: "POST", path: "/api/v1/recovery/breaker/open", want: 400},
		exchange{why: "limit 0", method: "GET", path: "/api/v1/history?limit=0", want: 400},
		exchange{why: "no number", method: "GET", path: "/api/v1/history?window=NaN", want: 400},
		exchange{why: "a window of the past", method: "GET", path: "/api/v1/history?window=-1", want: 400},
		exchange{why: "a bad configuration", method: "POST", path: "/api/v1/reload", set: func(f *fakeHost) { f.invalid = true }, want: 422},
		exchange{why: "a reload that hangs", method: "POST", path: "/api/v1/reload", set: func(f *fakeHost) { f.hangs = true }, want: 504},
		exchange{why: "no such level", method: "PUT", path: "/api/v1/log-level", body: `{"level":"loud"}`, want: 400},
		exchange{why: "nothing said", method: "PUT", path: "/api/v1/recovery", want: 400},
		exchange{why: "nothing said", method: "PUT", path: "/api/v1/monitoring", want: 400},
		exchange{why: "nothing there", method: "GET", path: "/api/v1/nothing", want: 404},
		exchange{why: "traversal", method: "GET", path: "/api/v1/plugins/..%2f..%2fetc/release", want: 405},
	)
}

const testToken = "0123456789abcdef"

func (e exchange) send(h http.Handler) *httptest.ResponseRecorder {
	r := httptest.NewRequest(e.method, e.path, strings.NewReader(e.body))
	r.Host = "127.0.0.1:18765"
	r.Header.Set("Authorization", "Bearer "+testToken)
	r.Header.Set("Content-Type", "application/json")
	for k, v := range e.header {
		switch {
		case v == nil:
			r.Header.Del(k)
		case k == "Host":
			r.Host = v[0]
		default:
			r.Header[k] = v
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEveryAnswerIsAsTheOpenAPIDocumentSays(t *testing.T) {
	compiler := validator.NewCompiler()
	doc, err := validator.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	paths := doc.(object)["paths"].(object)
	seen := map[string]bool{}
	for _, e := range exchanges() {
		f := newFakeHost()
		if e.set != nil {
			e.set(f)
		}
		w := e.send(Handler(f, Options{Token: testToken}))
		name := fmt.Sprintf("%s: %s %s", e.why, e.method, e.path)
		if w.Code != e.want {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, e.want, w.Body)
			continue
		}
		path, _, _ := strings.Cut(e.path, "?")
		if rest, of := strings.CutPrefix(path, Prefix+"/plugins/"); of && strings.Contains(rest, "/") {
			path = Prefix + "/plugins/{name}/" + rest[strings.LastIndex(rest, "/")+1:]
		}
		if rest, of := strings.CutPrefix(path, Prefix+"/quarantine/"); of && strings.Contains(rest, "/") {
			path = Prefix + "/quarantine/{id}/" + rest[strings.LastIndex(rest, "/")+1:]
		}
		if rest, of := strings.CutPrefix(path, Prefix+"/recovery/approvals/"); of {
			path = Prefix + "/recovery/approvals/{approval}/" + rest[strings.LastIndex(rest, "/")+1:]
		}
		if paths[path] == nil {
			continue // there is no such path, as it should be
		}
		method := strings.ToLower(e.method)
		if e.want == http.StatusMethodNotAllowed {
			method = slices.Collect(maps.Keys(paths[path].(object)))[0]
		}
		kind := "application/json"
		if e.want >= 400 && !(e.want == 503 && strings.HasSuffix(path, "/check")) {
			kind = "application/problem+json"
		}
		if got := w.Header().Get("Content-Type"); got != kind {
			t.Errorf("%s: content type %q, want %q", name, got, kind)
		}
		pointer := fmt.Sprintf("openapi.json#/paths/%s/%s/responses/%d/content/%s/schema", strings.ReplaceAll(path, "/", "~1"), method, e.want, strings.ReplaceAll(kind, "/", "~1"))
		schema, err := compiler.Compile(pointer)
		if err != nil {
			t.Errorf("%s: the document does not know this answer: %v", name, err)
			continue
		}
		seen[fmt.Sprintf("%s %s %d", method, path, e.want)] = true
		answer, err := validator.UnmarshalJSON(w.Body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := schema.Validate(answer); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for path, ops := range paths {
		for method, op := range ops.(object) {
			for code := range op.(object)["responses"].(object) {
				key := fmt.Sprintf("%s %s %s", method, path, code)
				if !seen[key] && code != "500" { // any path answers a bug alike
					t.Errorf("no test brings out %s", key)
				}
			}
		}
	}
}

func TestEveryFieldOfAnAnswerIsFilledByTheFake(t *testing.T) {
	// Else a field could be in the document that no answer ever has.
	f := newFakeHost()
	for _, e := range exchanges() {
		if e.want != 200 || e.method != http.MethodGet || strings.HasSuffix(e.path, "openapi.json") {
			continue
		}
		body := e.send(Handler(f, Options{Token: testToken})).Body.Bytes()
		rt := routes()[slices.IndexFunc(routes(), func(rt route) bool { return Prefix+rt.path == e.path })]
		for key := range fieldsOf(reflect.TypeOf(rt.responses[200])) {
			if !bytes.Contains(body, []byte(`"`+key+`"`)) {
				t.Errorf("%s: the answer has no %s", e.path, key)
			}
		}
	}
}

func fieldsOf(t reflect.Type) map[string]bool {
	keys := map[string]bool{}
	for i := range t.NumField() {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		keys[key] = true
	}
	return keys
}

func TestTheManualNamesEveryRequest(t *testing.T) {
	manual, err := os.ReadFile("../../docs/admin-api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range routes() {
		if !bytes.Contains(manual, []byte("`"+rt.method+" "+Prefix+rt.path)) {
			t.Errorf("docs/admin-api.md does not name %s %s", rt.method, Prefix+rt.path)
		}
	}
}
