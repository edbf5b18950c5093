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
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/line"
	"github.com/rashomon-io/rashomon/targets/internal/nodetest"
	"github.com/rashomon-io/rashomon/workloads"
)

func TestMain(m *testing.M) { nodetest.Main(m, Node) }

// patience bounds how long a test waits for what takes less than a second.
const patience = 10 * time.Second

func TestOptions(t *testing.T) {
	weak := []string{string(anomaly.StaleRead)}
	tests := []struct {
		text   string
		want   Options
		name   string
		expect []string
		err    string
	}{
		{text: "", name: "raft"},
		{text: "reads=linearizable", want: Options{Reads: Linearizable}, name: "raft"},
		{text: "reads=lease", want: Options{Reads: Lease}, name: "raft reads=lease"},
		{text: "reads=local", want: Options{Reads: Local}, name: "raft reads=local", expect: weak},
		{text: "reads=any", want: Options{Reads: Any}, name: "raft reads=any", expect: weak},
		{text: "bug=blind-cas", want: Options{Bug: BlindCAS}, name: "raft bug=blind-cas"},
		{text: "reads=local,bug=no-fsync", want: Options{Reads: Local, Bug: NoFsync}, name: "raft reads=local,bug=no-fsync", expect: weak},
		{text: "reads=some", err: `reads="some" is not possible: want linearizable, lease, local or any`},
		{text: "bug=", err: `bug="" is not possible: want `},
		{text: "read=any", err: `unknown option "read=any"`},
		{text: "reads=any,", err: `unknown option ""`},
	}
	for _, test := range tests {
		options, err := ParseOptions(test.text)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: error %v, want one with %q", test.text, err, test.err)
			}
			continue
		}
		target := Target(options)
		if err != nil || options != test.want || target.String() != test.name || !slices.Equal(target.Claim.Expect, test.expect) {
			t.Errorf("%q: %+v, %v, %q expecting %q", test.text, options, err, target, target.Claim.Expect)
		}
		program := target.Program(cluster.Place{Node: "n1", Listen: "a:1", Data: "d", Peers: map[cluster.Node]string{"n1": "a:1"}})
		if again, err := ParseOptions(program.Args[2]); err != nil || Target(again).String() != test.name {
			t.Errorf("%q: its node is told %q", test.text, program.Args)
		}
	}
}

func TestNodeArguments(t *testing.T) {
	tests := []struct {
		arguments []string
		err       string
	}{
		{nil, "want the options"},
		{[]string{"reads=some"}, "is not possible"},
		{[]string{"", "--id=n1"}, "node raft: "},
	}
	for _, test := range tests {
		if err := Node(test.arguments); err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: %v, want an error with %q", test.arguments, err, test.err)
		}
	}
}

func TestEveryNodeServes(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, Target(Options{}), 3)
	ctx := t.Context()
	for i, node := range c.Nodes() {
		client, key := c.Client(node), "k"+node
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
			if value, found, err := c.Client(other).Read(ctx, key); value != 2 || !found || err != nil {
				t.Errorf("%s: read what %s wrote: %d, %v, %v", other, node, value, found, err)
			}
		}
		if err := client.Add(ctx, int64(i)); err != nil {
			t.Errorf("%s: add: %v", node, err)
		}
	}
	elements, err := c.Client("n1").Elements(ctx)
	if diff := cmp.Diff([]int64{0, 1, 2}, elements); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func mismatch(err error, want workloads.Mismatch) bool {
	var got *workloads.Mismatch
	return errors.As(err, &got) && *got == want
}

// TestKilled writes while the leader is killed, twice, and finds everything
// that was acknowledged; then kills all, and finds it again, in snapshots and
// compacted logs.
func TestKilled(t *testing.T) {
	t.Parallel()
	target := Target(Options{})
	var (
		mu   sync.Mutex
		data = map[cluster.Node]string{}
	)
	program := target.Program
	target.Program = func(place cluster.Place) cluster.Program {
		mu.Lock()
		defer mu.Unlock()
		data[place.Node] = place.Data
		return program(place)
	}
	c := nodetest.Start(t, target, 5)
	ctx := t.Context()

	acknowledged := load(t, c, func() {
		for range 2 {
			old, err := leader(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			c.Kill(ctx, old)
			killed := time.Now()
			c.Eventually(patience, func(ctx context.Context) error {
				_, err := leader(ctx, c)
				return err
			})
			t.Logf("new leader %v after the old was killed", time.Since(killed).Round(time.Millisecond))
			restart(t, c, old)
		}
		// With the second snapshot, the compaction after the first is done.
		c.Eventually(patience, func(context.Context) error {
			for node, directory := range data {
				snapshots, err := filepath.Glob(filepath.Join(directory, "snapshots", "*", "state.bin"))
				if len(snapshots) < 2 {
					return fmt.Errorf("%s has %d snapshots, %v", node, len(snapshots), err)
				}
			}
			return nil
		})
	})
	t.Logf("%d adds acknowledged", len(acknowledged))
	allThere(t, c, acknowledged)

	for _, node := range c.Nodes() {
		c.Kill(ctx, node)
		log, err := raftboltdb.New(raftboltdb.Options{
			Path:        filepath.Join(data[node], "raft.db"),
			BoltOptions: &bbolt.Options{ReadOnly: true, Timeout: time.Second},
		})
		if err != nil {
			t.Fatal(err)
		}
		if first, err := log.FirstIndex(); first <= 1 {
			t.Errorf("%s: the log begins with entry %d, %v; it was not compacted", node, first, err)
		}
		log.Close()
	}
	restart(t, c, c.Nodes()...)
	allThere(t, c, acknowledged)
}

func restart(t *testing.T, c *nodetest.Cluster, nodes ...cluster.Node) {
	t.Helper()
	for _, node := range nodes {
		if err := c.Start(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	c.Eventually(patience, func(ctx context.Context) error { return ready(ctx, c) })
	t.Logf("ready %v after the restart of %q", time.Since(began).Round(time.Millisecond), nodes)
}

// load adds elements through all nodes during faults, and returns those that
// were acknowledged.
func load(t *testing.T, c *nodetest.Cluster, faults func()) (acknowledged []int64) {
	var (
		mu sync.Mutex
		wg sync.WaitGroup
	)
	ctx, cancel := context.WithCancel(t.Context())
	defer wg.Wait()
	defer cancel()
	for i, node := range c.Nodes() {
		client := c.Client(node)
		wg.Go(func() {
			for element := int64(i); ctx.Err() == nil; element += int64(len(c.Nodes())) {
				call, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
				if client.Add(call, element) == nil {
					mu.Lock()
					acknowledged = append(acknowledged, element)
					mu.Unlock()
				}
				cancel()
			}
		})
	}
	faults()
	cancel()
	wg.Wait()
	return acknowledged
}

func allThere(t *testing.T, c *nodetest.Cluster, want []int64) {
	t.Helper()
	for _, node := range c.Nodes() {
		elements, err := c.Client(node).Elements(t.Context())
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
	for options, rounds := range map[Options]int64{{}: 3, {Reads: Lease}: 3, {Reads: Local}: 20} {
		t.Run(options.String(), func(t *testing.T) {
			t.Parallel()
			c := nodetest.Start(t, Target(options), 3)
			ctx := t.Context()
			stale := 0
			for round := int64(0); round < rounds && stale == 0; round++ {
				old, err := leader(ctx, c)
				if err != nil {
					t.Fatal(err)
				}
				var pinned []*line.Client
				for range 8 {
					client := c.Client(old)
					c.Eventually(patience, func(ctx context.Context) error { return client.Write(ctx, "k", 2*round) })
					pinned = append(pinned, client)
				}
				if err := c.Pause(ctx, old); err != nil {
					t.Fatal(err)
				}
				other := c.Client(c.Nodes()[(slices.Index(c.Nodes(), old)+1)%3])
				c.Eventually(patience, func(ctx context.Context) error { return other.Write(ctx, "k", 2*round+1) })

				values := make(chan int64, len(pinned))
				var wg sync.WaitGroup
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
				c.Eventually(patience, func(ctx context.Context) error { return ready(ctx, c) })
			}
			if (stale > 0) != (options.Reads == Local) {
				t.Errorf("%d stale reads", stale)
			}
		})
	}
}

// TestPartition cuts the leader off, with one follower: the majority goes on,
// the minority refuses, and everyone agrees soon after it is healed, also the
// follower's state.
func TestPartition(t *testing.T) {
	t.Parallel()
	for _, reads := range []Reads{Linearizable, Any} {
		t.Run(string(reads), func(t *testing.T) {
			t.Parallel()
			c := nodetest.Start(t, Target(Options{Reads: reads}), 5)
			ctx := t.Context()
			old, err := leader(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			at := slices.Index(c.Nodes(), old)
			follower, outside := c.Nodes()[(at+1)%5], c.Nodes()[(at+2)%5]
			if err := c.Client(follower).Write(ctx, "k", 1); err != nil {
				t.Fatal(err)
			}
			c.Eventually(patience, func(ctx context.Context) error { return sees(ctx, c, follower, 1) })

			c.Isolate(old, follower)
			cut := time.Now()
			majority, minority := c.Client(outside), c.Client(follower)
			c.Eventually(patience, func(ctx context.Context) error { return majority.Write(ctx, "k", 2) })
			t.Logf("a majority serves %v after the leader was cut off", time.Since(cut).Round(time.Millisecond))
			c.Eventually(patience, func(ctx context.Context) error {
				if err := minority.Write(ctx, "k", 3); !harness.IsDefinite(err) {
					return fmt.Errorf("write without a majority: %v, want a definite error", err)
				}
				return nil
			})
			value, found, err := minority.Read(ctx, "k")
			if reads == Any && (value != 1 || !found || err != nil) || reads == Linearizable && err == nil {
				t.Errorf("read without a majority: %d, %v, %v", value, found, err)
			}
			c.Heal()
			healed := time.Now()
			c.Eventually(patience, func(ctx context.Context) error {
				return errors.Join(sees(ctx, c, follower, 2), sees(ctx, c, old, 2))
			})
			t.Logf("all serve %v after the partition was healed", time.Since(healed).Round(time.Millisecond))
		})
	}
}

// TestCatchUp: a follower that was down for seconds gets what it missed as soon
// as it is back, however often the leader has tried in vain.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, Target(Options{Reads: Any}), 3)
	ctx := t.Context()
	leads, err := leader(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	follower := c.Nodes()[(slices.Index(c.Nodes(), leads)+1)%3]
	c.Kill(ctx, follower)
	killed := time.Now()
	c.Eventually(patience, func(ctx context.Context) error {
		if time.Since(killed) < 3*time.Second {
			return errors.New("not down long enough")
		}
		return c.Client(leads).Write(ctx, "k", 1)
	})
	if err := c.Start(ctx, follower); err != nil {
		t.Fatal(err)
	}
	restarted := time.Now()
	c.Eventually(patience, func(ctx context.Context) error { return sees(ctx, c, follower, 1) })
	took := time.Since(restarted)
	t.Logf("caught up after %v", took.Round(time.Millisecond))
	if took > time.Second {
		t.Errorf("caught up after %v, want less than a second", took)
	}
}

func sees(ctx context.Context, c *nodetest.Cluster, node cluster.Node, want int64) error {
	client, err := line.Open(ctx, c, node)
	if err != nil {
		return err
	}
	defer client.Close()
	value, _, err := client.(*line.Client).Read(ctx, "k")
	if err == nil && value != want {
		err = fmt.Errorf("%s reads %d, want %d", node, value, want)
	}
	return err
}

// TestHostileBytes sends what is not the protocol, to clients' and peers'
// doors, and finds the node alive and its state untouched.
func TestHostileBytes(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, Target(Options{}), 1)
	random := rand.New(rand.NewPCG(1, 2))
	garbage := make([]byte, 64<<10)
	for i := range garbage {
		garbage[i] = byte(random.Uint32())
	}
	inputs := []string{
		"\n", "\r\n", "get\n", "set k 1", "set k\n", "cas k 1 x\n", "barrier now\n", "\x80\xff\n", "GET / HTTP/1.1\r\n\r\n",
		strings.Repeat("a", 1<<20), "set " + strings.Repeat("k", 200) + " 1\n",
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
		conn.SetReadDeadline(time.Now().Add(patience))
		reply, err := io.ReadAll(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%.20q: the node goes on waiting", input)
		}
		if strings.HasPrefix(input, "set k\n") && !strings.HasPrefix(string(reply), "refused ") {
			t.Errorf("%.20q: reply %q", input, reply)
		}
		conn.Close()
	}
	if value, found, err := c.Client("n1").Read(t.Context(), "k"); found || err != nil {
		t.Errorf("read after garbage: %d, %v, %v; a line that is cut off must not count", value, found, err)
	}
}
