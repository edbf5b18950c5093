//go:build linux && amd64

package vdso

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	_ "unsafe" // for go:linkname

	"golang.org/x/sys/unix"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// The test binary plays all parts of a node, told apart by this variable.
const roleVariable = "RASHOMON_VDSO_TEST_ROLE"

func TestMain(m *testing.M) {
	role, args := os.Getenv(roleVariable), os.Args[1:]
	var err error
	switch role {
	case "":
		os.Exit(m.Run())
	case "holder":
		_, err = io.Copy(io.Discard, os.Stdin)
	case "agent":
		err = agent()
	case "reader":
		err = read(args)
	case "gate":
		os.Setenv(roleVariable, "reader") // of the program behind it
		err = Gate(args)
	case "lacks":
		fmt.Println(Lacks())
	case "parent": // of a reader
		err = runChild(args)
	case "busy": // gets a signal and starts a thread again and again
		err = busy()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A node has a PID and a network namespace, with a holder as PID 1 and an agent,
// as a container of the docker world has.
type node struct {
	t      *testing.T
	holder *exec.Cmd
	agent  *program
}

func newNode(t *testing.T) *node {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, for namespaces of its own")
	}
	if lacks := Lacks(); lacks != "" {
		t.Skip(lacks)
	}
	holder := role("holder")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET}
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); errors.Is(err, unix.EPERM) {
		t.Skipf("cannot make namespaces here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // ends every process of the namespace
		stdin.Close()
		holder.Wait()
	})
	n := &node{t: t, holder: holder}
	agent := role("agent")
	agent.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	n.agent = n.start(agent)
	if answer := n.agent.line(); answer != "ready" {
		t.Fatal(answer)
	}
	return n
}

func role(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+name, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// start runs a program in the node. It ends with the test.
func (n *node) start(cmd *exec.Cmd) *program {
	n.t.Helper()
	return start(n.t, cmd, func() error {
		started := make(chan error)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with its odd namespaces
			started <- n.startHere(cmd)
		}()
		return <-started
	})
}

func startOutside(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	return start(t, cmd, cmd.Start)
}

func start(t *testing.T, cmd *exec.Cmd, run func() error) *program {
	t.Helper()
	p := &program{t: t, cmd: cmd}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	cmd.Stderr = t.Output()
	cmd.WaitDelay = 100 * time.Millisecond // a child of its own may hold its output
	if err := run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// startHere makes the calling thread's children live in the node.
func (n *node) startHere(cmd *exec.Cmd) error {
	for _, name := range []string{"pid", "net"} {
		ns, err := os.Open(filepath.Join("/proc", strconv.Itoa(n.holder.Process.Pid), "ns", name))
		if err != nil {
			return err
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), 0); err != nil {
			return fmt.Errorf("enter namespace %s: %w", name, err)
		}
	}
	return cmd.Start()
}

// set lets the agent set the clock, and returns the right wall clock at its
// return. The zero Clock is undo.
func (n *node) set(clock cluster.Clock) time.Duration {
	n.t.Helper()
	if err := n.trySet(clock); err != nil {
		n.t.Fatalf("set %+v: %v", clock, err)
	}
	now, _ := readClock(unix.CLOCK_REALTIME)
	return now
}

func (n *node) trySet(clock cluster.Clock) error {
	if err := json.NewEncoder(n.agent.stdin).Encode(clock); err != nil {
		return err
	}
	if answer := n.agent.line(); answer != "ok" {
		return errors.New(answer)
	}
	return nil
}

// agent sets the clocks that it is told, a line each.
func agent() error {
	if err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
	); err != nil {
		return fmt.Errorf("mount the /proc of the node: %w", err)
	}
	clocks := New()
	fmt.Println("ready")
	for requests := json.NewDecoder(os.Stdin); ; {
		var clock cluster.Clock
		if err := requests.Decode(&clock); err == io.EOF {
			return clocks.Close()
		} else if err != nil {
			return err
		}
		start := time.Now()
		if err := clocks.Set(clock); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("ok")
		}
		fmt.Fprintf(os.Stderr, "agent: %+v took %v\n", clock, time.Since(start))
	}
}

// A program runs in a node.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
	ended sync.Once
}

func (p *program) kill() {
	p.ended.Do(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
}

// traced tells whether a ptracer is attached.
func (p *program) traced() bool {
	return statusField(p.cmd.Process.Pid, "TracerPid") != 0
}

func (p *program) line() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("read from %v: %v", p.cmd, err)
	}
	return strings.TrimSpace(line)
}

// A reading is what a program saw: at what time, in truth, and by how much each
// of its clocks was wrong.
type reading struct {
	at   time.Duration
	skew map[string]time.Duration
}

// reading reads a line: the right wall clock, and name=skew of each clock, all
// in nanoseconds.
func (p *program) reading() reading {
	p.t.Helper()
	line := p.line()
	r := reading{skew: make(map[string]time.Duration)}
	for i, field := range strings.Fields(line) {
		name, value, found := strings.Cut(field, "=")
		if !found {
			name, value = "", field
		}
		ns, err := strconv.ParseInt(value, 10, 64)
		if err != nil || found == (i == 0) {
			p.t.Fatalf("read from %v: %q is not a reading", p.cmd, line)
		}
		if i == 0 {
			r.at = time.Duration(ns)
		} else {
			r.skew[name] = time.Duration(ns)
		}
	}
	return r
}

// readingsAfter returns the next n readings taken later than at.
func (p *program) readingsAfter(at time.Duration, n int) []reading {
	p.t.Helper()
	var rs []reading
	for len(rs) < n {
		if r := p.reading(); r.at > at {
			rs = append(rs, r)
		}
	}
	return rs
}

//go:linkname nanotime runtime.nanotime
func nanotime() int64

// read prints readings, from as many threads as args tells, without end.
func read(args []string) error {
	threads := 1
	if len(args) > 0 {
		var err error
		if threads, err = strconv.Atoi(args[0]); err != nil {
			return err
		}
	}
	var group sync.WaitGroup
	for range threads {
		group.Go(func() {
			runtime.LockOSThread()
			for {
				wall, at := measure(unix.CLOCK_REALTIME, func() int64 { return time.Now().UnixNano() })
				monotonic, _ := measure(unix.CLOCK_MONOTONIC, nanotime)
				if _, err := fmt.Printf("%d wall=%d monotonic=%d\n", at, wall, monotonic); err != nil {
					return
				}
				unix.Nanosleep(&unix.Timespec{Nsec: int64(200 * threads * 1000)}, nil)
			}
		})
	}
	group.Wait()
	return nil
}

// measure returns by how much a clock differs from the kernel's answer, and what
// that was just before.
func measure(id int32, clock func() int64) (skew, before time.Duration) {
	for {
		before, _ := readClock(id)
		now := clock()
		after, _ := readClock(id)
		if after-before < 100*time.Microsecond { // not interrupted
			return time.Duration(now) - before, before
		}
	}
}

// runChild starts a reader, once it is told to.
func runChild(args []string) error {
	fmt.Println("waiting")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	child := role("reader", args...)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	return child.Run()
}

// busy is a reader that starts and ends threads and programs, and sends itself
// signals, all the time.
func busy() error {
	received := make(chan os.Signal, 1)
	signal.Notify(received, unix.SIGUSR1)
	go func() {
		for range received {
		}
	}()
	go func() {
		for {
			ended := make(chan bool)
			go func() {
				runtime.LockOSThread() // the thread ends with the goroutine
				close(ended)
			}()
			<-ended
			unix.Kill(os.Getpid(), unix.SIGUSR1)
		}
	}()
	go func() {
		for {
			if err := exec.Command("true").Run(); err != nil {
				fmt.Println(err) // no reading: the test fails
			}
		}
	}()
	return read(nil)
}
