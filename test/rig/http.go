package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Response to an HTTP request, wholly read.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

func (r Response) String() string {
	body := strings.TrimSpace(string(r.Body))
	if len(body) > 2000 {
		body = body[:2000] + "…"
	}
	return fmt.Sprintf("%d %s", r.Status, body)
}

// JSON decodes the body as an object.
func (r Response) JSON() (map[string]any, error) {
	var o map[string]any
	if err := json.Unmarshal(r.Body, &o); err != nil {
		return nil, fmt.Errorf("no JSON object: %w: %s", err, r)
	}
	return o, nil
}

// Object is the object under a key of the body; ok is false when there is none.
func (r Response) Object(key string) (o map[string]any, ok bool) {
	all, err := r.JSON()
	if err != nil {
		return nil, false
	}
	o, ok = all[key].(map[string]any)
	return o, ok
}

// fresh makes a new connection for each request, as a client does that comes
// for the first time: a kept one would hide a restart.
var fresh = &http.Client{
	Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext},
	Timeout:   10 * time.Second,
}

// Get sends a GET request over a new connection. It waits at most 10 s.
func Get(ctx context.Context, url string) (Response, error) {
	return Do(ctx, http.MethodGet, url, nil, nil)
}

// Do sends a request over a new connection. It waits at most 10 s. A header
// "Host" is sent as the request's host.
func Do(ctx context.Context, method, url string, header map[string]string, body []byte) (Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return Response{}, err
	}
	for k, v := range header {
		if k == "Host" {
			req.Host = v
			continue
		}
		req.Header.Set(k, v)
	}
	resp, err := fresh.Do(req)
	if err != nil {
		return Response{}, err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return Response{Status: resp.StatusCode, Header: resp.Header, Body: read}, err
}
