package harness_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
)

// play has three workers follow a plan, on a store that is done with it in milliseconds.
func play(s *store, plan harness.Plan) []history.Operation {
	dir, err := os.MkdirTemp("", "plan")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	recorded, _, err := harness.Run(context.Background(), harness.Trial{
		Target: s.target(), Workload: planned{plan: plan}, Nodes: 3, Concurrency: 3, Rate: -1, Dir: dir,
	})
	if err != nil {
		panic(err)
	}
	return recorded.History.Operations
}

// Each worker writes twice and then, when all have, reads once.
func ExamplePhases() {
	writes, reads := each(2, history.Write), each(1, history.Read)
	for _, o := range play(&store{}, harness.Phases(writes, reads)) {
		fmt.Print(o.Kind, " ")
	}
	// Output: write write write write write write read read read
}

// One of the workers writes, the others read.
func ExampleReserve() {
	writes, reads := each(2, history.Write), each(1, history.Read)
	for _, o := range play(&store{}, harness.Reserve(1, writes, reads)) {
		fmt.Println("worker", o.Process, o.Kind)
	}
	// Unordered output:
	// worker 0 write
	// worker 0 write
	// worker 1 read
	// worker 2 read
}

// Three workers share thirty operations, and never is more than one of them open.
func ExampleOneAtATime() {
	var open atomic.Int64
	most := int64(0)
	s := &store{around: func(_ context.Context, _, _ string, do func()) error {
		most = max(most, open.Add(1))
		defer open.Add(-1)
		do()
		return nil
	}}
	operations := play(s, harness.OneAtATime(each(10, history.Write)))
	fmt.Println(len(operations), "operations, of which", most, "at once")
	// Output: 30 operations, of which 1 at once
}

// The first two tries are refused and lost. What is lost, nobody knows, so that the next
// try is by another process.
func ExampleUntilOK() {
	endings := []error{harness.Definite(errReset), errReset, nil}
	s := &store{around: func(_ context.Context, _, _ string, do func()) error {
		end := endings[0]
		endings = endings[1:]
		return end
	}}
	one := harness.PerWorker(func(w harness.Worker) harness.Generator {
		return harness.UntilOK(each(1, history.Write)([]harness.Worker{w})[0])
	})
	none := each(0, history.Write)
	for _, o := range play(s, harness.Reserve(1, one, none)) {
		fmt.Println("process", o.Process, o.Kind, o.Input, o.Outcome)
	}
	// Output:
	// process 0 write [3] fail
	// process 0 write [3] info
	// process 3 write [3] ok
}

// With this exponent, about half of the operations are of the first of five keys.
func ExampleZipf() {
	r := rand.New(rand.NewPCG(1, 2))
	zipf := harness.Zipf(r, 5, 1.2)
	reads := harness.OnKeys(func(*harness.Turn) string { return fmt.Sprint("k", zipf()) }, always(history.Read))
	var keys []string
	for range 12 {
		operation, _ := reads.Next(&harness.Turn{})
		keys = append(keys, operation.Key)
	}
	fmt.Println(strings.Join(keys, " "))
	// Output: k1 k0 k1 k0 k2 k0 k2 k0 k4 k0 k1 k3
}
