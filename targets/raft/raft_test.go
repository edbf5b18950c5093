package raft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/workloads"
)

func connect(t *testing.T, c cluster.Cluster, node cluster.Node) *client {
	t.Helper()
	client := newClient(c, node)
	t.Cleanup(func() { client.Close() })
	return client
}

func TestEveryNodeServes(t *testing.T) {
	t.Parallel()
	c := start(t, 3, Options{})
	ctx := t.Context()
	for i, node := range c.Nodes() {
		client, key := connect(t, c, node), "k"+node
		if _, found, err := client.Read(ctx, key); found || err != nil {
			t.Errorf("%s: read of a new key: found %v, %v", node, found, err)
		}
		if swapped, err := client.CompareAndSet(ctx, key, 1, 2); swapped || !mismatch(err, workloads.Mismatch{}) {
			t.Errorf("%s: cas of a new key: %v, %v", node, swapped, err)
		}
		if err := client.Write(ctx, key, 1); err != nil {
			t.Errorf("%s: write: %v", node, err)
		}
		if swapped, err := client.CompareAndSet(ctx, key, 1, 2); !swapped || err != nil {
			t.Errorf("%s: cas: %v, %v", node, swapped, err)
		}
		if swapped, err := client.CompareAndSet(ctx, key, 1, 3); swapped || !mismatch(err, workloads.Mismatch{Value: 2, Found: true}) {
			t.Errorf("%s: cas: %v, %v", node, swapped, err)
		}
		for _, other := range c.Nodes() {
			if value, found, err := connect(t, c, other).Read(ctx, key); value != 2 || !found || err != nil {
				t.Errorf("%s: read what %s wrote: %d, %v, %v", other, node, value, found, err)
			}
		}
		if err := client.Add(ctx, int64(i)); err != nil {
			t.Errorf("%s: add: %v", node, err)
		}
		if err := client.Write(ctx, "two words", 1); !harness.IsDefinite(err) {
			t.Errorf("%s: write to a bad key: %v, want a definite error", node, err)
		}
	}
	elements, err := connect(t, c, "n1").Elements(ctx)
	if diff := cmp.Diff([]int64{0, 1, 2}, elements); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func mismatch(err error, want workloads.Mismatch) bool {
	var got *workloads.Mismatch
	return errors.As(err, &got) && *got == want
}

// TestKilledLeader writes while the leader is killed, twice, and finds
// everything that was acknowledged; then kills all, and finds it again, in
// snapshots and logs.
func TestKilledLeader(t *testing.T) {
	t.Parallel()
	c := start(t, 5, Options{})
	ctx := t.Context()

	acknowledged := load(t, c, func() {
		for range 2 {
			old, err := leader(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			c.Kill(ctx, old)
			killed := time.Now()
			eventually(t, func(ctx context.Context) error {
				_, err := leader(ctx, c)
				return err
			})
			t.Logf("new leader %v after the old was killed", time.Since(killed).Round(time.Millisecond))
			if err := c.Start(ctx, old); err != nil {
				t.Fatal(err)
			}
			restarted := time.Now()
			eventually(t, func(ctx context.Context) error { return ready(ctx, c) })
			t.Logf("ready %v after the restart", time.Since(restarted).Round(time.Millisecond))
		}
	})
	t.Logf("%d adds acknowledged", len(acknowledged))
	allThere(t, c, acknowledged)

	for _, node := range c.Nodes() {
		c.Kill(ctx, node)
		snapshots, err := filepath.Glob(filepath.Join(c.places[node].Data, "snapshots", "*", "state.bin"))
		if err != nil || len(snapshots) == 0 {
			t.Errorf("%s has no snapshot: %v", node, err)
		}
		if log, _ := os.ReadFile(filepath.Join(c.logs, node)); !strings.Contains(string(log), "compacting logs") {
			t.Errorf("%s never compacted its log", node)
		}
	}
	for _, node := range c.Nodes() {
		if err := c.Start(ctx, node); err != nil {
			t.Fatal(err)
		}
	}
	restarted := time.Now()
	eventually(t, func(ctx context.Context) error { return ready(ctx, c) })
	t.Logf("ready %v after all were restarted", time.Since(restarted).Round(time.Millisecond))
	allThere(t, c, acknowledged)
}

// load adds elements through all nodes, during faults and until there are
// enough for snapshots, and returns those that were acknowledged.
func load(t *testing.T, c *processes, faults func()) []int64 {
	const enough = 400
	ctx, cancel := context.WithCancel(t.Context())
	var (
		mu           sync.Mutex
		acknowledged []int64
		wg           sync.WaitGroup
	)
	for i, node := range c.Nodes() {
		wg.Go(func() {
			for element := int64(i); ctx.Err() == nil; element += int64(len(c.Nodes())) {
				client := newClient(c, node)
				call, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
				if client.Add(call, element) == nil {
					mu.Lock()
					acknowledged = append(acknowledged, element)
					mu.Unlock()
				}
				cancel()
				client.Close()
			}
		})
	}
	defer wg.Wait()
	defer cancel()
	faults()
	eventually(t, func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if len(acknowledged) < enough {
			return fmt.Errorf("%d adds", len(acknowledged))
		}
		return nil
	})
	cancel()
	wg.Wait()
	return acknowledged
}

func allThere(t *testing.T, c *processes, want []int64) {
	t.Helper()
	for _, node := range c.Nodes() {
		elements, err := connect(t, c, node).Elements(t.Context())
		if err != nil {
			t.Errorf("%s: %v", node, err)
		}
		for _, element := range want {
			if _, found := slices.BinarySearch(elements, element); !found {
				t.Errorf("%s lost %d, which was acknowledged", node, element)
			}
		}
	}
}

// TestPausedLeader: once another leads, a leader that was paused must not
// answer reads from what it knew. That it does with local reads shows that the
// test can tell.
func TestPausedLeader(t *testing.T) {
	t.Parallel()
	for _, options := range []Options{{}, {Reads: Local}} {
		t.Run(options.String(), func(t *testing.T) {
			t.Parallel()
			c := start(t, 3, options)
			ctx := t.Context()
			rounds, stale := int64(3), 0
			if options.Reads == Local {
				rounds = 10 // at most
			}
			for round := int64(0); round < rounds && stale == 0; round++ {
				old, err := leader(ctx, c)
				if err != nil {
					t.Fatal(err)
				}
				if err := connect(t, c, old).Write(ctx, "k", 2*round); err != nil {
					t.Fatal(err)
				}
				// Connected before, so that the questions wait at its door.
				var pinned []*client
				for range 8 {
					client := connect(t, c, old)
					if _, err := client.call(ctx, request{verb: "leader"}, "leader"); err != nil {
						t.Fatal(err)
					}
					pinned = append(pinned, client)
				}
				if err := c.Pause(ctx, old); err != nil {
					t.Fatal(err)
				}
				other := c.Nodes()[(slices.Index(c.Nodes(), old)+1)%3]
				eventually(t, func(ctx context.Context) error {
					return connect(t, c, other).Write(ctx, "k", 2*round+1)
				})
				var wg sync.WaitGroup
				values := make(chan int64, len(pinned))
				for _, client := range pinned {
					wg.Go(func() {
						if value, found, err := client.Read(ctx, "k"); found && err == nil {
							values <- value
						}
					})
				}
				if err := c.Resume(ctx, old); err != nil {
					t.Fatal(err)
				}
				wg.Wait()
				close(values)
				for value := range values {
					if value != 2*round+1 {
						stale++
					}
				}
				eventually(t, func(ctx context.Context) error { return ready(ctx, c) })
			}
			t.Logf("%d stale reads", stale)
			if (stale > 0) != (options.Reads == Local) {
				t.Errorf("%d stale reads", stale)
			}
		})
	}
}

func TestReadsOfAnyNode(t *testing.T) {
	t.Parallel()
	c := start(t, 3, Options{Reads: Any})
	ctx := t.Context()
	if err := connect(t, c, "n1").Write(ctx, "k", 1); err != nil {
		t.Fatal(err)
	}
	reader := connect(t, c, "n1")
	eventually(t, func(ctx context.Context) error {
		if value, found, err := reader.Read(ctx, "k"); value != 1 {
			return fmt.Errorf("read %d, %v, %v", value, found, err)
		}
		return nil
	})
	for _, node := range []cluster.Node{"n2", "n3"} {
		c.Kill(ctx, node)
	}
	// Without a majority no write is possible, but reads are.
	eventually(t, func(ctx context.Context) error {
		if err := reader.Write(ctx, "k", 2); !harness.IsDefinite(err) {
			return fmt.Errorf("write without a majority: %v, want a definite error", err)
		}
		return nil
	})
	if value, found, err := reader.Read(ctx, "k"); err != nil || !found {
		t.Errorf("read: %d, %v, %v", value, found, err)
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	c := start(t, 3, Options{})
	ctx := t.Context()

	old, err := leader(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	follower := c.Nodes()[(slices.Index(c.Nodes(), old)+1)%3]

	expired, cancel := context.WithCancel(ctx)
	cancel()
	if err := connect(t, c, old).Write(expired, "k", 1); !harness.IsDefinite(err) {
		t.Errorf("write after its deadline: %v, want a definite error", err)
	}

	// A leader that is paused with the request in its hands says nothing.
	pinned := connect(t, c, old)
	if err := pinned.Write(ctx, "k", 2); err != nil {
		t.Fatal(err)
	}
	if err := c.Pause(ctx, old); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := pinned.Write(short, "k", 3); err == nil || harness.IsDefinite(err) {
		t.Errorf("write to a paused leader: %v, want an indefinite error", err)
	}
	// Close ends a call that hangs.
	hanging := connect(t, c, old)
	hung := make(chan error)
	go func() { hung <- hanging.Write(ctx, "k", 4) }()
	eventually(t, func(context.Context) error {
		hanging.mu.Lock()
		defer hanging.mu.Unlock()
		if hanging.links[old] == nil {
			return errors.New("not connected")
		}
		return nil
	})
	hanging.Close()
	if err := <-hung; err == nil {
		t.Error("a write to a paused leader succeeds")
	}

	// A connection that ended before the request was sent, and one that is
	// refused, are certain. The client knows as soon as the kernel does.
	kept := connect(t, c, follower)
	if _, err := kept.call(ctx, request{verb: "leader"}, "leader"); err != nil {
		t.Fatal(err)
	}
	c.Kill(ctx, follower)
	c.Kill(ctx, old)
	eventually(t, func(context.Context) error {
		if err := kept.Write(ctx, "k", 5); !harness.IsDefinite(err) {
			return fmt.Errorf("write to a killed node: %v, want a definite error", err)
		}
		return nil
	})
}

// TestHostileBytes sends what is not the protocol, to clients' and peers'
// halves, and finds the node alive.
func TestHostileBytes(t *testing.T) {
	t.Parallel()
	c := start(t, 1, Options{})
	random := rand.New(rand.NewPCG(1, 2))
	garbage := make([]byte, 64<<10)
	for i := range garbage {
		garbage[i] = byte(random.Uint32())
	}
	inputs := []string{
		"\n", "\r\n", "read\n", "write k 1", "GET / HTTP/1.1\r\n\r\n",
		strings.Repeat("a", 1<<20), "read " + strings.Repeat("k", maxRequest) + "\n",
		"\x00", "\x00\x80", "\x01\x80", "\x02\x80", "\x03\x80", "\x04\x80", "\x05", "\x00\xdf\xff\xff\xff\xff", "\x02\xc6\xff\xff\xff\xff",
	}
	for first := range 32 {
		inputs = append(inputs, string(rune(first))+string(garbage[random.IntN(len(garbage)):]))
	}
	for _, input := range inputs {
		conn, err := net.Dial("tcp", c.Address("n1"))
		if err != nil {
			t.Fatalf("after %.20q: %v", input, err)
		}
		io.WriteString(conn, input)
		conn.(*net.TCPConn).CloseWrite()
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		reply, err := io.ReadAll(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%.20q: no end of the answer", input)
		}
		if input == "read\n" && !strings.HasPrefix(string(reply), "error read has 0 arguments") {
			t.Errorf("%q: %q", input, reply)
		}
		if strings.HasPrefix(input, "aaa") && err == nil && !strings.HasPrefix(string(reply), "error ") {
			t.Errorf("a long line: %q", reply)
		}
		conn.Close()
	}
	client := connect(t, c, "n1")
	if value, found, err := client.Read(t.Context(), "k"); found || err != nil {
		t.Errorf("read after garbage: %d, %v, %v; a line cut off must not count", value, found, err)
	}
}

func TestNodeArguments(t *testing.T) {
	tests := []struct{ arguments, err string }{
		{"--id=n1", `--peers: "" is not NAME=ADDRESS`},
		{"--id=n1 --peers=n2=127.0.0.1:1", "--id=n1 is not among"},
		{"--id=n1 --peers=n1=127.0.0.1:1 --reads=some", `reads="some" is not possible`},
		{"--id=n1 --peers=n1=127.0.0.1:1 --bug=some", `no bug "some" is planted`},
		{"--color", "flag provided but not defined"},
	}
	for _, test := range tests {
		if err := Node(strings.Fields(test.arguments)); err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v, want an error with %q", test.arguments, err, test.err)
		}
	}
}

// TestOrphan: a node ends when its standard input does.
func TestOrphan(t *testing.T) {
	t.Parallel()
	c := start(t, 3, Options{})
	var orphans []*process
	for _, node := range c.Nodes() {
		p := c.take(node)
		orphans = append(orphans, p)
		p.stdin.Close()
	}
	for i, p := range orphans {
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("%s: %v", c.Nodes()[i], err)
		}
		p.log.Close()
	}
}
