package vdso

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stopLimit bounds how long a running thread may take to stop.
const stopLimit = 2 * time.Second

// A tracer traces every process of the node, except PID 1 and its own, while
// the clock is wrong. All its methods run on one operating-system thread, as
// ptrace demands.
type tracer struct {
	image *image
	// wrong is what clocks show; nil while they are right, and then every thread
	// that stops is let go for good.
	wrong     *slot
	threads   map[int]*thread  // that are traced, by thread ID
	processes map[int]*process // that are patched
	holding   bool             // threads that stop stay so
	changed   <-chan os.Signal // SIGCHLD: a thread may have stopped
}

// A thread is one that is traced.
type thread struct {
	pid     int
	stopped bool
	group   bool        // by SIGSTOP or its like, until SIGCONT
	signal  unix.Signal // was about to be delivered when the thread stopped
}

// apply makes every process of the node show the wrong time. It stops the node
// only if there are processes that it does not know yet.
func (t *tracer) apply() error {
	known, err := t.knowsAll()
	if err != nil {
		return err
	}
	if !known {
		defer t.release()
		if err := t.stopOutsideEntries(); err != nil {
			return err
		}
		for _, th := range t.threads {
			if t.processes[th.pid] == nil {
				if err := t.patch(th.pid); err != nil {
					return err
				}
			}
		}
	}
	return t.show(*t.wrong)
}

// show gives all patched processes that time.
func (t *tracer) show(s slot) error {
	var errs []error
	for pid, p := range t.processes {
		if err := p.set(t.image, s); err != nil && alive(pid) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// undo makes the time right everywhere, and then puts the original vDSO back
// and lets all threads go. A process whose threads do not stop in time keeps a
// hook that shows the right time, and a thread that is stuck in the kernel, as
// in a frozen container, is let go when it comes out.
func (t *tracer) undo() error {
	if t.wrong == nil {
		return nil
	}
	*t.wrong = slot{} // for those that are born meanwhile
	err := t.show(*t.wrong)
	if t.stop() == nil {
		for pid, p := range t.processes {
			if e := p.writeEntries(t.image, t.image.right); e != nil && alive(pid) {
				err = errors.Join(err, e)
			}
		}
	}
	t.wrong = nil
	for pid := range t.processes {
		t.forget(pid)
	}
	t.release()
	return err
}

// patch installs the hook in a process, of which no thread may run, and makes it
// show the wrong time.
func (t *tracer) patch(pid int) error {
	p, err := openProcess(pid)
	if err == nil {
		if err = p.install(t.image); err == nil {
			err = p.set(t.image, *t.wrong)
		}
		t.forget(pid)
		t.processes[pid] = p
	}
	if err != nil {
		t.forget(pid)
		if !alive(pid) {
			return nil
		}
		return fmt.Errorf("give %s a wrong clock: %w", name(pid), err)
	}
	return nil
}

func (t *tracer) forget(pid int) {
	if p := t.processes[pid]; p != nil {
		p.mem.Close()
		delete(t.processes, pid)
	}
}

// stopOutsideEntries stops the node at a moment when no thread is inside the bytes
// that a patch overwrites.
func (t *tracer) stopOutsideEntries() error {
	for deadline := time.Now().Add(stopLimit); ; {
		if err := t.stop(); err != nil {
			return err
		}
		inside, err := t.threadInside()
		if inside == 0 || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("thread %d of %s is inside the vDSO's first instructions whenever it is looked at", inside, name(t.threads[inside].pid))
		}
		t.release()
	}
}

// threadInside returns a thread that is inside the bytes that patching its process
// would overwrite, or 0.
func (t *tracer) threadInside() (int, error) {
	spaces := make(map[int]*process)
	defer func() {
		for _, p := range spaces {
			p.mem.Close()
		}
	}()
	for tid, th := range t.threads {
		if t.processes[th.pid] != nil {
			continue
		}
		p := spaces[th.pid]
		if p == nil {
			var err error
			if p, err = openProcess(th.pid); err != nil {
				if !alive(th.pid) {
					continue
				}
				return 0, fmt.Errorf("give %s a wrong clock: %w", name(th.pid), err)
			}
			spaces[th.pid] = p
		}
		if pc, err := programCounter(tid); err == nil && p.inEntry(t.image, pc) {
			return tid, nil
		}
	}
	return 0, nil
}

// stop holds every thread of the node, until release. Threads that are in
// uninterruptible sleep count as stopped: they are in the kernel, and are
// caught before they execute another instruction of their own. Such are
// parents in vfork, frozen containers, and victims of slow disks.
func (t *tracer) stop() error {
	t.holding = true
	deadline := time.NewTimer(stopLimit)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	asked := make(map[int]bool)
	for {
		nodes, err := nodeThreads()
		if err != nil {
			return err
		}
		strangers := false
		for tid, pid := range nodes {
			if t.threads[tid] == nil {
				traced, err := t.seize(tid, pid)
				if err != nil {
					return err
				}
				strangers = strangers || traced
			}
			if th := t.threads[tid]; th != nil && !th.stopped && !asked[tid] {
				asked[tid] = true
				_ = ptrace(unix.PTRACE_INTERRUPT, tid, 0) // fails if the thread has ended
			}
		}
		running := t.running(tick.C)
		if running == 0 && !strangers {
			return nil
		}
		select {
		case <-deadline.C:
			if running != 0 {
				return fmt.Errorf("thread %d of %s did not stop within %v", running, name(t.threads[running].pid), stopLimit)
			}
			return fmt.Errorf("the node started new processes faster than they could be stopped, for %v", stopLimit)
		default:
		}
	}
}

// running waits until all threads have stopped or a tick has passed, and
// returns a thread that runs, or 0.
func (t *tracer) running(tick <-chan time.Time) int {
	for {
		t.drain()
		waiting := false
		for _, th := range t.threads {
			waiting = waiting || !th.stopped
		}
		if !waiting {
			return 0
		}
		select {
		case <-t.changed:
			continue
		case <-tick:
		}
		for tid, th := range t.threads {
			if !th.stopped && !strings.Contains("DZX", threadState(tid)) {
				return tid
			}
		}
		return 0
	}
}

// release lets all threads run that stop has held.
func (t *tracer) release() {
	t.holding = false
	for tid, th := range t.threads {
		if th.stopped {
			t.resume(tid, th)
		}
	}
}

// seize makes sure that a thread is traced, unless it has ended.
func (t *tracer) seize(tid, pid int) (traced bool, err error) {
	const options = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC
	err = ptrace(unix.PTRACE_SEIZE, tid, options)
	switch {
	case err == nil:
		t.threads[tid] = &thread{pid: pid}
		return true, nil
	case statusField(tid, "TracerPid") == unix.Gettid():
		return true, nil // just born of a traced one; its first stop will be seen
	case strings.Contains("ZX", threadState(tid)):
		return false, nil
	}
	return false, fmt.Errorf("trace thread %d of %s: %w (is a debugger attached to it, or the capability SYS_PTRACE missing?)", tid, name(pid), err)
}

// drain handles all stops and ends of threads that wait to be seen. WNOTHREAD
// leaves children of this program's other threads to those who started them.
func (t *tracer) drain() {
	for {
		var status unix.WaitStatus
		switch tid, err := unix.Wait4(-1, &status, unix.WNOHANG|unix.WALL|unix.WNOTHREAD, nil); {
		case err == unix.EINTR:
		case err != nil || tid <= 0:
			return
		case status.Stopped():
			t.handleStop(tid, status)
		default:
			t.handleEnd(tid)
		}
	}
}

func (t *tracer) handleStop(tid int, status unix.WaitStatus) {
	th := t.threads[tid]
	if th == nil { // born of a traced one, and traced from its first instruction on
		th = &thread{pid: statusField(tid, "Tgid")}
		t.threads[tid] = th
		if t.wrong != nil && t.processes[th.pid] == nil {
			t.adopt(th.pid)
		}
	}
	th.stopped, th.group, th.signal = true, false, 0
	switch event, signal := int(status)>>16, status.StopSignal(); {
	case event == 0:
		th.signal = signal
	case event == unix.PTRACE_EVENT_STOP && signal != unix.SIGTRAP:
		th.group = true
	case event == unix.PTRACE_EVENT_EXEC:
		// The other threads are gone, and so is the patched vDSO. The new
		// program has not executed an instruction.
		for other, o := range t.threads {
			if o.pid == tid && other != tid {
				delete(t.threads, other)
			}
		}
		t.forget(tid)
		if t.wrong != nil {
			if err := t.patch(tid); err != nil {
				// Nobody has asked just now. The next Set will try again.
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
	if !t.holding {
		t.resume(tid, th)
	}
}

// adopt sets the clock of a process that was just forked. It has inherited jumps
// and hook, and the slot of some moment. If it has no jumps, its parent was not
// patched yet and may run in the same memory: apply will see to both.
func (t *tracer) adopt(pid int) {
	p, err := openProcess(pid)
	if err != nil {
		return // it has ended, or apply will say why
	}
	_, jumps, err := p.state(t.image)
	if err == nil && jumps {
		err = p.set(t.image, *t.wrong)
	}
	if err != nil || !jumps {
		p.mem.Close()
		return
	}
	t.processes[pid] = p
}

func (t *tracer) handleEnd(tid int) {
	th := t.threads[tid]
	if th == nil {
		return
	}
	delete(t.threads, tid)
	for _, other := range t.threads {
		if other.pid == th.pid {
			return
		}
	}
	t.forget(th.pid)
}

// resume lets a stopped thread go on as if it had not been traced: a signal is
// delivered, and a thread that SIGSTOP has stopped stays so.
func (t *tracer) resume(tid int, th *thread) {
	th.stopped = false
	// An error means that the thread has been killed; its end will be seen.
	switch {
	case t.wrong == nil:
		_ = ptrace(unix.PTRACE_DETACH, tid, uintptr(th.signal))
		delete(t.threads, tid)
	case th.group:
		_ = ptrace(unix.PTRACE_LISTEN, tid, 0)
	default:
		_ = ptrace(unix.PTRACE_CONT, tid, uintptr(th.signal))
	}
}

// knowsAll tells whether every process of the node is traced and patched.
func (t *tracer) knowsAll() (bool, error) {
	t.drain()
	nodes, err := nodeThreads()
	if err != nil {
		return false, err
	}
	for tid, pid := range nodes {
		if (t.threads[tid] == nil || t.processes[pid] == nil) && alive(pid) {
			return false, nil
		}
	}
	return true, nil
}

// serve runs the calls, and what the threads need in between, until calls is
// closed. Its operating-system thread ends with it, and with that the kernel
// lets go whatever is still traced.
func (t *tracer) serve(calls <-chan func(*tracer)) {
	runtime.LockOSThread()
	for {
		t.drain()
		select {
		case <-t.changed:
		case call, open := <-calls:
			if !open {
				return
			}
			call(t)
		}
	}
}

func ptrace(request, tid int, data uintptr) error {
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), 0, data, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
