package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/upkeephub/upkeep/core/problem"
)

const (
	// callTimeout bounds each call of the client but Reload.
	callTimeout = 2 * time.Second
	// maxAnswer is how much of an answer is read.
	maxAnswer = 32 << 20
)

// ErrUnreachable is wrapped when host does not answer on its socket, or not in time.
var ErrUnreachable = errors.New("host does not answer on its admin socket")

// Client asks a running host through its owner's socket. Each call takes at most
// 2 s (Reload as long as host does), connects anew and may run beside others.
// Errors are *problem.Error as host told them, or wrap ErrUnreachable.
type Client struct {
	http http.Client
}

// Dial makes a client for the host whose sockets are in socketDir. Nothing is
// connected yet.
func Dial(socketDir string) *Client {
	path := filepath.Join(socketDir, SocketFile)
	return &Client{http: http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}}
}

// Status is host at this moment.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	_, err = c.do(ctx, callTimeout, http.MethodGet, "/status", nil, &s)
	return s, err
}

// Probe asks a question with yes or no as its answer.
func (c *Client) Probe(ctx context.Context, kind ProbeKind) (p Probe, err error) {
	_, err = c.do(ctx, callTimeout, http.MethodGet, "/check?probe="+url.QueryEscape(string(kind)), nil, &p)
	return p, err
}

// Plugins are those that were found.
func (c *Client) Plugins(ctx context.Context) (p Plugins, err error) {
	_, err = c.do(ctx, callTimeout, http.MethodGet, "/plugins", nil, &p)
	return p, err
}

// ReleasePlugin starts a plugin now that waits or is not started any more.
func (c *Client) ReleasePlugin(ctx context.Context, name string) (p Plugin, err error) {
	_, err = c.do(ctx, callTimeout, http.MethodPost, "/plugins/"+url.PathEscape(name)+"/release", struct{}{}, &p)
	return p, err
}

// ReloadPlugin lets host look at one plugin's files again.
func (c *Client) ReloadPlugin(ctx context.Context, name string) (p PluginChange, err error) {
	_, err = c.do(ctx, pluginTimeout+time.Second, http.MethodPost, "/plugins/"+url.PathEscape(name)+"/reload", struct{}{}, &p)
	return p, err
}

// RescanPlugins lets host look at its whole plugin folder again.
func (c *Client) RescanPlugins(ctx context.Context) (p PluginChanges, err error) {
	_, err = c.do(ctx, pluginTimeout+time.Second, http.MethodPost, "/plugins/reload", struct{}{}, &p)
	return p, err
}

// Quarantine is who is kept out.
func (c *Client) Quarantine(ctx context.Context) (q Quarantine, err error) {
	_, err = c.do(ctx, callTimeout, http.MethodGet, "/quarantine", nil, &q)
	return q, err
}

// ReleaseQuarantine lets one in again, or everybody when the id is empty.
func (c *Client) ReleaseQuarantine(ctx context.Context, id string) (q Quarantine, err error) {
	path := "/quarantine/release"
	if id != "" {
		path = "/quarantine/" + url.PathEscape(id) + "/release"
	}
	_, err = c.do(ctx, answerTimeout+time.Second, http.MethodPost, path, struct{}{}, &q)
	return q, err
}

// History is what happened within the window, at most limit of each kind.
func (c *Client) History(ctx context.Context, window time.Duration, limit int) (h History, err error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}, "window": {strconv.FormatFloat(window.Seconds(), 'f', -1, 64)}}
	_, err = c.do(ctx, callTimeout, http.MethodGet, "/history?"+query.Encode(), nil, &h)
	return h, err
}

// Config is the configuration in force.
func (c *Client) Config(ctx context.Context) (cfg Configuration, err error) {
	_, err = c.do(ctx, callTimeout, http.MethodGet, "/config", nil, &cfg)
	return cfg, err
}

// Reload lets host read its configuration again.
func (c *Client) Reload(ctx context.Context) (r Reloaded, err error) {
	_, err = c.do(ctx, reloadTimeout+time.Second, http.MethodPost, "/reload", struct{}{}, &r)
	return r, err
}

// Stop lets host begin to stop.
func (c *Client) Stop(ctx context.Context, reason string) (s Stopping, err error) {
	_, err = c.do(ctx, callTimeout, http.MethodPost, "/stop", StopRequest{Reason: reason}, &s)
	return s, err
}

// do sends one request and reads the answer.
func (c *Client) do(ctx context.Context, timeout time.Duration, method, path string, request, answer any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var body io.Reader
	if request != nil {
		data, err := json.Marshal(request)
		if err != nil {
			return 0, fmt.Errorf("write the request as JSON: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+Prefix+path, body)
	if err != nil {
		return 0, fmt.Errorf("ask host for %s: %w", path, err)
	}
	if request != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return res.StatusCode, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if res.Header.Get("Content-Type") == problem.ContentType {
		told := &problem.Error{}
		if err := json.Unmarshal(data, told); err != nil {
			return res.StatusCode, fmt.Errorf("host refused %s (%s) with an answer that is no problem document: %w", path, res.Status, err)
		}
		return res.StatusCode, told
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return res.StatusCode, fmt.Errorf("host's answer to %s (%s) is not understood: %w", path, res.Status, err)
	}
	return res.StatusCode, nil
}
