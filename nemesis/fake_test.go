package nemesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// fake is a cluster, its world and its trial, in memory. Each action takes a
// millisecond.
type fake struct {
	nodes  []cluster.Node
	began  time.Time
	leader func() (cluster.Node, error)
	fails  func(action string) error // such as "start n1", "cut silent"
	lacks  map[cluster.Fault]error   // of the world
	after  func(event history.Event) // called by record
	role   func(cluster.Node) string
	dies   cluster.Node // ends at once when it is started

	mu     sync.Mutex
	state  map[cluster.Node]cluster.State
	links  map[cluster.Link]cluster.Condition // that are not healthy
	clocks map[cluster.Node]cluster.Clock     // that are wrong
	means  map[cluster.Fault]string
	events []history.Event

	signals []string
}

func newFake(count int) *fake {
	f := &fake{
		nodes:  cluster.Names(count),
		began:  time.Now(),
		leader: func() (cluster.Node, error) { return "n1", nil },
		fails:  func(string) error { return nil },
		after:  func(history.Event) {},
		role:   func(cluster.Node) string { return "" },
		state:  map[cluster.Node]cluster.State{},
		links:  map[cluster.Link]cluster.Condition{},
		clocks: map[cluster.Node]cluster.Clock{},
		events: []history.Event{{Type: history.PhaseBegins, Phase: history.Faults}},
	}
	for _, node := range f.nodes {
		f.state[node] = cluster.Running
	}
	return f
}

func (f *fake) stage(duration time.Duration, seed uint64) harness.Stage {
	return harness.Stage{
		Cluster: f, World: fakeWorld{f}, Duration: duration, Rand: rand.New(rand.NewPCG(seed, 0)),
		Leader: func(context.Context) (cluster.Node, error) { return f.leader() },
		Record: func(event history.Event) {
			f.mu.Lock()
			event.Time = time.Since(f.began)
			f.events = append(f.events, event)
			f.mu.Unlock()
			f.after(event)
		},
	}
}

// unhealed says what is not as it should be.
func (f *fake) unhealed() (left []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, node := range f.nodes {
		if f.state[node] != cluster.Running {
			left = append(left, fmt.Sprintf("%s is %s", node, f.state[node]))
		}
	}
	for link := range f.links {
		left = append(left, link.String())
	}
	for node := range f.clocks {
		left = append(left, "clock of "+node)
	}
	return left
}

// told returns the events in a line each, without phases.
func (f *fake) told() (lines []string) {
	for _, e := range f.events {
		if e.Type == history.PhaseBegins {
			continue
		}
		line := fmt.Sprintf("%v %s", e.Time.Round(10*time.Millisecond), e.Type)
		for _, part := range []string{e.Family, e.Shape, e.Mode, e.Processes, fmt.Sprint(e.Nodes), e.Detail, e.Reason} {
			if part != "" && part != "[]" {
				line += " " + part
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func (f *fake) count(what history.EventType) (count int) {
	for _, e := range f.events {
		if e.Type == what {
			count++
		}
	}
	return count
}

func (f *fake) setState(node cluster.Node, state cluster.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state[node] = state
}

// change moves the node into a state, from any but those named.
func (f *fake) change(ctx context.Context, action string, node cluster.Node, to cluster.State, not ...cluster.State) error {
	time.Sleep(time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	err := cmp.Or(ctx.Err(), f.fails(action+" "+node))
	if slices.Contains(not, f.state[node]) {
		err = errors.New("it is " + string(f.state[node]))
	}
	if err != nil {
		return fmt.Errorf("cannot %s %s: %w", action, node, err)
	}
	f.state[node] = to
	return nil
}

func (f *fake) Nodes() []cluster.Node                     { return slices.Clone(f.nodes) }
func (f *fake) Role(node cluster.Node) string             { return f.role(node) }
func (f *fake) PortAddress(cluster.Node, string) string   { return "" }
func (f *fake) Address(cluster.Node) string               { return "" }
func (f *fake) ClientAddress(cluster.Node, string) string { return "" }
func (f *fake) Close() error                              { return nil }

func (f *fake) Start(ctx context.Context, node cluster.Node) error {
	to := cluster.Running
	if node == f.dies {
		to = cluster.Exited
	}
	return f.change(ctx, "start", node, to, cluster.Running, cluster.Paused)
}

func (f *fake) Kill(ctx context.Context, node cluster.Node) error {
	return f.change(ctx, "kill", node, cluster.Down)
}

func (f *fake) Pause(ctx context.Context, node cluster.Node) error {
	return f.change(ctx, "pause", node, cluster.Paused, cluster.Down, cluster.Exited)
}

func (f *fake) Resume(ctx context.Context, node cluster.Node) error {
	return f.change(ctx, "resume", node, cluster.Running, cluster.Down, cluster.Exited)
}

func (f *fake) SetLinks(ctx context.Context, links []cluster.Link, condition cluster.Condition) error {
	time.Sleep(time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, link := range links {
		f.links[link] = condition
	}
	maps.DeleteFunc(f.links, func(_ cluster.Link, c cluster.Condition) bool { return c == cluster.Condition{} })
	return cmp.Or(ctx.Err(), f.fails("cut "+string(condition.Cut))) // half-way
}

func (f *fake) State(node cluster.Node) cluster.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state[node]
}

type fakeWorld struct{ *fake }

func (w fakeWorld) Name() string                                          { return "fake" }
func (w fakeWorld) Supports(_ context.Context, fault cluster.Fault) error { return w.lacks[fault] }
func (w fakeWorld) Build(context.Context, cluster.Spec) (cluster.Cluster, error) {
	return w.fake, nil
}

// parse is Parse for texts that are right.
func parse(t testing.TB, text string, interval time.Duration) Schedule {
	t.Helper()
	n, err := Parse(text, interval)
	if err != nil {
		t.Fatal(err)
	}
	return n.(Schedule)
}

// SetClock fails half-way: the clock is set, and the answer lost.
func (f *fake) SetClock(ctx context.Context, node cluster.Node, c cluster.Clock) error {
	time.Sleep(time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clocks[node] = c
	maps.DeleteFunc(f.clocks, func(_ cluster.Node, c cluster.Clock) bool { return c == cluster.Clock{} })
	return cmp.Or(ctx.Err(), f.fails("clock "+node))
}

func (f *fake) Collect(context.Context, cluster.Node, string, ...string) error { return nil }

func (f *fake) Linked() error { return nil }

func (f *fake) Means(fault cluster.Fault) string { return f.means[fault] }

// Signal keeps the signals in the order of their coming.
func (f *fake) Signal(ctx context.Context, node cluster.Node, process string, signal syscall.Signal) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signals = append(f.signals, fmt.Sprint(node, " ", process, " ", signal))
	return cmp.Or(ctx.Err(), f.fails(fmt.Sprint(signal, " ", node)))
}
