package hub

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

const (
	readerToken = "a token for those who read"
	writerToken = "a token for those who write"
)

var signingKey = []byte("thirty-two bytes that nobody else")

var policy = TokenPolicy{
	Fixed:      []Token{{"reader", readerToken, []Role{RoleHistory}}, {"writer", writerToken, []Role{RolePublish, RoleStatus}}},
	SigningKey: signingKey,
}

func signed(t *testing.T, key []byte, until time.Duration, roles ...Role) string {
	t.Helper()
	token, err := SignToken(key, "someone", roles, time.Now().Add(until))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// attempt joins a namespace and returns what the hub answers: "40…" or "44…".
func (r *running) attempt(t *testing.T, query string, header http.Header, connect string) string {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(wsURL(r.addr)+query, header)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if err := conn.WriteMessage(websocket.TextMessage, []byte(connect)); err != nil {
		t.Fatal(err)
	}
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			t.Fatalf("no answer to %.40s: %v", connect, err)
		}
		if text := string(message); strings.HasPrefix(text, "40") || strings.HasPrefix(text, "44") {
			return text
		}
	}
}

func TestOnlyAClientWithAGoodTokenJoins(t *testing.T) {
	r := start(t, Options{Tokens: policy}, func(h *Hub) { h.server.Of("/own", nil) })
	none := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"publish"}})
	unsigned, err := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	endless, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"roles": []string{"publish"}}).SignedString(signingKey)
	if err != nil {
		t.Fatal(err)
	}
	other, err := jwt.NewWithClaims(jwt.SigningMethodHS512, jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()}).SignedString(signingKey)
	if err != nil {
		t.Fatal(err)
	}
	good := signed(t, signingKey, time.Hour)
	head, body, _ := strings.Cut(good, ".")
	_, sum, _ := strings.Cut(body, ".")
	forged := head + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":9999999999,"roles":["publish"]}`)) + "." + sum
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"bearer " + token}} }
	for _, c := range []struct {
		query  string
		header http.Header
		auth   string
		code   string // empty: it joins
		why    string
	}{
		{"", nil, "", "token_required", "no token at all"},
		{"", nil, `{"token":""}`, "token_required", "an empty one"},
		{"", nil, `{"token":7}`, "token_required", "a number"},
		{"", nil, `{"token":"` + readerToken + `"}`, "", "a fixed one in auth"},
		{"", bearer(writerToken), "", "", "in the header"},
		{"&token=" + strings.ReplaceAll(writerToken, " ", "+"), nil, "", "", "in the query"},
		{"", bearer(writerToken), `{"token":"wrong"}`, "token_invalid", "auth comes first"},
		{"", nil, `{"token":"` + readerToken + `x"}`, "token_invalid", "a letter too many"},
		{"", nil, `{"token":"` + readerToken[1:] + `"}`, "token_invalid", "a letter too few"},
		{"", nil, `{"token":"` + strings.Repeat("x", MaxTokenBytes+1) + `"}`, "token_invalid", "longer than any token"},
		{"", nil, `{"token":"` + good + `"}`, "", "a signed one"},
		{"", nil, `{"token":"` + signed(t, signingKey, -time.Second) + `"}`, "token_expired", "one that was good"},
		{"", nil, `{"token":"` + signed(t, []byte(strings.Repeat("k", 32)), time.Hour) + `"}`, "token_invalid", "signed by somebody else"},
		{"", nil, `{"token":"` + signed(t, []byte(strings.Repeat("k", 32)), -time.Hour) + `"}`, "token_invalid", "by somebody else, and expired: nothing is told"},
		{"", nil, `{"token":"` + unsigned + `"}`, "token_invalid", "the algorithm none"},
		{"", nil, `{"token":"` + other + `"}`, "token_invalid", "another algorithm"},
		{"", nil, `{"token":"` + endless + `"}`, "token_invalid", "one that never ends"},
		{"", nil, `{"token":"` + forged + `"}`, "token_invalid", "other claims under the same sum"},
		{"", http.Header{probeHeader: {testSecret}}, "", "", "the probe by its header"},
		{"", nil, `{"` + probeAuthKey + `":"` + testSecret + `"}`, "", "the probe by its auth"},
		{"", nil, `{"` + probeAuthKey + `":"guessed"}`, "token_required", "a probe that guesses"},
	} {
		for _, nsp := range []string{"", "/own,"} {
			got := r.attempt(t, c.query, c.header, "40"+nsp+c.auth)
			want := "40" + nsp + "{"
			if c.code != "" {
				want = "44" + nsp + "{"
			}
			if !strings.HasPrefix(got, want) || c.code != "" && !strings.Contains(got, `"data":{"code":"`+c.code+`"}`) {
				t.Errorf("%s, namespace /%s: the answer is %s, want %s with code %q", c.why, nsp, got, want, c.code)
			}
		}
	}
	for _, secret := range []string{readerToken, writerToken, string(signingKey), good} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

func TestWithoutAPolicyNobodyNeedsAToken(t *testing.T) {
	r := start(t, Options{})
	p := r.connect(t, `{"token":"whatever"}`)
	p.send(`421["claude_event",{"type":"x"}]`)
	p.nextAck("1[]")
	p.send(`42["get_history"]`)
	if total := p.next("event_history").object(t)["total_available"]; total != 1.0 {
		t.Errorf("the history has %v events, want 1", total)
	}
	if status, _, _ := r.request(t, "GET", "/stats", "", nil); status != http.StatusOK {
		t.Errorf("/stats answers %d, want 200", status)
	}
}

// A client that sends what its token does not allow is told so and stays; nobody
// gets the event, by the short way as by the long one.
func TestWithoutTheRoleNothingIsPublishedAndNoHistoryIsRead(t *testing.T) {
	r := start(t, Options{Tokens: policy})
	reader := r.connect(t, `{"token":"`+readerToken+`"}`)
	writer := r.connect(t, `{"token":"`+writerToken+`"}`)
	for _, event := range []string{`421["claude_event",{"type":"x"}]`, `422["claude_event",{"b":"\u0041"}]`, `42["claude_event",{}]`} {
		reader.send(event)
		refused := reader.next("not_allowed").object(t)
		if refused["event"] != "claude_event" || refused["role"] != "publish" {
			t.Errorf("%s: refused with %v, want the event and the role publish", event, refused)
		}
	}
	writer.send(`42["get_history"]`)
	if refused := writer.next("not_allowed").object(t); refused["role"] != "history" {
		t.Errorf("refused with %v, want the role history", refused)
	}
	writer.send(`429["claude_event",{"type":"y"}]`)
	writer.nextAck("9[]") // the first acknowledgement of all
	if got := reader.next("claude_event").object(t)["type"]; got != "y" {
		t.Errorf("the first event that arrives is %v, want y", got)
	}
	reader.send(`42["get_history"]`)
	if total := reader.next("event_history").object(t)["total_available"]; total != 1.0 {
		t.Errorf("the history has %v events, want the one that was allowed", total)
	}
	if len(reader.acks) != 0 {
		t.Error("an event that was refused was acknowledged")
	}
	s := r.Statistics()
	if s.EventsFailed != 0 || s.Errors != 4 {
		t.Errorf("%d events failed, %d errors; want 0 and the 4 that were refused", s.EventsFailed, s.Errors)
	}
}

func TestARoleInASignedTokenCountsAndAnUnknownOneMeansNothing(t *testing.T) {
	r := start(t, Options{Tokens: TokenPolicy{SigningKey: signingKey}})
	p := r.connect(t, `{"token":"`+signed(t, signingKey, time.Hour, RolePublish)+`"}`)
	p.send(`421["claude_event",{}]`)
	p.nextAck("1[]")
	p.send(`42["get_history"]`)
	p.next("not_allowed")

	odd, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"admin"}}).SignedString(signingKey)
	if err != nil {
		t.Fatal(err)
	}
	q := r.connect(t, `{"token":"`+odd+`"}`)
	q.send(`42["claude_event",{}]`)
	q.next("not_allowed")
}

func (l *link) ends() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.expires
}

// The client comes back by itself, and shows a new token if it has one.
func TestAConnectionEndsWhenItsTokenExpires(t *testing.T) {
	r := start(t, Options{Tokens: policy})
	bystander := r.connect(t, `{"token":"`+readerToken+`"}`)
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	p := r.connect(t, `{"token":"`+signed(t, signingKey, time.Until(end))+`"}`)
	var until *link
	for _, l := range r.sessions() {
		if !l.ends().IsZero() {
			until = l
		}
	}
	if until == nil || until.ends().Sub(end).Abs() > time.Second {
		t.Fatalf("the session of a token until %v has no such end", end)
	}
	until.expireAt(end.Add(time.Hour)) // another namespace, with a token that lasts longer
	until.expireAt(time.Now())         // the hour is over
	if code := p.closeCode(); code != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d, want %d", code, websocket.ClosePolicyViolation)
	}
	bystander.roundTrip()
}

func TestWhatTellsMoreThanHealthNeedsTheRoleStatus(t *testing.T) {
	r := start(t, Options{Tokens: policy})
	with := func(token string) func(*http.Request) {
		return func(q *http.Request) {
			if token != "" {
				q.Header.Set("Authorization", "Bearer "+token)
			}
		}
	}
	for _, path := range []string{"/stats", "/status", "/diagnostics", "/metrics"} {
		for _, c := range []struct {
			token string
			want  []int
			why   string
		}{
			{"", []int{401}, "no token"},
			{"wrong", []int{401}, "a wrong one"},
			{readerToken, []int{403}, "one without the role"},
			{writerToken, []int{200, 503}, "one with it; host is not there to ask"},
			{signed(t, signingKey, time.Hour, RoleStatus), []int{200, 503}, "a signed one"},
		} {
			status, answer, header := r.request(t, "GET", path, "", with(c.token))
			if !slices.Contains(c.want, status) {
				t.Errorf("%s with %s answers %d %v, want %v", path, c.why, status, answer, c.want)
			}
			if status == 401 && header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %s: 401 without WWW-Authenticate", path, c.why)
			}
		}
	}
	for _, path := range []string{"/health", "/livez", "/readyz"} { // a kubelet has none
		if status, _, _ := r.request(t, "GET", path, "", nil); status == 401 || status == 403 {
			t.Errorf("%s answers %d without a token", path, status)
		}
	}
}

func TestATokenPolicyThatCannotBeMeantIsRefusedWithoutTellingSecrets(t *testing.T) {
	_, err := New(Options{ServerID: "x", ServerVersion: "1.0.0", Tokens: TokenPolicy{
		Fixed:      []Token{{"short", "tiny-secret", nil}, {"odd", "long-enough-for-a-token", []Role{"admin"}}, {"twin", "long-enough-for-a-token", nil}},
		SigningKey: []byte("a short key"),
	}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`"short"`, `"admin"`, `"twin"`, "signing key has 11 bytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %s: %v", want, err)
		}
	}
	for _, secret := range []string{"tiny-secret", "long-enough", "a short key"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells the secret %q: %v", secret, err)
		}
	}
	if _, err := SignToken([]byte("short"), "x", nil, time.Now()); err == nil {
		t.Error("a token is signed with a short key")
	}
	if _, err := SignToken(signingKey, "x", []Role{"admin"}, time.Now()); err == nil {
		t.Error("a token is signed with a role that is none")
	}
	if _, err := SignToken(signingKey, "x", nil, time.Time{}); err == nil {
		t.Error("a token without an end is signed")
	}
}
