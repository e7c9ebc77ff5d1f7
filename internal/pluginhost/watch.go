package pluginhost

import (
	"context"
	"errors"
	"io"
	"time"

	pluginv1 "github.com/upkeephub/upkeep/proto/upkeep/plugin/v1"
)

const (
	// watchCapability is the word in Describe for plugins with a Watch.
	watchCapability = "watch"
	// watchGap is the least time between two results that are taken from a
	// stream; what comes faster waits in the plugin, not in host.
	watchGap = 100 * time.Millisecond
	// longestWatchPause bounds the pause before a stream is opened again.
	longestWatchPause = time.Minute
)

// watch keeps the stream of a checker with the capability open until the
// process or ctx ends.
func (i *Instance) watch(ctx context.Context, s *session) {
	ctx, cancel := s.tie(ctx)
	defer cancel()
	pause := i.opts.WatchPause
	for {
		results, err := i.watchOnce(ctx, s)
		cause, _ := fromStatus(err)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(cause, ErrNotOffered):
			i.log.Warn("plugin names the capability but has no such call", "capability", watchCapability, "error", cause)
			return
		case results > 0:
			pause = i.opts.WatchPause
		}
		i.log.Debug("watch ended, will open again", "wait", pause, "error", cause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longestWatchPause)
	}
}

// watchOnce delivers what one stream sends and tells how much that was. The
// stream has no deadline of its own: it may be silent for as long as the
// process answers its health calls.
func (i *Instance) watchOnce(ctx context.Context, s *session) (results int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := CheckInput{}
	if i.opts.WatchInput != nil {
		in = i.opts.WatchInput(s.info.CheckName)
	}
	if in.Now.IsZero() {
		in.Now = time.Now()
	}
	stream, err := pluginv1.NewCheckerServiceClient(s.conn).Watch(ctx, &pluginv1.WatchRequest{Check: checkToProto(in)})
	if err != nil {
		return 0, err
	}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return results, errors.New("the plugin ended it")
		}
		if err != nil {
			return results, err
		}
		results++
		i.opts.OnWatch(s.info.CheckName, checkFromProto(s.info.CheckName, answer.GetCheck(), s.loads, time.Now(), 0, in.Target.HubGeneration))
		select {
		case <-ctx.Done():
			return results, ctx.Err()
		case <-time.After(watchGap):
		}
	}
}
