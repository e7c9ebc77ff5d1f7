package sdk

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxCalls bounds the author's methods that run at one time. Calls that
	// ignore their context stay under way after their answer was given up; when
	// that many have gathered, further ones are refused and the host replaces
	// the plugin.
	maxCalls = 64
	// maxErrorText bounds the text of an error on the wire, in bytes.
	maxErrorText = 4 << 10
)

// calls counts the author's methods that are under way: each holds a place in
// the channel, and a full channel refuses.
type calls chan struct{}

func newCalls() calls { return make(calls, maxCalls) }

// drain waits until no call is under way and lets none begin any more. It ends
// with ctx.
func (c calls) drain(ctx context.Context) {
	for range maxCalls {
		select {
		case c <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// guarded runs an author's method so that the plugin survives it: a panic is an
// error, and the answer is there when ctx ends even if the method does not care.
func guarded[T any](ctx context.Context, c calls, what string, method func(context.Context) (T, error)) (T, error) {
	var none T
	select {
	case c <- struct{}{}:
	default:
		return none, status.Errorf(codes.ResourceExhausted,
			"%s refused: %d calls are under way or the plugin is ending; let every method return when its context ends", what, maxCalls)
	}
	// Buffered: a method that comes too late must not wait for a reader.
	answered := make(chan answer[T], 1)
	go func() {
		defer func() { <-c }()
		protected(what, func() (T, error) { return method(ctx) }, answered)
	}()
	select {
	case a := <-answered:
		return a.value, statusError(a.err)
	case <-ctx.Done():
		return none, status.FromContextError(ctx.Err()).Err()
	}
}

type answer[T any] struct {
	value T
	err   error
}

// protected runs method and sends exactly one answer, which is an error of code
// Internal if the method panics or ends its goroutine. The stack goes to the
// log: it helps the author and nobody else.
func protected[T any](what string, method func() (T, error), to chan<- answer[T]) {
	got := answer[T]{err: status.Error(codes.Internal, what+" ended its goroutine without an answer")}
	defer func() {
		if p := recover(); p != nil {
			Logger().Error("panic in plugin", "call", what, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			got.err = status.Error(codes.Internal, cut(fmt.Sprintf("panic in %s: %v", what, p)))
		}
		to <- got
	}()
	value, err := method()
	got = answer[T]{value, err}
}

// statusError gives an author's error its form on the wire: a gRPC status
// stays what it is, the end of a context has its code, the rest is Unknown.
func statusError(err error) error {
	if err == nil {
		return nil
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.OK {
		return status.Error(s.Code(), cut(s.Message()))
	}
	code := codes.Unknown
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	}
	return status.Error(code, cut(err.Error()))
}

// cut bounds a text that may have come from anywhere, and repairs its UTF-8.
func cut(text string) string {
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
