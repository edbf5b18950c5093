//go:build linux && amd64

package vdso

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

const year = 365 * 24 * time.Hour

// near fails the test if a clock of the reading is not wrong by want.
func near(t *testing.T, r reading, clock string, want time.Duration) {
	t.Helper()
	if got := r.skew[clock]; (got - want).Abs() > time.Millisecond {
		t.Fatalf("the %s clock is wrong by %v at %v, want %v", clock, got, time.Unix(0, int64(r.at)), want)
	}
}

func TestJump(t *testing.T) {
	n := newNode(t)
	reader := n.start(role("reader", "8"))
	for _, clock := range []cluster.Clock{
		{},
		{Offset: time.Hour},
		{Offset: -10 * year},
		{Offset: 3 * time.Second},
		{Offset: 100 * year},
		{Offset: 3 * time.Second, Monotonic: true},
		{Offset: time.Nanosecond},
		{},
		{Offset: -time.Hour},
		{},
	} {
		at := n.set(clock)
		monotonic := time.Duration(0)
		if clock.Monotonic {
			monotonic = clock.Offset
		}
		for _, r := range reader.readingsAfter(at, 100) {
			near(t, r, "wall", clock.Offset)
			near(t, r, "monotonic", monotonic)
		}
	}
}

func TestDrift(t *testing.T) {
	n := newNode(t)
	reader := n.start(role("reader"))
	for _, clock := range []cluster.Clock{
		{Drift: 0.1, Offset: time.Hour},
		{Drift: -0.5},
		{Drift: 0.25, Monotonic: true},
	} {
		first := reader.readingsAfter(n.set(clock), 1)[0]
		last := reader.readingsAfter(first.at+time.Second, 1)[0]
		drift := func(name string) float64 {
			return float64(last.skew[name]-first.skew[name]) / float64(last.at-first.at)
		}
		wall, monotonic := drift("wall"), drift("monotonic")
		t.Logf("%+v: measured %.5f, monotonic %.5f over %v", clock, wall, monotonic, last.at-first.at)
		if math.Abs(wall-clock.Drift) > 0.001 {
			t.Errorf("drift is %.5f, want %v", wall, clock.Drift)
		}
		if want := map[bool]float64{true: clock.Drift}[clock.Monotonic]; math.Abs(monotonic-want) > 0.001 {
			t.Errorf("monotonic drift is %.5f, want %v", monotonic, want)
		}
	}
}

func TestStrobe(t *testing.T) {
	const half = 50 * time.Millisecond
	clock := cluster.Clock{Offset: time.Minute, Strobe: half}
	n := newNode(t)
	reader := n.start(role("reader"))
	// The clock is set between before and at.
	var before, at time.Duration
	waitFor(t, "a quick set", func() bool {
		before, _ = readClock(unix.CLOCK_REALTIME)
		at = n.set(clock)
		return at-before < half/2
	})
	seen := make(map[time.Duration]int)
	waitFor(t, "both sides of the strobe", func() bool {
		r := reader.readingsAfter(at, 1)[0]
		early, late := (r.at-at-time.Millisecond)/half, (r.at-before+time.Millisecond)/half
		if early == late { // far enough from an edge
			want := clock.Offset * (1 - early%2)
			near(t, r, "wall", want)
			near(t, r, "monotonic", 0)
			seen[want]++
		}
		return seen[0] > 200 && seen[clock.Offset] > 200
	})
}

func TestRestartsThroughGate(t *testing.T) {
	n := newNode(t)
	readings := 0
	check := func(clock cluster.Clock, command ...string) {
		t.Helper()
		n.set(clock)
		for range 10 {
			reader := n.start(role("gate", command...))
			for range 20 {
				near(t, reader.reading(), "wall", clock.Offset)
				readings++
			}
			reader.kill()
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	check(cluster.Clock{}, self)
	check(cluster.Clock{Offset: time.Hour}, "--", self)
	// As images do it: a script that runs this and that and then the server.
	check(cluster.Clock{Offset: -year}, "sh", "-c", `ls / >/dev/null; $(true); exec "$0"`, self)
	check(cluster.Clock{Offset: -year}, "sh", "-c", `env -- "$0"; exit 0`, self)
	t.Logf("%d readings, from the first of each start on", readings)
}

func TestGateRefuses(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "needs a command"},
		{[]string{"--"}, "needs a command"},
		{[]string{"no-such-program"}, "not found"},
	} {
		if err := Gate(tt.args); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Gate(%q) = %v, want %s", tt.args, err, tt.want)
		}
	}
	if err := waitForGo("@rashomon-no-agent", 20*time.Millisecond); err == nil || !strings.Contains(err.Error(), "no agent answered") {
		t.Errorf("without an agent the gate says %v", err)
	}
}

func TestNewChildren(t *testing.T) {
	n := newNode(t)
	before := n.start(role("parent")) // born before the clock is wrong
	before.line()
	n.set(cluster.Clock{Offset: time.Hour})
	fmt.Fprintln(before.stdin)
	for range 50 {
		near(t, before.reading(), "wall", time.Hour)
	}
	for _, r := range before.readingsAfter(n.set(cluster.Clock{Offset: time.Minute}), 50) {
		near(t, r, "wall", time.Minute)
	}
}

func TestOthersAreUnmoved(t *testing.T) {
	a, b := newNode(t), newNode(t)
	neighbour, host := b.start(role("reader")), startOutside(t, role("reader"))
	wall, _ := readClock(unix.CLOCK_REALTIME)
	uptime, _ := readClock(unix.CLOCK_MONOTONIC)
	target := a.start(role("reader"))
	at := a.set(cluster.Clock{Offset: -10 * year, Drift: 0.5, Monotonic: false})
	if r := target.readingsAfter(at, 1)[0]; r.skew["wall"] > -9*year {
		t.Fatalf("the target's clock is wrong by %v only", r.skew["wall"])
	}
	for _, p := range []*program{neighbour, host} {
		for _, r := range p.readingsAfter(at, 50) {
			near(t, r, "wall", 0)
			near(t, r, "monotonic", 0)
		}
	}
	wall2, _ := readClock(unix.CLOCK_REALTIME)
	uptime2, _ := readClock(unix.CLOCK_MONOTONIC)
	if moved := (wall2 - wall) - (uptime2 - uptime); moved.Abs() > 10*time.Millisecond {
		t.Errorf("the host's clock has moved by %v", moved)
	}
}

func TestUndo(t *testing.T) {
	image, err := ownImage()
	if err != nil {
		t.Skip(err)
	}
	n := newNode(t)
	reader := n.start(role("reader", "4"))
	patched := func() bool {
		t.Helper()
		p, err := openProcess(reader.cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		defer p.mem.Close()
		got := make([]byte, image.area)
		if _, err := p.mem.ReadAt(got, p.base); err != nil {
			t.Fatal(err)
		}
		return !bytes.Equal(got, image.right[:image.area])
	}
	for range 5 {
		n.set(cluster.Clock{Offset: time.Hour})
		if !patched() || !reader.traced() {
			t.Fatalf("patched %v, traced %v; want both", patched(), reader.traced())
		}
		for _, r := range reader.readingsAfter(n.set(cluster.Clock{}), 20) {
			near(t, r, "wall", 0)
		}
		if patched() || reader.traced() {
			t.Fatalf("after undo: patched %v, traced %v", patched(), reader.traced())
		}
	}

	// The end of the agent's input ends the fault, too.
	n.set(cluster.Clock{Offset: time.Hour})
	n.agent.stdin.Close()
	if err := n.agent.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	now, _ := readClock(unix.CLOCK_REALTIME)
	for _, r := range reader.readingsAfter(now, 20) {
		near(t, r, "wall", 0)
	}
}

// A target must survive the death of its agent.
func TestAgentIsKilled(t *testing.T) {
	n := newNode(t)
	reader := n.start(role("reader", "4"))
	n.set(cluster.Clock{Offset: time.Hour})
	n.agent.kill()
	now, _ := readClock(unix.CLOCK_REALTIME)
	reader.readingsAfter(now+50*time.Millisecond, 20)
	if reader.traced() {
		t.Error("the reader is still traced")
	}
}

// Tracing must not change what signals do.
func TestSignals(t *testing.T) {
	n := newNode(t)
	reader := n.start(role("reader", "4"))
	const stopped, running = "Tt", "RS"
	// A process passes through other states when a tracer comes or goes, so only
	// many looks in a row count.
	stays := func(states, when string) {
		t.Helper()
		looks := 0
		waitFor(t, fmt.Sprintf("state %s %s", states, when), func() bool {
			looks++
			if !strings.Contains(states, threadState(reader.cmd.Process.Pid)) {
				looks = 0
			}
			return looks == 20
		})
	}
	signal := func(s syscall.Signal, states string) {
		t.Helper()
		if err := reader.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		stays(states, "after "+s.String())
	}
	n.set(cluster.Clock{Offset: time.Hour})
	signal(syscall.SIGSTOP, stopped)
	at := n.set(cluster.Clock{Offset: time.Minute})
	stays(stopped, "after another set")
	signal(syscall.SIGCONT, running)
	near(t, reader.readingsAfter(at, 1)[0], "wall", time.Minute)

	signal(syscall.SIGSTOP, stopped)
	n.set(cluster.Clock{})
	stays(stopped, "after undo")
	n.set(cluster.Clock{Offset: time.Hour})
	stays(stopped, "after set")
	n.set(cluster.Clock{})
	stays(stopped, "after another undo")
	at = n.set(cluster.Clock{Offset: 2 * time.Hour})
	signal(syscall.SIGCONT, running)
	near(t, reader.readingsAfter(at, 1)[0], "wall", 2*time.Hour)

	reader.cmd.Process.Signal(syscall.SIGTERM)
	if err := reader.cmd.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("SIGTERM to a traced process: %v, want that it ends", err)
	}
	n.set(cluster.Clock{Offset: time.Minute}) // nobody is left
}

// Threads that start and end, and signals that fly, all the time.
func TestBusyTarget(t *testing.T) {
	n := newNode(t)
	target := n.start(role("busy"))
	for i := range 30 {
		clock := cluster.Clock{Offset: time.Duration(i%3) * time.Hour}
		for _, r := range target.readingsAfter(n.set(clock), 1) {
			near(t, r, "wall", clock.Offset)
		}
	}
}

func TestSetRefuses(t *testing.T) {
	n := newNode(t)
	reader := n.start(role("reader"))
	at := n.set(cluster.Clock{Offset: time.Hour})
	if err := n.trySet(cluster.Clock{Offset: -200 * year}); err == nil {
		t.Error("a jump to before 1970 is not refused")
	}
	near(t, reader.readingsAfter(at, 1)[0], "wall", time.Hour)

	if namespace, err := os.Readlink("/proc/self/ns/pid"); err != nil || namespace != initialNamespace {
		return
	}
	c := New()
	defer c.Close()
	if err := c.Set(cluster.Clock{Offset: time.Nanosecond}); err == nil {
		t.Error("setting the clocks of the whole machine is not refused")
	}
}

func TestLacks(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	if lacks := Lacks(); lacks != "" {
		t.Skip(lacks)
	}
	nobody := role("lacks")
	nobody.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if got := startOutside(t, nobody).line(); !strings.Contains(got, "SYS_PTRACE") {
		t.Errorf("without capabilities, Lacks is %q", got)
	}
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	const limit = 10 * time.Second
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", limit, what)
		}
	}
}
