package docker

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

func TestSupports(t *testing.T) {
	needEngine(t)
	w := World()
	for _, fault := range append(cluster.Faults, "earthquake") {
		err := w.Supports(t.Context(), fault)
		t.Logf("%s: %v", fault, err)
		switch fault {
		case cluster.KillFault, cluster.PauseFault, cluster.SignalFault, cluster.ClientFault:
			must(t, err)
		case cluster.DiskFault, "earthquake":
			if err == nil {
				t.Errorf("%s is supported", fault)
			}
		}
	}
}

// Links are cut where packets arrive, one way or both, and heal.
func TestSetLinks(t *testing.T) {
	c := started(t, cluster.Spec{Nodes: cluster.Names(3), Program: echo, Faults: []cluster.Fault{cluster.CutFault}})
	if why := c.hello().Lacks[cluster.CutFault]; why != "" {
		t.Skip(why)
	}
	silent := cluster.Condition{Cut: cluster.Silent}
	there := []cluster.Link{{From: "n1", To: "n2"}}
	for range 3 {
		expect(t, c, "n1", "ask n2", "pong from n2")
		must(t, c.SetLinks(t.Context(), there, silent))
		for _, asks := range []string{"n1 ask n2", "n2 ask n1"} { // both need both ways
			from, question, _ := strings.Cut(asks, " ")
			if got, err := request(c.Address(from), question, 10*time.Second); !strings.Contains(got, "timeout") || err != nil {
				t.Errorf("%s got %q, %v", asks, got, err)
			}
		}
		expect(t, c, "n3", "ask n2", "pong from n2")
		expect(t, c, "n1", "ask n3", "pong from n3")
		// The rules outlive the target.
		must(t, c.Kill(t.Context(), "n2"))
		must(t, c.Start(t.Context(), "n2"))
		awaitServing(t, c, "n2")
		if got, err := request(c.Address("n1"), "ask n2", 10*time.Second); !strings.Contains(got, "timeout") || err != nil {
			t.Errorf("after a restart, n1 got %q, %v", got, err)
		}
		must(t, c.SetLinks(t.Context(), there, cluster.Condition{}))
	}
	expect(t, c, "n1", "ask n2", "pong from n2")
}

func TestSetLinksRefuses(t *testing.T) {
	c := built(t, cluster.Spec{Nodes: cluster.Names(2), Program: echo})
	for want, links := range map[string][]cluster.Link{
		"n1>n9: no such link": {{From: "n1", To: "n2"}, {From: "n1", To: "n9"}},
		"n1>n1: no such link": {{From: "n1", To: "n1"}},
		"no agent":            {{From: "n1", To: "n2"}},
	} {
		if err := c.SetLinks(t.Context(), links, cluster.Condition{Cut: cluster.Silent}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	// Links that nobody can have touched are whole.
	must(t, c.SetLinks(t.Context(), []cluster.Link{{From: "n1", To: "n2"}}, cluster.Condition{}))
}

// A partition over five nodes is a request to each.
func TestPartitionIsQuick(t *testing.T) {
	c := built(t, cluster.Spec{Nodes: cluster.Names(5), Program: echo, Faults: []cluster.Fault{cluster.CutFault}})
	if why := c.hello().Lacks[cluster.CutFault]; why != "" {
		t.Skip(why)
	}
	var links []cluster.Link
	for _, from := range c.Nodes() {
		for _, to := range c.Nodes() {
			if (from < "n3") != (to < "n3") {
				links = append(links, cluster.Link{From: from, To: to})
			}
		}
	}
	var took []time.Duration
	for i := range 100 {
		condition := cluster.Condition{}
		if i%2 == 0 {
			condition.Cut = cluster.Silent
		}
		begin := time.Now()
		must(t, c.SetLinks(t.Context(), links, condition))
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("median %v, slowest %v", took[50], took[99])
}

func TestSignal(t *testing.T) {
	c := started(t, cluster.Spec{Nodes: cluster.Names(1), Program: echo, Faults: []cluster.Fault{cluster.SignalFault}})
	if err := c.Signal(t.Context(), "n1", "nobody", syscall.SIGKILL); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("error %v does not name the process", err)
	}
	expect(t, c, "n1", "ping", "pong from n1")
	must(t, c.Signal(t.Context(), "n1", "rashomon", syscall.SIGSTOP))
	if got, err := request(c.Address("n1"), "ping", 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a stopped process answered %q, %v", got, err)
	}
	must(t, c.Signal(t.Context(), "n1", "rashomon", syscall.SIGCONT))
	expect(t, c, "n1", "ping", "pong from n1")
	must(t, c.Signal(t.Context(), "n1", "rashomon", syscall.SIGKILL))
	eventually(t, "down", func() bool { return c.State("n1") == cluster.Down })
	must(t, c.Start(t.Context(), "n1"))
	awaitServing(t, c, "n1")
}

// A clock is wrong from the first instruction on, of a built-in node and of one
// from an image, and over restarts; and it can be put right.
func TestSetClock(t *testing.T) {
	needEngine(t)
	e, err := connect(t.Context())
	must(t, err)
	defer e.close()
	image, err := e.image(t.Context(), nil)
	must(t, err)
	for name, image := range map[string]string{"built in": "", "image": image} {
		t.Run(name, func(t *testing.T) {
			c := started(t, cluster.Spec{Nodes: cluster.Names(2), Faults: []cluster.Fault{cluster.ClockFault}, Program: func(place cluster.Place) cluster.Program {
				program := echo(place)
				program.Container.Image = image
				return program
			}})
			if why := c.hello().Lacks[cluster.ClockFault]; why != "" {
				t.Skip(why)
			}
			for _, offset := range []time.Duration{0, time.Hour, -24 * time.Hour, 0} {
				must(t, c.SetClock(t.Context(), "n1", cluster.Clock{Offset: offset}))
				expectClock(t, c, "n1", offset, false)
				must(t, c.Kill(t.Context(), "n1"))
				must(t, c.Start(t.Context(), "n1"))
				awaitServing(t, c, "n1")
				expectClock(t, c, "n1", offset, true)
				expectClock(t, c, "n2", 0, true)
			}
		})
	}
}

// expectClock compares a node's clock with ours, also as it was at its start if
// it had that offset already.
func expectClock(t *testing.T, c cluster.Cluster, name cluster.Node, offset time.Duration, started bool) {
	t.Helper()
	answer, err := request(c.Address(name), "time", 10*time.Second)
	must(t, err)
	var now, began int64
	_, err = fmt.Sscan(answer, &now, &began)
	must(t, err)
	const tolerance = 10 * time.Second // of a loaded machine
	if got := time.Until(time.UnixMilli(now)); (got - offset).Abs() > tolerance {
		t.Errorf("the clock of %s is off by %v, want %v", name, got, offset)
	}
	if got := time.Until(time.UnixMilli(began)); started && (got-offset).Abs() > 10*tolerance {
		t.Errorf("when %s started, its clock was off by %v, want %v", name, got, offset)
	}
}
