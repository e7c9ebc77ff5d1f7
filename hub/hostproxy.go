package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	// hostTimeout bounds what the supervisor may take to answer a request.
	hostTimeout = time.Second
	// hostAnswerBytes bounds its answer.
	hostAnswerBytes = 8 << 20
	// hostRequests is how many requests to it are under way at once; further ones
	// wait, within hostTimeout.
	hostRequests = 32
)

// hostQuery are the parameters that are passed on. Nothing else of a client's
// request reaches the supervisor.
var hostQuery = []string{"verbose", "exclude"}

// hostAnswer is what the supervisor said.
type hostAnswer struct {
	status      int
	contentType string
	body        []byte
}

// hostClient asks the supervisor over its unix socket.
type hostClient struct {
	client *http.Client
	places chan struct{} // holds a token for each request under way
}

func newHostClient(socket string) *hostClient {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if socket == "" {
			return nil, errors.New("no supervisor is known to this hub")
		}
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &hostClient{
		client: &http.Client{
			Transport: &http.Transport{
				DialContext:         dial,
				MaxIdleConnsPerHost: 4,
				IdleConnTimeout:     30 * time.Second,
				DisableCompression:  true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		places: make(chan struct{}, hostRequests),
	}
}

// ask makes a request of its own for path, with the parameters that may pass.
func (c *hostClient) ask(ctx context.Context, path string, query url.Values) (hostAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	case <-ctx.Done():
		return hostAnswer{}, ctx.Err()
	}
	passed := url.Values{}
	for _, key := range hostQuery {
		if values, ok := query[key]; ok {
			passed[key] = values
		}
	}
	target := url.URL{Scheme: "http", Host: "host", Path: path, RawQuery: passed.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return hostAnswer{}, err
	}
	response, err := c.client.Do(request)
	if err != nil {
		return hostAnswer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, hostAnswerBytes+1))
	if err != nil {
		return hostAnswer{}, err
	}
	if len(body) > hostAnswerBytes {
		return hostAnswer{}, fmt.Errorf("its answer is larger than %d bytes", hostAnswerBytes)
	}
	return hostAnswer{response.StatusCode, response.Header.Get("Content-Type"), body}, nil
}

func (c *hostClient) close() { c.client.CloseIdleConnections() }

// askHost answers with what the supervisor says at the same path; when it says
// nothing, with 503 and stale.
func (h *Hub) askHost(w http.ResponseWriter, r *http.Request) {
	answer, err := h.host.ask(r.Context(), r.URL.Path, r.URL.Query())
	if err != nil {
		h.log.Debug("the host does not answer", "path", r.URL.Path, "error", err)
		reply(w, http.StatusServiceUnavailable, map[string]any{
			"status":    "unknown",
			"stale":     true,
			"error":     "the supervisor does not answer: " + plainReason(err),
			"timestamp": timestamp(time.Now()),
		})
		return
	}
	header := w.Header()
	if answer.contentType != "" {
		header.Set("Content-Type", answer.contentType)
	}
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", fmt.Sprint(len(answer.body)))
	boundWrite(w)
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body)
}

// plainReason says why without naming the path of the socket to a stranger.
func plainReason(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "it took more than 1 s"
	case errors.As(err, &op):
		return "its socket cannot be reached"
	}
	return "its answer cannot be used"
}
