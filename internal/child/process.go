package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Bounds that hold for every child.
const (
	// drainTime is how long the pipes may still be read once the process is
	// dead, should something that left its group hold them open.
	drainTime = 250 * time.Millisecond
	// killWait is how long Stop waits for the effect of SIGKILL.
	killWait = 900 * time.Millisecond

	defaultTailLines = 20
	defaultLineLimit = 64 << 10
	defaultLineRate  = 200
	defaultLineBurst = 1000
)

// ErrRunning is in Exit.Err as long as the process has not ended.
var ErrRunning = errors.New("the process has not ended")

// Spec says what to start. Path is required; the zero value of the rest is
// a child without arguments, environment and observers.
type Spec struct {
	// Name stands for the child in errors; empty means Path.
	Name string
	// Path is the executable; it is not looked up in PATH. On Linux
	// "/proc/self/exe" is ourselves, also after the file was replaced.
	Path string
	// Argv0 is the child's name for itself (argv[0]); empty means Path.
	Argv0 string
	// Args follow argv[0].
	Args []string
	// Env is the whole environment: nothing is inherited.
	Env []string
	// Dir is the working directory; empty means ours.
	Dir string
	// ExtraFiles become descriptors 3, 4 … of the child. They stay the
	// caller's: Start passes duplicates on, neither closes the originals nor
	// changes their blocking mode.
	ExtraFiles []*os.File

	// Stdout and Stderr are given each line without its end, sanitised (see
	// Sanitise) and rate-limited. Each is called from one goroutine of its own.
	// A call that blocks stops the reading of that stream, and so in the end
	// the child. Nil discards.
	Stdout func(line string)
	Stderr func(line string)
	// FirstStdoutRaw diverts the first line of standard output, untouched and
	// with its end, to Process.FirstStdout; Stdout is given the lines after it.
	FirstStdoutRaw bool

	// TailLines is how many of the last lines of standard error Exit keeps;
	// each is cut at 1 KiB. Zero means 20.
	TailLines int
	// LineLimit is where a line is cut, in bytes. Zero means 64 KiB.
	LineLimit int
	// LineRate and LineBurst limit what each stream passes on: so many lines a
	// second on average, so many at once. A line costs one more for each KiB
	// that it fills. What exceeds the limit is dropped and counted, and the count
	// is given as a line of its own, at most once a second. Zero means 200 and 1000.
	LineRate  int
	LineBurst int
}

func (s Spec) withDefaults() (Spec, error) {
	if s.Path == "" {
		return s, errors.New("start a child process: Spec.Path is empty; name the executable")
	}
	for i, f := range s.ExtraFiles {
		if f == nil {
			return s, fmt.Errorf("start %s: Spec.ExtraFiles[%d] is nil; leave it out", s.Path, i)
		}
	}
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	if s.Name == "" {
		s.Name = s.Path
	}
	if s.Argv0 == "" {
		s.Argv0 = s.Path
	}
	set(&s.TailLines, defaultTailLines)
	set(&s.LineLimit, defaultLineLimit)
	set(&s.LineRate, defaultLineRate)
	set(&s.LineBurst, defaultLineBurst)
	return s, nil
}

// Process is a child that was started. All methods may be called from any
// goroutine, before and after its end.
type Process struct {
	name       string
	pid        int
	startTicks uint64
	started    time.Time
	proc       *os.Process

	stdout, stderr *stream
	first          *firstLine

	stdinOnce sync.Once
	stdin     *os.File // our end: never written to, closed to say goodbye

	// mu is held while a signal is sent and while the process is reaped, so
	// that a signal never reaches a stranger that got the pid.
	mu     sync.Mutex
	reaped bool

	done chan struct{} // closed by the reaper once exit is set
	exit Exit
}

// Start starts the process and returns once it executes Spec.Path, or with the
// reason why it does not. Whoever starts a process ends it: Stop, or Kill and
// then Done.
func Start(spec Spec) (*Process, error) {
	spec, err := spec.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Process{name: spec.Name, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(spec, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	return p, nil
}

// run lives as long as the process, on one thread: Linux sends the parent-death
// signal when the forking thread ends, and a thread that the runtime is free to
// end would take the child along.
func (p *Process) run(spec Spec, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.launch(spec); err != nil {
		started <- err
		return
	}
	go p.stdout.run()
	go p.stderr.run()
	started <- nil
	p.reap()
}

// launch makes the pipes and starts the process. On failure nothing is left.
func (p *Process) launch(spec Spec) (err error) {
	var ours, theirs []*os.File
	defer func() {
		closeAll(theirs)
		if err != nil {
			closeAll(ours)
		}
	}()
	pipe := func(childReads bool) (*os.File, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		if childReads {
			r, w = w, r
		}
		ours, theirs = append(ours, r), append(theirs, w)
		return r, nil
	}
	if p.stdin, err = pipe(true); err != nil {
		return err
	}
	stdout, err := pipe(false)
	if err != nil {
		return err
	}
	stderr, err := pipe(false)
	if err != nil {
		return err
	}
	for _, f := range spec.ExtraFiles {
		dup, err := duplicate(f)
		if err != nil {
			return fmt.Errorf("pass on %s: %w", f.Name(), err)
		}
		theirs = append(theirs, dup)
	}
	env := spec.Env
	if env == nil {
		env = []string{} // nil would mean: ours
	}
	keepInherited()
	p.proc, err = os.StartProcess(spec.Path, append([]string{spec.Argv0}, spec.Args...), &os.ProcAttr{
		Dir: spec.Dir, Env: env, Files: theirs, Sys: sysProcAttr(),
	})
	if err != nil {
		return err
	}
	p.started = time.Now()
	p.pid = p.proc.Pid
	if stat, err := ReadStat(p.pid); err == nil {
		p.startTicks = stat.StartTicks
	}
	p.stdout = newStream(stdout, spec, spec.Stdout)
	if spec.FirstStdoutRaw {
		p.first = newFirstLine()
		p.stdout.first = p.first
	}
	p.stderr = newStream(stderr, spec, spec.Stderr)
	p.stderr.tail = newTail(spec.TailLines)
	return nil
}

// reap waits for the death, ends the group, collects the status and gives the
// pipes their last moments, in this order: waiting for the pipes first would
// make a death invisible for as long as any descendant holds them.
func (p *Process) reap() {
	state, err := awaitDeath(p.proc)
	died := time.Now()
	p.mu.Lock()
	killGroup(p.pid)
	if state == nil && err == nil { // dead, but its pid is still ours
		state, err = p.proc.Wait()
	}
	p.reaped = true
	p.mu.Unlock()
	p.closeStdin()

	p.stdout.endBy(died.Add(drainTime))
	p.stderr.endBy(died.Add(drainTime))
	late := time.NewTimer(2 * drainTime) // a line function may be blocking
	defer late.Stop()
	for _, s := range []*stream{p.stdout, p.stderr} {
		select {
		case <-s.done:
		case <-late.C:
			late.Reset(0)
		}
	}
	p.exit = newExit(state, err)
	p.exit.Lived = died.Sub(p.started)
	p.exit.Tail = p.stderr.tail.lines()
	close(p.done)
}

// PID is the process id, which is also the id of its group.
func (p *Process) PID() int { return p.pid }

// StartTicks is when the process started, in kernel ticks since boot; with the
// pid it names one process for the life of the machine. It is 0 where the
// platform does not tell.
func (p *Process) StartTicks() uint64 { return p.startTicks }

// Done is closed once the process is dead and reaped, its group killed and its
// output read; at most half a second after its death.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit tells how the process ended. Before Done its Err is ErrRunning.
func (p *Process) Exit() Exit {
	select {
	case <-p.done:
		return p.exit
	default:
		return Exit{Code: -1, Err: ErrRunning}
	}
}

// FirstStdout is the first line of standard output if Spec.FirstStdoutRaw was
// set, else nil. Reading blocks until the line is there, gives it raw with its
// end (cut at 8 KiB), then blocks until the process closes its output and gives
// io.EOF. Output is drained whether anybody reads this or not.
func (p *Process) FirstStdout() io.ReadCloser {
	if p.first == nil {
		return nil
	}
	return p.first
}

// Signal sends a signal to the process alone. It is os.ErrProcessDone once the
// process is dead and reaped: whoever has the pid then is never signalled.
func (p *Process) Signal(sig os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return os.ErrProcessDone
	}
	return p.proc.Signal(sig)
}

// Kill ends the process and its whole group with SIGKILL and does not wait;
// Done tells when it is over. After the end it does nothing.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	killGroup(p.pid)
	_ = p.proc.Kill() // also if it moved to another group; its only error is "already dead"
}

// Stop asks the process to end, by the end of its standard input and SIGTERM to
// its group, and kills the group once grace is over or ctx ends. It returns how
// the process ended, within grace and one second. Should even SIGKILL show no
// effect in that time (a process stuck in the kernel), Err is ErrRunning.
func (p *Process) Stop(ctx context.Context, grace time.Duration) Exit {
	p.closeStdin()
	p.mu.Lock()
	if !p.reaped {
		terminateGroup(p.pid)
	}
	p.mu.Unlock()

	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.exit
	case <-timer.C:
	case <-ctx.Done():
	}
	p.Kill()
	timer.Reset(killWait)
	select {
	case <-p.done:
	case <-timer.C:
	}
	return p.Exit()
}

func (p *Process) closeStdin() {
	p.stdinOnce.Do(func() { _ = p.stdin.Close() })
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// Exit tells how a process ended.
type Exit struct {
	// Code is the exit code, or -1 when a signal ended the process.
	Code int
	// Signal is what ended the process, or 0.
	Signal syscall.Signal
	// Lived is the time from the start to the death.
	Lived time.Duration
	// Tail holds the last lines of standard error, oldest first, sanitised.
	Tail []string
	// Err is set when the end could not be observed; ErrRunning when there is none yet.
	Err error
}

func newExit(state *os.ProcessState, err error) Exit {
	if err != nil {
		return Exit{Code: -1, Err: err}
	}
	exit := Exit{Code: state.ExitCode()}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		exit.Signal = status.Signal()
	}
	return exit
}

// String is one phrase without the tail: "exit status 7 after 1.2s",
// "killed by signal 9 (killed) after 3s".
func (e Exit) String() string {
	lived := e.Lived.Round(time.Millisecond)
	switch {
	case e.Err != nil:
		return e.Err.Error()
	case e.Signal != 0:
		return fmt.Sprintf("killed by signal %d (%v) after %v", int(e.Signal), e.Signal, lived)
	}
	return fmt.Sprintf("exit status %d after %v", e.Code, lived)
}
