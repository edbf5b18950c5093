package vdso

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// initialNamespace is the machine's own PID namespace, by its constant inode.
const initialNamespace = "pid:[4026531836]"

// Clocks are those of one node: of all processes of this PID namespace, except
// PID 1 and this one. Methods may be called concurrently.
type Clocks struct {
	broken   error // why clocks cannot be set
	listener net.Listener
	running  sync.WaitGroup

	mutex sync.Mutex // guards sending, against Close
	calls chan func(*tracer)
}

// New leaves all clocks right, and begins to answer Gate. If that fails, Set
// will say why. Close must be called.
func New() *Clocks {
	if lacks := Lacks(); lacks != "" {
		return &Clocks{broken: errors.New(lacks)}
	}
	image, err := ownImage()
	if err != nil {
		return &Clocks{broken: err}
	}
	listener, err := net.Listen("unix", gateAddress)
	if err != nil {
		return &Clocks{broken: fmt.Errorf("serve the gate: %w (is there another agent in this network namespace?)", err)}
	}
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGCHLD)
	t := &tracer{image: image, threads: make(map[int]*thread), processes: make(map[int]*process), changed: changed}
	c := &Clocks{listener: listener, calls: make(chan func(*tracer))}
	c.running.Go(func() {
		defer signal.Stop(changed)
		t.serve(c.calls)
	})
	c.running.Go(c.serveGate)
	return c
}

// Set makes the clocks show what clock says, from now on until the next Set or
// Undo, in all processes that run and in those that start later: children of
// these, and what comes through Gate. When it returns, it is so. After an error
// some clocks may be wrong and others right.
func (c *Clocks) Set(clock cluster.Clock) error {
	if clock == (cluster.Clock{}) {
		return c.Undo()
	}
	if namespace, err := os.Readlink("/proc/self/ns/pid"); err != nil || namespace == initialNamespace {
		return errors.New("the clocks of all processes of the machine would be set: the agent has no PID namespace of its own")
	}
	return c.call(func(t *tracer) error {
		s, err := newSlot(clock, readClock)
		if err != nil {
			return err
		}
		t.wrong = &s
		return t.apply()
	})
}

// Undo makes the time right everywhere, and then puts the original vDSO back
// into the processes and ceases to trace them.
func (c *Clocks) Undo() error {
	if c.broken != nil {
		return nil
	}
	return c.call((*tracer).undo)
}

// Close undoes, and answers Gate no more. It may be called more than once.
func (c *Clocks) Close() error {
	if c.broken != nil {
		return nil
	}
	c.mutex.Lock()
	defer c.running.Wait()
	defer c.mutex.Unlock()
	if c.calls == nil {
		return nil
	}
	err := c.run((*tracer).undo)
	close(c.calls)
	c.calls = nil
	return errors.Join(err, c.listener.Close())
}

// call runs f on the tracer's thread.
func (c *Clocks) call(f func(*tracer) error) error {
	if c.broken != nil {
		return c.broken
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.calls == nil {
		return errors.New("the clocks are closed")
	}
	return c.run(f)
}

func (c *Clocks) run(f func(*tracer) error) error {
	done := make(chan error)
	c.calls <- func(t *tracer) { done <- f(t) }
	return <-done
}

// serveGate lets programs start: at once while clocks are right; and otherwise
// as soon as the gate is traced, so that its exec stops before the program's
// first instruction.
func (c *Clocks) serveGate() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return // closed
		}
		answer := gateGo
		if err := c.call(func(t *tracer) error {
			if t.wrong == nil {
				return nil
			}
			return t.apply()
		}); err != nil {
			answer = err.Error()
		}
		_ = conn.SetDeadline(time.Now().Add(stopLimit))
		_, _ = conn.Write([]byte(answer)) // a gate that is not there any more needs none
		conn.Close()
	}
}

// readClock asks the kernel itself, not the vDSO.
func readClock(id int32) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		return 0, fmt.Errorf("read clock %d: %w", id, err)
	}
	return time.Duration(t.Nano()), nil
}

// Lacks returns why clock faults are impossible here, in a line that says what
// would help; or nothing.
func Lacks() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "clock faults need /proc: " + err.Error()
	}
	for line := range strings.Lines(string(status)) {
		hex, found := strings.CutPrefix(line, "CapEff:")
		if !found {
			continue
		}
		capabilities, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		if err == nil && capabilities&(1<<unix.CAP_SYS_PTRACE) == 0 {
			return "clock faults need the capability SYS_PTRACE, also for root"
		}
	}
	if scope, _ := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); strings.TrimSpace(string(scope)) == "3" {
		return "clock faults need ptrace, which this host forbids until its next boot (kernel.yama.ptrace_scope=3)"
	}
	if _, err := ownImage(); err != nil {
		return "clock faults need a vDSO that can be patched: " + err.Error()
	}
	return ""
}
