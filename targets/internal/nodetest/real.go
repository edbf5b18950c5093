package nodetest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/client"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/docker"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/targets/images"
	"github.com/rashomon-io/rashomon/workloads"
)

// InWorlds runs a test of a real system in containers and among processes, and
// skips it, with the reason, where the image cannot be had or a program is not in
// PATH, or a file not where its absolute path says.
func InWorlds(t *testing.T, image string, programs []string, test func(*testing.T, cluster.World)) {
	t.Helper()
	t.Run("docker", func(t *testing.T) {
		t.Parallel()
		world := docker.World()
		if err := world.Supports(t.Context(), cluster.CutFault); err != nil {
			t.Skipf("world docker: %v", err)
		}
		if err := ensure(t.Context(), image); err != nil {
			t.Skipf("world docker: %v", err)
		}
		test(t, world)
	})
	t.Run("process", func(t *testing.T) {
		t.Parallel()
		Installed(t, programs)
		test(t, process.World())
	})
}

// Installed skips the test, with the reason, where a program is not in PATH, or a
// file not where its absolute path says.
func Installed(t *testing.T, programs []string) {
	t.Helper()
	for _, program := range programs {
		_, err := exec.LookPath(program)
		if filepath.IsAbs(program) {
			_, err = os.Stat(program) // a library
		}
		if err != nil {
			t.Skipf("world process: %v", err)
		}
	}
}

func ensure(ctx context.Context, image string) error {
	engine, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer engine.Close()
	_, err = images.Ensure(ctx, engine, image, os.Stderr)
	return err
}

// Conforms carries out every operation of every workload that the target's client
// supports, through every node, and compares the answers with what a system
// without faults must say.
func (c *Cluster) Conforms(target harness.Target) {
	c.t.Helper()
	all := conformance{Cluster: c, balances: []int64{workloads.BankBalance, workloads.BankBalance, workloads.BankBalance}}
	for _, node := range c.Nodes() {
		client, err := target.Open(c.t.Context(), c, node)
		if err != nil {
			c.t.Fatal(err)
		}
		defer client.Close()
		all.open = append(all.open, client)
	}
	for i, client := range all.open {
		all.node = c.Nodes()[i]
		if client, ok := client.(workloads.RegisterClient); ok {
			all.register(client)
		}
		if client, ok := client.(workloads.SetClient); ok {
			all.set(client, int64(100+i))
		}
		if client, ok := client.(workloads.CounterClient); ok {
			all.counter(client, int64(i+1))
		}
		if client, ok := client.(workloads.QueueClient); ok {
			all.queue(client)
		}
		if client, ok := client.(workloads.LockClient); ok {
			all.lock(client, all.open[(i+1)%len(all.open)].(workloads.LockClient))
		}
		if client, ok := client.(workloads.BankClient); ok {
			all.bank(client)
		}
		if client, ok := client.(workloads.IDClient); ok {
			all.ids(client)
		}
	}
}

// A conformance is what the system must hold by now, and through which node it is
// asked next.
type conformance struct {
	*Cluster
	open     []harness.Client
	node     string
	added    []int64
	sum      int64
	balances []int64
	given    []int64
}

// want compares what an operation returned.
func (c *conformance) want(operation string, want, got any, wantErr, err error) {
	c.t.Helper()
	if diff := cmp.Diff(want, got) + cmp.Diff(wantErr, err); diff != "" {
		c.t.Errorf("%s: %s: %s", c.node, operation, diff)
	}
}

func (c *conformance) register(client workloads.RegisterClient) {
	ctx, key := c.t.Context(), "key-"+c.node
	_, found, err := client.Read(ctx, key)
	c.want("read of nothing", false, found, nil, err)
	_, err = client.CompareAndSet(ctx, key, 1, 2)
	c.want("swap of nothing", nil, nil, &workloads.Mismatch{}, err)
	c.want("write", nil, nil, nil, client.Write(ctx, key, 1))
	swapped, err := client.CompareAndSet(ctx, key, 1, 2)
	c.want("swap", true, swapped, nil, err)
	swapped, err = client.CompareAndSet(ctx, key, 1, 3)
	c.want("swap of an old value", false, swapped, &workloads.Mismatch{Value: 2, Found: true}, err)
	value, found, err := client.Read(ctx, key)
	c.want("read", []any{int64(2), true}, []any{value, found}, nil, err)
}

func (c *conformance) set(client workloads.SetClient, element int64) {
	ctx := c.t.Context()
	c.want("add", nil, nil, nil, client.Add(ctx, element))
	c.added = append(c.added, element)
	elements, err := client.Elements(ctx)
	slices.Sort(elements)
	c.want("elements", c.added, elements, nil, err)
}

func (c *conformance) counter(client workloads.CounterClient, delta int64) {
	ctx := c.t.Context()
	c.sum += delta
	c.want("increment", nil, nil, nil, client.Increment(ctx, delta))
	value, err := client.Value(ctx)
	c.want("value", c.sum, value, nil, err)
}

func (c *conformance) queue(client workloads.QueueClient) {
	ctx, queue := c.t.Context(), "queue-"+c.node
	for _, element := range []int64{30, 7, 8} { // not in the order of numbers, nor of their text
		c.want("enqueue", nil, nil, nil, client.Enqueue(ctx, queue, element))
	}
	for _, next := range []int64{30, 7, 8, 0} {
		element, found, err := client.Dequeue(ctx, queue)
		c.want("dequeue", []any{next, next != 0}, []any{element, found}, nil, err)
	}
}

func (c *conformance) lock(client, other workloads.LockClient) {
	ctx, lock := c.t.Context(), "lock-"+c.node
	first, acquired, err := client.Acquire(ctx, lock)
	c.want("acquire", true, acquired, nil, err)
	_, acquired, err = other.Acquire(ctx, lock)
	c.want("acquire what is held", false, acquired, nil, err)
	released, err := client.Release(ctx, lock)
	c.want("release", true, released, nil, err)
	released, err = client.Release(ctx, lock)
	c.want("release again", false, released, nil, err)
	second, acquired, err := other.Acquire(ctx, lock)
	c.want("acquire what is free", true, acquired, nil, err)
	if (first != 0 || second != 0) && first >= second {
		c.t.Errorf("%s: the fencing tokens %d and then %d", c.node, first, second)
	}
}

func (c *conformance) bank(client workloads.BankClient) {
	ctx := c.t.Context()
	transferred, err := client.Transfer(ctx, 0, 1, 10)
	c.want("transfer", true, transferred, nil, err)
	c.balances[0], c.balances[1] = c.balances[0]-10, c.balances[1]+10
	transferred, err = client.Transfer(ctx, 2, 0, 2*workloads.BankBalance)
	c.want("transfer of too much", false, transferred, nil, err)
	got, err := client.Balances(ctx, len(c.balances))
	c.want("balances", c.balances, got, nil, err)
}

func (c *conformance) ids(client workloads.IDClient) {
	for range 3 {
		id, err := client.Generate(c.t.Context())
		c.want("generate", nil, nil, nil, err)
		if slices.Contains(c.given, id) {
			c.t.Errorf("%s: the id %d again", c.node, id)
		}
		c.given = append(c.given, id)
	}
}
