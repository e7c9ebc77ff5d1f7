package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/invopop/jsonschema"
)

// Configurer is a plugin that takes a configuration. Embed a *Config to be one;
// nothing else can be.
//
//	type settings struct {
//		Path    string  `json:"path" jsonschema_description:"What to look at."`
//		MinFree float64 `json:"min_free" jsonschema:"exclusiveMinimum=0,maximum=1"`
//	}
//
//	type diskChecker struct{ *sdk.Config[settings] }
//
//	checker := diskChecker{sdk.NewConfig(settings{Path: "/", MinFree: 0.05})}
type Configurer interface {
	configuration() configuration
}

// configuration is what the services need of a Config, whatever its type.
type configuration interface {
	// ready says what is wrong with the Go type, at start.
	ready() error
	// schemaText is the JSON Schema.
	schemaText() (string, error)
	// prepare judges a configuration and returns what applies it.
	prepare(raw map[string]any) (apply func(), found []Diagnostic)
}

// Config holds a plugin's configuration of the struct type T. The sdk generates
// the JSON Schema from T's json, jsonschema and jsonschema_description tags (as
// github.com/invopop/jsonschema reads them) and from the defaults. A key that is
// left out has its default. Unknown keys, wrong types and values out of range are
// reported all at once, each with its path; with one error nothing is applied.
// If T or *T has a method Validate() error, it is called with the decoded value
// and may return a Diagnostic, several joined by errors.Join, or any error.
//
// A new configuration replaces the old one in one step: whoever calls Current
// sees the one or the other. Durations are seconds: use Seconds. Fields without a
// json name of their own in T cannot be configured and stay at their zero value.
//
// The zero Config has the zero T as its defaults. A Config must not be copied.
type Config[T any] struct {
	defaults T
	current  atomic.Pointer[T]
	once     sync.Once
	schema   *jsonschema.Schema
	text     string
	err      error
}

// NewConfig makes a Config that starts with the defaults.
func NewConfig[T any](defaults T) *Config[T] { return &Config[T]{defaults: defaults} }

// Current returns the configuration that is in force. Call it once in a check
// and use what it returned: a second call may see the next configuration. Maps
// and slices in it are shared and must not be changed. It never blocks.
func (c *Config[T]) Current() T {
	if now := c.current.Load(); now != nil {
		return *now
	}
	return c.defaults
}

// Seconds is a duration in a configuration.
type Seconds float64

// Duration converts; more than 292 years is cut to that.
func (s Seconds) Duration() time.Duration {
	const most = float64(1<<63 - 1)
	if nanos := float64(s) * float64(time.Second); nanos < most {
		return time.Duration(nanos)
	}
	return 1<<63 - 1
}

func (c *Config[T]) configuration() configuration { return c }

func (c *Config[T]) ready() error {
	if c == nil {
		return errors.New("its embedded *sdk.Config is nil: set it with sdk.NewConfig")
	}
	if t := reflect.TypeFor[T](); t.Kind() != reflect.Struct {
		return fmt.Errorf("its sdk.Config is of %s: want a struct", t)
	}
	return nil
}

func (c *Config[T]) load() error {
	c.once.Do(func() { c.schema, c.text, c.err = schemaOf(reflect.TypeFor[T](), c.defaults) })
	return c.err
}

func (c *Config[T]) schemaText() (string, error) { return c.text, c.load() }

func (c *Config[T]) prepare(raw map[string]any) (func(), []Diagnostic) {
	if err := c.load(); err != nil {
		return nil, []Diagnostic{{Summary: err.Error()}}
	}
	if found := checkSchema(c.schema, any(raw), ""); refused(found) {
		return nil, found
	}
	next := new(T)
	// A copy of the defaults that shares nothing with them: decoding into a
	// slice or map that both had would change the defaults.
	if err := copyJSON(c.defaults, next); err != nil {
		return nil, []Diagnostic{{Summary: "the plugin's defaults cannot be copied", Detail: err.Error()}}
	}
	if err := copyJSON(raw, next); err != nil {
		return nil, []Diagnostic{decodeDiagnostic(err)}
	}
	var found []Diagnostic
	if v, ok := any(next).(interface{ Validate() error }); ok {
		found = diagnosticsOf(v.Validate())
	}
	if refused(found) {
		return nil, found
	}
	return func() { c.current.Store(next) }, found
}

func copyJSON(from, into any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// decodeDiagnostic explains what the schema let through and Go did not take.
func decodeDiagnostic(err error) Diagnostic {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return Diagnostic{
			Path:    wrongType.Field,
			Summary: "is " + wrongType.Value,
			Detail:  "want " + wrongType.Type.String(),
		}
	}
	return Diagnostic{Summary: "cannot be decoded", Detail: err.Error()}
}

// noConfig stands for a plugin without a Configurer: it takes no key.
type noConfig struct{}

func (noConfig) ready() error                { return nil }
func (noConfig) schemaText() (string, error) { return "", nil }
func (noConfig) prepare(raw map[string]any) (func(), []Diagnostic) {
	found := make([]Diagnostic, 0, len(raw))
	for _, key := range sortedKeys(raw) {
		found = append(found, Diagnostic{Path: key, Summary: "is not known", Detail: "this plugin takes no configuration: remove the key"})
	}
	return func() {}, found
}
