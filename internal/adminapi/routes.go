package adminapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
)

// openAPI describes the routes. A test compares it with them and writes it
// (go test ./internal/adminapi -run TestTheOpenAPI -update).
//
//go:embed openapi.json
var openAPI []byte

// route is one method of one path, with what the OpenAPI document says of it.
type route struct {
	method, path string
	summary      string
	parameters   []parameter
	request      any           // nil: it takes no body
	responses    map[int]any   // what answers look like, problems left out; nil: any JSON
	problems     []int         // beside those that every route may answer with
	timeout      time.Duration // what an answer may take; 0: answerTimeout
	answer       func(*call) (int, any, error)
}

// parameter of the query or of the path.
type parameter struct {
	name, in, about string
	schema          map[string]any
}

// call is one admitted request.
type call struct {
	*api
	r    *http.Request
	body []byte
}

const (
	defaultWindow = time.Hour
	maxWindow     = 7 * 24 * time.Hour
	defaultLimit  = 20
	maxLimit      = 1000
)

func routes() []route {
	tells := func(path, summary string, shape any, answer func(*call) any) route {
		return route{method: http.MethodGet, path: path, summary: summary, responses: map[int]any{200: shape}, answer: func(c *call) (int, any, error) {
			return http.StatusOK, answer(c), nil
		}}
	}
	return append([]route{
		tells("/status", "Host at this moment.", Status{}, func(c *call) any { return c.ops.Status() }),
		{
			method: http.MethodGet, path: "/check", summary: "Yes (200) or no (503), for scripts and container probes.",
			parameters: []parameter{{"probe", "query", "What is asked: is it well, are clients served, does host's own loop turn.",
				map[string]any{"type": "string", "enum": []ProbeKind{Healthy, Ready, Live}, "default": Healthy}}},
			responses: map[int]any{200: Probe{}, 503: Probe{}}, problems: []int{400}, answer: (*call).check,
		},
		tells("/plugins", "The plugins that were found, and what was skipped.", Plugins{}, func(c *call) any { return c.ops.Plugins() }),
		{
			method: http.MethodPost, path: "/plugins/{name}/release", summary: "Start a plugin now that is quarantined, refused or waiting for its next start.",
			parameters: []parameter{{"name", "path", "The plugin's name.", map[string]any{"type": "string"}}},
			request:    struct{}{}, responses: map[int]any{200: Plugin{}}, problems: []int{404}, answer: (*call).release,
		},
		{
			method: http.MethodPost, path: "/plugins/{name}/reload", summary: "Look at a plugin's files again, and let a new process take over if it is no worse.",
			parameters: []parameter{{"name", "path", "The plugin's name.", map[string]any{"type": "string"}}},
			request:    struct{}{}, responses: map[int]any{200: PluginChange{}}, problems: []int{404, 409, 504}, timeout: pluginTimeout, answer: (*call).reloadPlugin,
		},
		{
			method: http.MethodPost, path: "/plugins/reload", summary: "Look at the whole plugin folder again: install, exchange and remove.",
			request: struct{}{}, responses: map[int]any{200: PluginChanges{}}, problems: []int{409, 504}, timeout: pluginTimeout, answer: (*call).rescan,
		},
		tells("/quarantine", "Who is kept out, because it caused most of the trouble of an ill hub.", Quarantine{}, func(c *call) any { return c.ops.Quarantine() }),
		{
			method: http.MethodPost, path: "/quarantine/{id}/release", summary: "Let one in again who is kept out.",
			parameters: []parameter{{"id", "path", "Its id, e.g. qua-1.", map[string]any{"type": "string"}}},
			request:    struct{}{}, responses: map[int]any{200: Quarantine{}}, problems: []int{404}, answer: (*call).releaseQuarantine,
		},
		{
			method: http.MethodPost, path: "/quarantine/release", summary: "Let everybody in again who is kept out.",
			request: struct{}{}, responses: map[int]any{200: Quarantine{}}, answer: (*call).releaseQuarantine,
		},
		{
			method: http.MethodGet, path: "/history", summary: "Reports, transitions and recoveries, newest first.",
			parameters: []parameter{
				{"limit", "query", "At most so many of each kind.", map[string]any{"type": "integer", "minimum": 1, "maximum": maxLimit, "default": defaultLimit}},
				{"window", "query", "So many seconds back from now.", map[string]any{"type": "number", "exclusiveMinimum": 0, "maximum": maxWindow.Seconds(), "default": defaultWindow.Seconds()}},
			},
			responses: map[int]any{200: History{}}, problems: []int{400}, answer: (*call).history,
		},
		tells("/config", "The configuration in force, with the origin of each value; secrets are masked.", Configuration{}, func(c *call) any { return c.ops.Config() }),
		tells("/version", "What runs.", Version{}, func(c *call) any { return c.ops.Version() }),
		tells("/openapi.json", "This document.", nil, func(*call) any { return json.RawMessage(openAPI) }),
		{
			method: http.MethodPost, path: "/reload", summary: "Read the configuration again: all of it is taken over, or, if there is a mistake, nothing.",
			request: struct{}{}, responses: map[int]any{200: Reloaded{}}, problems: []int{422, 504}, timeout: reloadTimeout, answer: (*call).reload,
		},
		{
			method: http.MethodPost, path: "/stop", summary: "Tell the clients and stop. The answer comes before.",
			request: StopRequest{}, responses: map[int]any{202: Stopping{}}, answer: (*call).stop,
		},
		{
			method: http.MethodPut, path: "/log-level", summary: "Change what is logged, until the next start or reload.",
			request: LogLevel{}, responses: map[int]any{200: LogLevel{}}, answer: (*call).logLevel,
		},
		{
			method: http.MethodPut, path: "/recovery", summary: "Switch recovery on or off, until the next start or reload.",
			request: Switch{}, responses: map[int]any{200: Switch{}}, answer: toggle(Operations.SetRecovery),
		},
		{
			method: http.MethodPut, path: "/monitoring", summary: "Switch health monitoring, and recovery with it, off or on, until the next start or reload.",
			request: Switch{}, responses: map[int]any{200: Switch{}}, answer: toggle(Operations.SetMonitoring),
		},
	}, steerRoutes()...)
}

func bad(what, why string) error {
	return &problem.Error{Code: problem.BadRequest, What: what, Why: why, Steps: []string{"correct the request; " + Prefix + "/openapi.json says what it may hold"}}
}

func (c *call) check() (int, any, error) {
	kind := ProbeKind(c.r.URL.Query().Get("probe"))
	switch kind {
	case "":
		kind = Healthy
	case Healthy, Ready, Live:
	default:
		return 0, nil, bad(fmt.Sprintf("%q is no probe", kind), "want healthy, ready or live")
	}
	p := c.ops.Probe(kind)
	if !p.OK {
		return http.StatusServiceUnavailable, p, nil
	}
	return http.StatusOK, p, nil
}

func (c *call) release() (int, any, error) {
	if err := decode(c.body, &struct{}{}); err != nil {
		return 0, nil, err
	}
	p, err := c.ops.ReleasePlugin(c.r.PathValue("name"))
	return http.StatusOK, p, err
}

func (c *call) reloadPlugin() (int, any, error) {
	if err := decode(c.body, &struct{}{}); err != nil {
		return 0, nil, err
	}
	done, err := c.ops.ReloadPlugin(c.r.Context(), c.r.PathValue("name"))
	return http.StatusOK, done, err
}

func (c *call) rescan() (int, any, error) {
	if err := decode(c.body, &struct{}{}); err != nil {
		return 0, nil, err
	}
	done, err := c.ops.RescanPlugins(c.r.Context())
	return http.StatusOK, done, err
}

func (c *call) releaseQuarantine() (int, any, error) {
	if err := decode(c.body, &struct{}{}); err != nil {
		return 0, nil, err
	}
	released, err := c.ops.ReleaseQuarantine(c.r.Context(), c.r.PathValue("id"))
	return http.StatusOK, released, err
}

func (c *call) history() (int, any, error) {
	limit, window := defaultLimit, defaultWindow
	query := c.r.URL.Query()
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return 0, nil, bad(fmt.Sprintf("%q is no limit", text), fmt.Sprintf("want a number from 1 to %d", maxLimit))
		}
		limit = n
	}
	if text := query.Get("window"); text != "" {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || n <= 0 || n > maxWindow.Seconds() {
			return 0, nil, bad(fmt.Sprintf("%q is no window", text), fmt.Sprintf("want seconds, more than 0 and at most %g", maxWindow.Seconds()))
		}
		window = time.Duration(n * float64(time.Second))
	}
	return http.StatusOK, c.ops.History(window, limit), nil
}

func (c *call) reload() (int, any, error) {
	if err := decode(c.body, &struct{}{}); err != nil {
		return 0, nil, err
	}
	done, err := c.ops.Reload(c.r.Context())
	return http.StatusOK, done, err
}

func (c *call) stop() (int, any, error) {
	var req StopRequest
	if err := decode(c.body, &req); err != nil {
		return 0, nil, err
	}
	pid := c.ops.Status().Server.PID
	c.ops.Stop(reason(req.Reason))
	return http.StatusAccepted, Stopping{PID: pid}, nil
}

// reason makes what a stranger wrote fit for one line of a log.
func reason(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if runes := []rune(text); len(runes) > 200 {
		text = string(runes[:200])
	}
	if text == "" {
		return "an admin request asked for it"
	}
	return text
}

func (c *call) logLevel() (int, any, error) {
	var req LogLevel
	if err := decode(c.body, &req); err != nil {
		return 0, nil, err
	}
	if !slices.Contains(LogLevels(), req.Level) {
		return 0, nil, bad(fmt.Sprintf("%q is no level", req.Level), "want "+strings.Join(LogLevels(), ", "))
	}
	return http.StatusOK, req, c.ops.SetLogLevel(req.Level)
}

func toggle(set func(Operations, bool) error) func(*call) (int, any, error) {
	return func(c *call) (int, any, error) {
		var req struct {
			Enabled *bool `json:"enabled"`
		}
		if err := decode(c.body, &req); err != nil {
			return 0, nil, err
		}
		if req.Enabled == nil {
			return 0, nil, bad("the request does not say what it wants", "want enabled, true or false")
		}
		return http.StatusOK, Switch{Enabled: *req.Enabled}, set(c.ops, *req.Enabled)
	}
}
