package hub

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	hubv1 "github.com/upkeephub/upkeep/proto/upkeep/hub/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// fill sets every field of a message to a value of its own.
func fill(m proto.Message) {
	reflected := m.ProtoReflect()
	fields := reflected.Descriptor().Fields()
	for i := range fields.Len() {
		field, n := fields.Get(i), int64(i+1)
		if field.IsList() {
			list := reflected.Mutable(field).List()
			if field.Kind() == protoreflect.MessageKind {
				fill(list.AppendMutable().Message().Interface())
			} else {
				list.Append(protoreflect.ValueOfString(fmt.Sprint("text ", n)))
			}
			continue
		}
		switch field.Kind() {
		case protoreflect.BytesKind:
			reflected.Set(field, protoreflect.ValueOfBytes([]byte(fmt.Sprint("bytes ", n))))
		case protoreflect.StringKind:
			if !field.IsMap() {
				reflected.Set(field, protoreflect.ValueOfString(fmt.Sprint("text ", n)))
			}
		case protoreflect.DoubleKind:
			reflected.Set(field, protoreflect.ValueOfFloat64(float64(n)))
		case protoreflect.BoolKind:
			reflected.Set(field, protoreflect.ValueOfBool(true))
		case protoreflect.Int32Kind:
			reflected.Set(field, protoreflect.ValueOfInt32(int32(n)))
		case protoreflect.Int64Kind:
			reflected.Set(field, protoreflect.ValueOfInt64(n))
		case protoreflect.Uint64Kind:
			reflected.Set(field, protoreflect.ValueOfUint64(uint64(n)))
		case protoreflect.MessageKind:
			switch {
			case field.IsMap():
				reflected.Mutable(field).Map().Set(protoreflect.ValueOfString("sid").MapKey(), protoreflect.ValueOfString("0.7.0"))
			case field.Message().FullName() == "google.protobuf.Timestamp":
				reflected.Set(field, protoreflect.ValueOfMessage(timestamppb.New(time.Unix(n, n)).ProtoReflect()))
			case field.Message().FullName() == "google.protobuf.Duration":
				reflected.Set(field, protoreflect.ValueOfMessage(durationpb.New(time.Duration(n)).ProtoReflect()))
			default:
				fill(reflected.Mutable(field).Message().Interface())
			}
		}
	}
}

func TestStatisticsCrossTheControlChannelWhole(t *testing.T) {
	want := &hubv1.Statistics{}
	fill(want)
	if got := statisticsOf(want).proto(); !proto.Equal(got, want) {
		t.Errorf("there and back:\n%v\nwant\n%v", got, want)
	}
	if got := statisticsOf(nil); !reflect.DeepEqual(got, Statistics{}) {
		t.Errorf("no statistics are %+v, want none", got)
	}
	if got := (Statistics{}).proto(); got.LastActivity != nil || got.TakenAt != nil {
		t.Errorf("times that are not set are %v and %v, want none", got.LastActivity, got.TakenAt)
	}
}

func TestEverySettingReachesTheOptions(t *testing.T) {
	settings := &hubv1.Settings{}
	fill(settings)
	opts := reflect.ValueOf(optionsOf(settings))
	// What a supervisor does not set, but who uses the package may.
	own := []string{"Logger", "Plain", "Path", "JoinTimeout"}
	for i := range opts.NumField() {
		name := opts.Type().Field(i).Name
		if opts.Field(i).IsZero() != slices.Contains(own, name) {
			t.Errorf("%s is not taken from the settings, or is and should not be", name)
		}
	}
	limits := settings.GetLimits().ProtoReflect().Descriptor().Fields().Len()
	fields := settings.ProtoReflect().Descriptor().Fields().Len() - 1 + limits
	if options := opts.NumField() - len(own); fields != options {
		t.Errorf("%d settings make %d options; one is missing", fields, options)
	}
}

func TestTLSAndTokensCrossTheControlChannelWhole(t *testing.T) {
	settings := &hubv1.Settings{}
	fill(settings)
	got := optionsOf(settings)
	if want := (TLS{"text 1", "text 2", []byte("bytes 3"), []byte("bytes 4")}); !reflect.DeepEqual(got.TLS, want) {
		t.Errorf("TLS is %+v, want %+v", got.TLS, want)
	}
	want := TokenPolicy{Fixed: []Token{{Name: "text 1", Value: "text 2", Roles: []Role{"text 3"}}}, SigningKey: []byte("bytes 2")}
	if !reflect.DeepEqual(got.Tokens, want) {
		t.Errorf("tokens are %+v, want %+v", got.Tokens, want)
	}
	if none := optionsOf(&hubv1.Settings{}); none.TLS.Enabled() || none.Tokens.Enabled() {
		t.Error("settings without TLS and tokens switch them on")
	}
}

func TestOptionsThatAreZeroTakeTheDefaults(t *testing.T) {
	now := time.Now()
	got, err := optionsOf(&hubv1.Settings{ServerId: "s", ServerVersion: "1.0.0"}).withDefaults(now)
	if err != nil {
		t.Fatal(err)
	}
	if got.Host != "localhost" || got.Port != 8765 || got.EventHistory != 10_000 || got.MaxConnections != 10_000 ||
		got.PingInterval != 25*time.Second || got.PingTimeout != time.Minute || got.MaxPayloadBytes != 1_000_000 || !got.HostStartedAt.Equal(now) {
		t.Errorf("defaults are %+v", got)
	}
}

func TestEveryWrongOptionIsNamed(t *testing.T) {
	_, err := New(Options{ServerVersion: "one", Port: -1, EventHistory: -1, MaxConnections: -1, PingInterval: -1, PingTimeout: -1, MaxPayloadBytes: 5,
		MessagesPerSecond: -1, BytesPerSecond: 1, MaxRooms: -1, MaxNamespaces: -1, MaxPendingAcks: -1, MaxHandshakes: -1,
		HeaderTimeout: -1, BodyTimeout: -1, IdleTimeout: -1})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, field := range []string{"ServerID", "ServerVersion", "Port", "EventHistory", "MaxConnections", "PingInterval", "PingTimeout", "MaxPayloadBytes",
		"MessagesPerSecond", "BytesPerSecond", "MaxRooms", "MaxNamespaces", "MaxPendingAcks", "MaxHandshakes",
		"HeaderTimeout", "BodyTimeout", "IdleTimeout"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in: %v", field, err)
		}
	}
}
