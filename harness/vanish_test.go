package harness_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/workloads"
)

// The test binary is also a node: of the store that vanishes, or one that panics.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "vanishing-node":
			serveVanishing(os.Args[2], os.Args[3], os.Args[4])
		case "panicking-node":
			serveUntilPanic(os.Args[2], os.Args[3])
		}
	}
	os.Exit(m.Run())
}

// A vanishing store keeps everything in the memory of n1, which the other nodes ask,
// and serves nothing more once n1 has been restarted: as a stream that was not
// replicated. It is correct until then.
type vanishing struct {
	mu       sync.Mutex
	gone     bool
	values   map[string]int64   // of registers and counters, holders of locks
	lists    map[string][]int64 // sets and queues
	balances [16]int64
	last     int64 // id, or fencing token
}

// A request asks for an operation of any workload.
type request struct {
	Op, Key string
	Of      []int64
}

type response struct {
	Values []int64
	OK     bool
	Error  string
}

// serveVanishing is a node of the store, at the address; n1 is at another.
func serveVanishing(address, store, mark string) {
	v := &vanishing{values: map[string]int64{}, lists: map[string][]int64{}}
	for i := range v.balances {
		v.balances[i] = workloads.BankBalance
	}
	answer := v.answer
	if store != "" {
		answer = func(r request) response { return relay(store, r) }
	} else if _, err := os.Stat(mark); err == nil {
		v.gone = true
	} else if err := os.WriteFile(mark, nil, 0o666); err != nil {
		exit(err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		exit(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			exit(err)
		}
		go func() {
			defer connection.Close()
			from, to := json.NewDecoder(connection), json.NewEncoder(connection)
			for {
				var r request
				if from.Decode(&r) != nil || to.Encode(answer(r)) != nil {
					return
				}
			}
		}()
	}
}

func exit(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func relay(store string, r request) response {
	connection, err := net.DialTimeout("tcp", store, time.Second)
	if err != nil {
		return response{Error: err.Error()}
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(time.Second))
	var answer response
	if err := json.NewEncoder(connection).Encode(r); err != nil {
		return response{Error: err.Error()}
	}
	if err := json.NewDecoder(connection).Decode(&answer); err != nil {
		return response{Error: err.Error()}
	}
	return answer
}

func (v *vanishing) answer(r request) response {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gone {
		return response{Error: "stream not found"}
	}
	value, found := v.values[r.Key]
	switch r.Op {
	case "read":
		return response{OK: found, Values: []int64{value}}
	case "write":
		v.values[r.Key] = r.Of[0]
	case "cas":
		if !found || value != r.Of[0] {
			return response{}
		}
		v.values[r.Key] = r.Of[1]
	case "increment":
		v.values[r.Key] += r.Of[0]
	case "add":
		v.lists[r.Key] = append(v.lists[r.Key], r.Of[0])
	case "all":
		return response{OK: true, Values: v.lists[r.Key]}
	case "take":
		if len(v.lists[r.Key]) == 0 {
			return response{}
		}
		first := v.lists[r.Key][0]
		v.lists[r.Key] = v.lists[r.Key][1:]
		return response{OK: true, Values: []int64{first}}
	case "transfer":
		if v.balances[r.Of[0]] < r.Of[2] {
			return response{}
		}
		v.balances[r.Of[0]] -= r.Of[2]
		v.balances[r.Of[1]] += r.Of[2]
	case "balances":
		return response{OK: true, Values: v.balances[:r.Of[0]]}
	case "acquire":
		if found {
			return response{}
		}
		v.last++
		v.values[r.Key] = v.last
		return response{OK: true, Values: []int64{v.last}}
	case "release":
		delete(v.values, r.Key)
		return response{OK: found}
	case "generate":
		v.last++
		return response{OK: true, Values: []int64{v.last}}
	}
	return response{OK: true}
}

// A vanishingClient asks one node.
type vanishingClient struct {
	connection net.Conn
	to         *json.Encoder
	from       *json.Decoder
}

func (c *vanishingClient) Close() error { return c.connection.Close() }

func (c *vanishingClient) ask(ctx context.Context, op, key string, of ...int64) (response, error) {
	deadline, _ := ctx.Deadline()
	_ = c.connection.SetDeadline(deadline)
	var answer response
	if err := c.to.Encode(request{op, key, of}); err != nil {
		return answer, err
	}
	if err := c.from.Decode(&answer); err != nil {
		return answer, err
	}
	if answer.Error != "" {
		return answer, errors.New(answer.Error)
	}
	return answer, nil
}

// done is for operations that answer yes or no, first for those with one value.
func (c *vanishingClient) done(ctx context.Context, op, key string, of ...int64) (bool, error) {
	answer, err := c.ask(ctx, op, key, of...)
	return answer.OK, err
}

func (c *vanishingClient) first(ctx context.Context, op, key string, of ...int64) (int64, bool, error) {
	answer, err := c.ask(ctx, op, key, of...)
	if err != nil || len(answer.Values) == 0 {
		return 0, answer.OK, err
	}
	return answer.Values[0], answer.OK, nil
}

func (c *vanishingClient) Read(ctx context.Context, key string) (int64, bool, error) {
	return c.first(ctx, "read", key)
}

func (c *vanishingClient) Write(ctx context.Context, key string, value int64) error {
	_, err := c.done(ctx, "write", key, value)
	return err
}

func (c *vanishingClient) CompareAndSet(ctx context.Context, key string, old, new int64) (bool, error) {
	return c.done(ctx, "cas", key, old, new)
}

func (c *vanishingClient) Add(ctx context.Context, element int64) error {
	_, err := c.done(ctx, "add", "set", element)
	return err
}

func (c *vanishingClient) Elements(ctx context.Context) ([]int64, error) {
	answer, err := c.ask(ctx, "all", "set")
	return answer.Values, err
}

func (c *vanishingClient) Increment(ctx context.Context, delta int64) error {
	_, err := c.done(ctx, "increment", "counter", delta)
	return err
}

func (c *vanishingClient) Value(ctx context.Context) (int64, error) {
	value, _, err := c.first(ctx, "read", "counter")
	return value, err
}

func (c *vanishingClient) Enqueue(ctx context.Context, queue string, element int64) error {
	_, err := c.done(ctx, "add", queue, element)
	return err
}

func (c *vanishingClient) Dequeue(ctx context.Context, queue string) (int64, bool, error) {
	return c.first(ctx, "take", queue)
}

func (c *vanishingClient) Acquire(ctx context.Context, lock string) (int64, bool, error) {
	return c.first(ctx, "acquire", lock)
}

func (c *vanishingClient) Release(ctx context.Context, lock string) (bool, error) {
	return c.done(ctx, "release", lock)
}

func (c *vanishingClient) Transfer(ctx context.Context, from, to int, amount int64) (bool, error) {
	return c.done(ctx, "transfer", "", int64(from), int64(to), amount)
}

func (c *vanishingClient) Balances(ctx context.Context, accounts int) ([]int64, error) {
	answer, err := c.ask(ctx, "balances", "", int64(accounts))
	return answer.Values, err
}

func (c *vanishingClient) Generate(ctx context.Context) (int64, error) {
	id, _, err := c.first(ctx, "generate", "")
	return id, err
}

func vanishingTarget(nodeArguments func(cluster.Place) []string) harness.Target {
	open := func(ctx context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", c.Address(node))
		if err != nil {
			return nil, err
		}
		return &vanishingClient{connection, json.NewEncoder(connection), json.NewDecoder(connection)}, nil
	}
	return harness.Target{
		Name: "vanishing", World: process.World(), Claim: history.Claim{CAP: "CP"},
		Program: func(place cluster.Place) cluster.Program { return cluster.Program{Args: nodeArguments(place)} },
		Open:    open,
		Ready: func(ctx context.Context, c cluster.Cluster) error {
			for _, node := range c.Nodes() {
				client, err := open(ctx, c, node)
				if err != nil {
					return err
				}
				_, err = client.(*vanishingClient).Value(ctx)
				client.Close()
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// A store that is gone for good after a restart passes in no workload, whatever it
// answered before.
func TestAStoreThatVanishes(t *testing.T) {
	target := vanishingTarget(func(place cluster.Place) []string {
		store := place.Peers["n1"]
		if place.Node == "n1" {
			store = ""
		}
		return []string{"vanishing-node", place.Listen, store, filepath.Join(place.Data, "started")}
	})
	type outcome struct {
		run    *history.Run
		result checker.Result
		err    error
	}
	all := workloads.All()
	outcomes := make([]outcome, len(all))
	var trials sync.WaitGroup // at once, as they mostly wait
	for i, workload := range all {
		dir := t.TempDir()
		trials.Go(func() {
			o := &outcomes[i]
			o.run, o.result, o.err = harness.Run(t.Context(), harness.Trial{
				Target: target, Workload: workload, Nemesis: nemesis.Kills("all"), Nodes: 3, Rate: 100, Seed: 1,
				Quiet: 500 * time.Millisecond, Duration: 1500 * time.Millisecond, Recovery: 500 * time.Millisecond, Dir: dir,
			})
		})
	}
	trials.Wait()
	for i, workload := range all {
		o := outcomes[i]
		if o.err != nil {
			t.Errorf("%s: %v", workload.Name(), o.err)
			continue
		}
		if o.result.AsClaimed == checker.AsClaimed {
			t.Errorf("%s: %s, %s, although the store is gone", workload.Name(), o.result.Verdict, o.result.AsClaimed)
		}
		answered := slices.ContainsFunc(o.run.History.Operations, func(o history.Operation) bool { return o.Outcome == history.OK })
		unserved := slices.ContainsFunc(o.run.Events, func(e history.Event) bool {
			return e.Type == history.Unserved && e.Reason == "" && len(e.Nodes) == 3
		})
		if !answered || !unserved {
			t.Errorf("%s: answered before: %v; recorded that nothing is served: %v", workload.Name(), answered, unserved)
		}
	}
}

// A partition between nodes that do not meet at the addresses where links are cut
// tests nothing, and is no pass.
func TestPartitionThatHitsNothing(t *testing.T) {
	target := vanishingTarget(func(place cluster.Place) []string {
		return []string{"vanishing-node", place.Listen, "", filepath.Join(place.Data, "started")}
	})
	open := target.Open
	target.Open = func(ctx context.Context, c cluster.Cluster, _ cluster.Node) (harness.Client, error) {
		return open(ctx, c, "n1") // whom all clients ask, so that the store is correct
	}
	_, result, err := harness.Run(t.Context(), harness.Trial{
		Target: target, Workload: workloads.Register{}, Nemesis: nemesis.Partitions("one"), Nodes: 3, Rate: 100, Seed: 1, Dir: t.TempDir(),
		Quiet: 500 * time.Millisecond, Duration: 2 * time.Second, Recovery: 500 * time.Millisecond,
	})
	if err != nil || result.AsClaimed != checker.Undecided || !strings.Contains(result.Vacuous, "The faults of links (partition) separated nothing: no node ever connected to another") {
		t.Errorf("%s, %s: %q (error %v)", result.Verdict, result.AsClaimed, result.Vacuous, err)
	}
}
