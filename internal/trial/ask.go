package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/upkeephub/upkeep/internal/child"
	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

// The methods of a Recording.
const (
	MethodCheck  = "check"
	MethodDecide = "decide"
)

// Recording is a request that can be written to a file and asked again.
type Recording struct {
	// Method is MethodCheck or MethodDecide.
	Method string `json:"method"`
	// Request is the CheckRequest or DecideRequest in the JSON form of protocol
	// buffers, with the names of the .proto files.
	Request json.RawMessage `json:"request"`
}

// written is how messages become JSON, read how they are read.
var (
	written = protojson.MarshalOptions{UseProtoNames: true}
	read    = protojson.UnmarshalOptions{}
)

// Record makes a recording of a CheckRequest or DecideRequest.
func Record(request proto.Message) (Recording, error) {
	method := ""
	switch request.(type) {
	case *pluginv1.CheckRequest:
		method = MethodCheck
	case *pluginv1.DecideRequest:
		method = MethodDecide
	default:
		return Recording{}, fmt.Errorf("a %T is not recorded", request)
	}
	text, err := asJSON(request)
	return Recording{method, text}, err
}

// asJSON writes a message in one form: protojson by itself puts spaces at random.
func asJSON(m proto.Message) (json.RawMessage, error) {
	text, err := written.Marshal(m)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Compact(&out, text)
	return out.Bytes(), err
}

// ReadRecording reads a recording. The error says what is wrong with it; a
// field that this version does not know is one.
func ReadRecording(text []byte) (proto.Message, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var r Recording
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("it is no recording: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("it goes on after its closing brace")
	}
	var request proto.Message
	switch r.Method {
	case MethodCheck:
		request = &pluginv1.CheckRequest{}
	case MethodDecide:
		request = &pluginv1.DecideRequest{}
	default:
		return nil, fmt.Errorf("its method is %q: want %q or %q", r.Method, MethodCheck, MethodDecide)
	}
	if len(r.Request) == 0 {
		return nil, errors.New("it has no request")
	}
	if err := read.Unmarshal(r.Request, request); err != nil {
		return nil, fmt.Errorf("its request is no %s: %w", request.ProtoReflect().Descriptor().Name(), err)
	}
	return request, nil
}

// Question is what Ask asks.
type Question struct {
	Spec child.Spec
	// Config is given to the plugin first; nil: its defaults.
	Config map[string]any
	// Request is a *CheckRequest or a *DecideRequest; nil: what Choose gives.
	Request proto.Message
	// Choose gives the request for a plugin that describes itself so, or says why
	// there is none. Needed where Request is nil.
	Choose func(*pluginv1.DescribeResponse) (proto.Message, error)
}

// Answer is what came of it.
type Answer struct {
	Description *pluginv1.DescribeResponse
	// Warnings are the plugin's diagnostics of its configuration.
	Warnings []*pluginv1.Diagnostic
	// Request is what was sent. Response, a *CheckResponse or *DecideResponse, is
	// nil when the plugin answered with an error.
	Request, Response proto.Message
	Took              time.Duration
	// Stderr are the last lines that the plugin wrote to standard error.
	Stderr []string
}

// Ask starts the plugin, configures it, asks it once and ends it. An error says
// why there is no answer; Answer then holds what is known. It blocks for at most
// the time that a start, an answer and an end may take.
func Ask(ctx context.Context, q Question) (a Answer, err error) {
	p, err := Start(Options{Spec: q.Spec})
	if err != nil {
		return a, err
	}
	defer p.End()
	err = p.ask(ctx, q, &a)
	if err != nil { // a process that is dying by itself gets the time to say how
		select {
		case <-p.Done():
			err = fmt.Errorf("its process ended: %s", p.Exit())
		case <-time.After(100 * time.Millisecond):
		}
	} else {
		_, _ = p.Shutdown()
	}
	p.proc.Kill()
	<-p.Done()
	a.Stderr = p.Exit().Tail
	return a, err
}

func (p *Process) ask(ctx context.Context, q Question, a *Answer) error {
	starting, cancel := context.WithTimeout(ctx, StartTime)
	defer cancel()
	if err := p.Open(starting); err != nil {
		return err
	}
	if err := p.Health(starting); err != nil {
		return fmt.Errorf("it does not answer the health service: %s", said(err))
	}
	var err error
	if a.Description, err = p.Plugin().Describe(starting, &pluginv1.DescribeRequest{}); err != nil {
		return fmt.Errorf("it does not describe itself: %s", said(err))
	}
	if a.Request = q.Request; a.Request == nil {
		if a.Request, err = q.Choose(a.Description); err != nil {
			return err
		}
	}
	if a.Description.GetConfigSchema() != "" || len(q.Config) > 0 {
		found, err := p.Configure(starting, q.Config)
		switch {
		case err != nil:
			return fmt.Errorf("it cannot be configured: %s", said(err))
		case Refused(found):
			return fmt.Errorf("it refuses its configuration: %s", inWords(found))
		}
		a.Warnings = found
	}
	limit := 10 * time.Second
	if d := a.Description.GetDefaultTimeout(); d != nil && d.CheckValid() == nil && d.AsDuration() > 0 {
		limit = d.AsDuration()
	}
	asked, done := context.WithTimeout(ctx, limit)
	defer done()
	began := time.Now()
	switch request := a.Request.(type) {
	case *pluginv1.CheckRequest:
		var answer *pluginv1.CheckResponse
		if answer, err = p.Checker().Check(asked, request); err == nil {
			a.Response = answer
		}
	case *pluginv1.DecideRequest:
		var answer *pluginv1.DecideResponse
		if answer, err = p.Recovery().Decide(asked, request); err == nil {
			a.Response = answer
		}
	default:
		return fmt.Errorf("a %T cannot be asked", request)
	}
	a.Took = time.Since(began)
	if err != nil {
		return fmt.Errorf("it answered with an error: %s", said(err))
	}
	return nil
}

// said is a gRPC error in words.
func said(err error) string {
	s := status.Convert(err)
	return fmt.Sprintf("%s (%s)", child.Sanitise([]byte(s.Message())), s.Code())
}

// inWords are diagnostics in one line.
func inWords(found []*pluginv1.Diagnostic) string {
	words := make([]string, 0, len(found))
	for _, d := range found {
		text := d.GetSummary()
		if d.GetPath() != "" {
			text = d.GetPath() + " " + text
		}
		if d.GetDetail() != "" {
			text += " (" + d.GetDetail() + ")"
		}
		words = append(words, child.Sanitise([]byte(text)))
	}
	return strings.Join(words, "; ")
}

// answerJSON is Answer for programs.
type answerJSON struct {
	Plugin     string          `json:"plugin"`
	Version    string          `json:"version"`
	Method     string          `json:"method"`
	Request    json.RawMessage `json:"request"`
	Response   json.RawMessage `json:"response"`
	DurationMS float64         `json:"duration_ms"`
	Stderr     []string        `json:"stderr"`
}

// MarshalJSON writes the messages in the JSON form of protocol buffers.
func (a Answer) MarshalJSON() ([]byte, error) {
	recorded, err := Record(a.Request)
	if err != nil {
		return nil, err
	}
	response := json.RawMessage("null")
	if a.Response != nil {
		if response, err = asJSON(a.Response); err != nil {
			return nil, err
		}
	}
	return json.Marshal(answerJSON{
		a.Description.GetName(), a.Description.GetVersion(), recorded.Method, recorded.Request, response,
		float64(a.Took.Microseconds()) / 1000, append([]string{}, a.Stderr...),
	})
}

// Is says whether a plugin is of that kind.
func Is(d *pluginv1.DescribeResponse, kind pluginv1.Kind) bool {
	return slices.Contains(d.GetKinds(), kind)
}
