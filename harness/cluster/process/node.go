//go:build linux || darwin

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

const (
	// stopTimeout bounds how long a pause may take. A thread that waits for
	// the disk stops only after that.
	stopTimeout = 5 * time.Second
	// strayTimeout bounds the wait for a dead leader's children, who were killed
	// with it.
	strayTimeout = 10 * time.Second
)

var errClosed = errors.New("the cluster is closed")

// A node is one process at a time, in one place.
type node struct {
	place    cluster.Place
	spec     cluster.Spec
	logs     string
	guardian *guardian
	telling  *sync.WaitGroup // calls of Spec.Exited
	ports    []io.Closer     // reservations

	// acting is held throughout start, kill, pause, resume and close.
	acting sync.Mutex
	starts int
	closed bool

	// mu guards the rest, and is never held for long.
	mu    sync.Mutex
	state cluster.State
	life  *life // the present or last one; nil before the first
}

// A life is one run of a node's program.
type life struct {
	pid     int // and the process group's number
	started time.Time
	stdin   *os.File // the end that is never written to
	stderr  *os.File
	offset  int64 // of stderr, where this life's part begins

	// Guarded by node.mu.
	killed bool // by us
	ended  bool // its number must not be signalled any more

	gone chan struct{} // closed when it has been reaped
	end  string        // how it ended, valid when gone
}

// reserve returns the address of a port that is the node's until it is closed.
func (n *node) reserve() (string, error) {
	address, held, err := reservePort()
	if err != nil {
		return "", err
	}
	n.ports = append(n.ports, held)
	return address, nil
}

func (n *node) release() error {
	var errs []error
	for _, held := range n.ports {
		errs = append(errs, held.Close())
	}
	return errors.Join(errs...)
}

func (n *node) currentState() cluster.State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

func (n *node) start(ctx context.Context) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	if n.closed {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if state := n.currentState(); state == cluster.Running || state == cluster.Paused {
		return fmt.Errorf("it is %s already; kill it first", state)
	}
	program, err := n.program()
	if err != nil {
		return err
	}
	cmd, err := n.command(program)
	if err != nil {
		return err
	}
	if err := n.write(program.Files); err != nil {
		return err
	}
	n.starts++
	title := fmt.Sprintf("start %d", n.starts)
	stdout, err := n.openLog("stdout.log", title)
	if err != nil {
		return err
	}
	defer stdout.Close()
	stderr, err := n.openLog("stderr.log", title)
	if err != nil {
		return err
	}
	offset, err := stderr.Seek(0, io.SeekEnd)
	if err != nil {
		stderr.Close()
		return err
	}
	stdin, keep, err := os.Pipe()
	if err != nil {
		stderr.Close()
		return err
	}
	defer stdin.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	if err := n.guardian.start(cmd); err != nil {
		keep.Close()
		stderr.Close()
		return err
	}
	l := &life{pid: cmd.Process.Pid, started: time.Now(), stdin: keep, stderr: stderr, offset: offset, gone: make(chan struct{})}
	n.mu.Lock()
	n.life, n.state = l, cluster.Running
	n.mu.Unlock()
	go n.await(l, cmd)
	return nil
}

// program is what is to be run. Files that only a container can have are refused.
func (n *node) program() (cluster.Program, error) {
	program, err := n.spec.ProgramAt(n.place)
	for name := range program.Files {
		if path.IsAbs(name) {
			return program, fmt.Errorf("file %s: an absolute path is a container's; name it within Place.Data, or choose the world docker", name)
		}
	}
	return program, err
}

// write writes files into the data directory.
func (n *node) write(files map[string][]byte) error {
	data, err := os.OpenRoot(n.place.Data)
	if err != nil {
		return err
	}
	defer data.Close()
	for name, content := range files {
		if err := data.MkdirAll(path.Dir(name), 0o777); err != nil {
			return err
		}
		if err := data.WriteFile(name, content, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// command is how the program is run, all but its streams.
func (n *node) command(program cluster.Program) (*exec.Cmd, error) {
	if program.Container.Only {
		return nil, fmt.Errorf("it is to run the image %s, and only containers have images: choose the world docker", program.Container.Image)
	}
	find := os.Executable
	if program.Path != "" {
		find = func() (string, error) { return lookUp(program.Path) }
	}
	executable, err := find()
	if err != nil {
		return nil, err
	}
	if executable, err = filepath.Abs(executable); err != nil { // the node works elsewhere
		return nil, err
	}
	cmd := exec.Command(executable, program.Args...)
	cmd.Dir = n.place.Data
	cmd.Env = slices.Concat(os.Environ(), program.Env, []string{clusterVariable + "=" + filepath.Dir(n.place.Data)})
	return cmd, nil
}

// lookUp finds a program, in PATH if it is a mere name.
func lookUp(program string) (string, error) {
	executable, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%w; build or install it, or set Program.Path to its file", err)
	}
	return executable, nil
}

// openLog opens a log to be appended to, after a line that says what begins.
func (n *node) openLog(name, title string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(n.logs, name), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	n.mark(file, title)
	return file, nil
}

// mark writes a line of ours into a log. That it fails, on a full disk, is no
// reason to fail a node.
func (n *node) mark(file *os.File, title string) {
	fmt.Fprintf(file, "--- %s %s, %s ---\n", n.place.Node, title, time.Now().Format(time.RFC3339Nano))
}

// await sees a life to its end.
func (n *node) await(l *life, cmd *exec.Cmd) {
	awaitExit(l.pid)
	// Until it is reaped, no other process or group can get its number. That
	// makes this the moment to kill what it left behind, and the last one to
	// use the number.
	n.mu.Lock()
	l.ended = true
	killed := l.killed
	tells := !killed && n.spec.Exited != nil
	if tells {
		n.telling.Add(1) // before close can look
	}
	syscall.Kill(-l.pid, syscall.SIGKILL)
	n.mu.Unlock()
	n.guardian.forget(l.pid)
	cmd.Wait() // its error only repeats the ProcessState
	awaitStrays(l.pid)

	state := cluster.Down
	l.end = "was killed"
	if !killed {
		state = cluster.Exited
		l.end = fmt.Sprintf("%s %.1f s after start", describe(cmd.ProcessState), time.Since(l.started).Seconds())
	}
	title := l.end
	if line := l.lastLine(); line != "" && !killed {
		l.end += ": " + line
	}
	l.end += "; see " + l.stderr.Name()
	n.mark(l.stderr, title)
	l.stderr.Close()
	l.stdin.Close()
	n.mu.Lock()
	n.state = state
	n.mu.Unlock()
	close(l.gone)
	if tells {
		defer n.telling.Done()
		n.spec.Exited(n.place.Node, statusOf(cmd.ProcessState))
	}
}

// awaitStrays waits for the rest of a killed group, such as the server under a
// shell, which may still hold the port. It is only asked for, not signalled: the
// number may be another group's by now.
func awaitStrays(group int) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(strayTimeout); groupRuns(group) && time.Now().Before(end); {
		<-ticker.C
	}
}

// statusOf is how a process ended, in the words of package os.
func statusOf(state *os.ProcessState) string {
	if state == nil {
		return "status unknown"
	}
	return state.String()
}

// describe says how a process ended.
func describe(state *os.ProcessState) string {
	if state == nil {
		return "ended in an unknown way"
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return fmt.Sprintf("was ended by signal %d (%s)", status.Signal(), status.Signal())
	}
	return fmt.Sprintf("exited with status %d", state.ExitCode())
}

// lastLine returns the last line that is not blank of what this life wrote to
// stderr, shortened.
func (l *life) lastLine() string {
	const tail, width = 4096, 200
	end, err := l.stderr.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	text := make([]byte, min(tail, end-l.offset))
	if _, err := l.stderr.ReadAt(text, end-int64(len(text))); err != nil {
		return ""
	}
	text = bytes.TrimSpace(text)
	text = text[bytes.LastIndexByte(text, '\n')+1:]
	return string(bytes.ToValidUTF8(text[:min(width, len(text))], nil))
}

func (n *node) kill(ctx context.Context) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	return n.end(ctx)
}

// end kills the process and waits until it is gone.
func (n *node) end(ctx context.Context) error {
	n.mu.Lock()
	l, state := n.life, n.state
	if state == cluster.Down || state == cluster.Exited {
		n.mu.Unlock()
		return nil
	}
	if !l.ended {
		l.killed = true
		syscall.Kill(-l.pid, syscall.SIGKILL)
	}
	n.mu.Unlock()
	select {
	case <-l.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("process %d has got SIGKILL but is not gone yet; kill again to wait on: %w", l.pid, ctx.Err())
	}
}

func (n *node) pause(ctx context.Context) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	if n.currentState() == cluster.Paused {
		return nil
	}
	if err := n.signal(syscall.SIGSTOP, cluster.Paused); err != nil {
		return err
	}
	err := n.awaitStop(ctx)
	if err != nil {
		// Half a pause is none; and a node that has ended is not resumed.
		_ = n.signal(syscall.SIGCONT, cluster.Running)
	}
	return err
}

// awaitStop returns when no thread of the process runs any more.
func (n *node) awaitStop(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stopTimeout, fmt.Errorf("it was still running %v after SIGSTOP", stopTimeout))
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !stopped(n.life.pid) {
		select {
		case <-ticker.C:
		case <-n.life.gone:
			return n.notRunning()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (n *node) resume(context.Context) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	if n.currentState() == cluster.Running {
		return nil
	}
	return n.signal(syscall.SIGCONT, cluster.Running)
}

// signal sends a signal to the node's processes, and notes its effect.
func (n *node) signal(signal syscall.Signal, effect cluster.State) error {
	n.mu.Lock()
	if n.life == nil || n.life.ended {
		n.mu.Unlock()
		return n.notRunning()
	}
	defer n.mu.Unlock()
	if err := syscall.Kill(-n.life.pid, signal); err != nil {
		return os.NewSyscallError("kill", err)
	}
	n.state = effect
	return nil
}

// notRunning says why there is no process to act on. n.mu is not held: it waits
// until all is known of the end.
func (n *node) notRunning() error {
	if n.life == nil {
		return errors.New("it is not running: it was never started")
	}
	<-n.life.gone
	return fmt.Errorf("it is not running: it %s", n.life.end)
}

// close ends the node for good and gives its port back.
func (n *node) close(ctx context.Context) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	n.closed = true
	err := errors.Join(n.end(ctx), n.release())
	if err != nil {
		return fmt.Errorf("%s: %w", n.place.Node, err)
	}
	return nil
}
