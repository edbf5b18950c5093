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
	ctx := c.t.Context()
	var open []harness.Client
	for _, node := range c.Nodes() {
		client, err := target.Open(ctx, c, node)
		if err != nil {
			c.t.Fatal(err)
		}
		defer client.Close()
		open = append(open, client)
	}
	var added, ids []int64
	sum, balances := int64(0), []int64{workloads.BankBalance, workloads.BankBalance, workloads.BankBalance}
	for i, client := range open {
		node := c.Nodes()[i]
		// want compares what an operation returned.
		want := func(operation string, want, got any, wantErr, err error) {
			c.t.Helper()
			if diff := cmp.Diff(want, got) + cmp.Diff(wantErr, err); diff != "" {
				c.t.Errorf("%s: %s: %s", node, operation, diff)
			}
		}
		if client, ok := client.(workloads.RegisterClient); ok {
			key := "key-" + node
			_, found, err := client.Read(ctx, key)
			want("read of nothing", false, found, nil, err)
			_, err = client.CompareAndSet(ctx, key, 1, 2)
			want("swap of nothing", nil, nil, &workloads.Mismatch{}, err)
			want("write", nil, nil, nil, client.Write(ctx, key, 1))
			swapped, err := client.CompareAndSet(ctx, key, 1, 2)
			want("swap", true, swapped, nil, err)
			swapped, err = client.CompareAndSet(ctx, key, 1, 3)
			want("swap of an old value", false, swapped, &workloads.Mismatch{Value: 2, Found: true}, err)
			value, found, err := client.Read(ctx, key)
			want("read", []any{int64(2), true}, []any{value, found}, nil, err)
		}
		if client, ok := client.(workloads.SetClient); ok {
			element := int64(100 + i)
			want("add", nil, nil, nil, client.Add(ctx, element))
			added = append(added, element)
			elements, err := client.Elements(ctx)
			slices.Sort(elements)
			want("elements", added, elements, nil, err)
		}
		if client, ok := client.(workloads.CounterClient); ok {
			sum += int64(i + 1)
			want("increment", nil, nil, nil, client.Increment(ctx, int64(i+1)))
			value, err := client.Value(ctx)
			want("value", sum, value, nil, err)
		}
		if client, ok := client.(workloads.QueueClient); ok {
			queue := "queue-" + node
			for _, element := range []int64{30, 7, 8} { // not in the order of numbers, nor of their text
				want("enqueue", nil, nil, nil, client.Enqueue(ctx, queue, element))
			}
			for _, next := range []int64{30, 7, 8, 0} {
				element, found, err := client.Dequeue(ctx, queue)
				want("dequeue", []any{next, next != 0}, []any{element, found}, nil, err)
			}
		}
		if client, ok := client.(workloads.LockClient); ok {
			other := open[(i+1)%len(open)].(workloads.LockClient)
			lock := "lock-" + node
			first, acquired, err := client.Acquire(ctx, lock)
			want("acquire", true, acquired, nil, err)
			_, acquired, err = other.Acquire(ctx, lock)
			want("acquire what is held", false, acquired, nil, err)
			released, err := client.Release(ctx, lock)
			want("release", true, released, nil, err)
			released, err = client.Release(ctx, lock)
			want("release again", false, released, nil, err)
			second, acquired, err := other.Acquire(ctx, lock)
			want("acquire what is free", true, acquired, nil, err)
			if (first != 0 || second != 0) && first >= second {
				c.t.Errorf("%s: the fencing tokens %d and then %d", node, first, second)
			}
		}
		if client, ok := client.(workloads.BankClient); ok {
			transferred, err := client.Transfer(ctx, 0, 1, 10)
			want("transfer", true, transferred, nil, err)
			balances[0], balances[1] = balances[0]-10, balances[1]+10
			transferred, err = client.Transfer(ctx, 2, 0, 2*workloads.BankBalance)
			want("transfer of too much", false, transferred, nil, err)
			got, err := client.Balances(ctx, len(balances))
			want("balances", balances, got, nil, err)
		}
		if client, ok := client.(workloads.IDClient); ok {
			for range 3 {
				id, err := client.Generate(ctx)
				want("generate", nil, nil, nil, err)
				if slices.Contains(ids, id) {
					c.t.Errorf("%s: the id %d again", node, id)
				}
				ids = append(ids, id)
			}
		}
	}
}
