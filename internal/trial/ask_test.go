package trial

import (
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

func TestARecordedRequestIsReadBackAsItWas(t *testing.T) {
	sample := &pluginv1.Sample{Generation: 3, Counters: map[string]float64{"looks": 1.5}}
	for _, request := range []proto.Message{CheckRequest("127.0.0.1:8765", sample), DecideRequest(pluginv1.Status_STATUS_CRITICAL, "ring")} {
		recorded, err := Record(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.MarshalIndent(recorded, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		back, err := ReadRecording(text)
		if err != nil || !proto.Equal(back, request) {
			t.Errorf("%v\nis read back as\n%v, %v", request, back, err)
		}
	}
	if _, err := Record(&pluginv1.DescribeRequest{}); err == nil {
		t.Error("a DescribeRequest was recorded")
	}
}

func TestMistakesInARecordingAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		``: "no recording", `[]`: "no recording", `{"method":"check"}`: "no request", `{"method":"look","request":{}}`: `method is "look"`,
		`{"method":"check","request":{"pid":1}}`: "no CheckRequest", `{"method":"decide","request":[]}`: "no DecideRequest",
		`{"method":"check","request":{}} x`: "goes on", `{"method":"check","request":{},"more":1}`: "more",
	} {
		if _, err := ReadRecording([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzAnyRecordingIsReadOrRefused(f *testing.F) {
	f.Add([]byte(`{"method":"check","request":{"check_id":"a","now":"2026-01-02T03:04:05Z"}}`))
	f.Add([]byte(`{"method":"decide","request":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		request, err := ReadRecording(text)
		if err != nil {
			return
		}
		if _, err := Record(request); err != nil {
			t.Errorf("%q was read and cannot be written: %v", text, err)
		}
	})
}
