package workloads_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/workloads"
)

func worker(index int) harness.Worker {
	return harness.Worker{Index: index, Of: 5, Node: "n1", Rand: rand.New(rand.NewPCG(1, uint64(index)))}
}

// generatorOf returns what one of five workers does.
func generatorOf(workload harness.Workload, index int) harness.Generator {
	return workload.Generators([]harness.Worker{worker(index)})[0]
}

// A value that is written twice makes most stale reads invisible.
func TestNoValueIsWrittenTwice(t *testing.T) {
	for _, workload := range []harness.Workload{workloads.Register{}, workloads.Set{}, workloads.Queue{}} {
		written := map[int64]bool{}
		for index := range 5 {
			generator := generatorOf(workload, index)
			turn := harness.Turn{}
			for range 5000 {
				operation, ok := generator.Next(&turn)
				if !ok {
					t.Fatalf("%s ended", workload.Name())
				}
				operation.Outcome = history.OK
				turn = harness.Turn{Now: turn.Now + time.Millisecond, Previous: &operation}
				if operation.Input.Len() == 0 {
					continue
				}
				value := operation.Input.At(operation.Input.Len() - 1)
				if written[value] {
					t.Fatalf("%s writes %d twice", workload.Name(), value)
				}
				written[value] = true
			}
		}
	}
}

func TestRegisterMixesAndRotates(t *testing.T) {
	generator := generatorOf(workloads.Register{}, 0)
	kinds, generations := map[history.Kind]int{}, map[string]int{}
	turn := harness.Turn{}
	for range 10_000 {
		operation, _ := generator.Next(&turn)
		kinds[operation.Kind]++
		if operation.Kind == history.Write {
			generation, _, _ := strings.Cut(operation.Key, ".")
			generations[generation]++
		}
		operation.Outcome = history.OK
		turn = harness.Turn{Now: turn.Now + time.Millisecond, Previous: &operation}
	}
	if kinds[history.Read] < 4500 || kinds[history.Write] < 3000 || kinds[history.CompareAndSet] < 700 {
		t.Errorf("kinds %v", kinds)
	}
	if len(generations) != 5 {
		t.Errorf("writes to generations %v in 10 s, want 5 of 2 s each", generations)
	}
}

// However many reads there are, something is written.
func TestRegisterOfMostlyReads(t *testing.T) {
	generator := generatorOf(workloads.Register{ReadPercent: 90}, 0)
	kinds := map[history.Kind]int{}
	for range 10_000 {
		operation, _ := generator.Next(&harness.Turn{})
		kinds[operation.Kind]++
	}
	if kinds[history.Write] < 500 || kinds[history.Write] > 900 {
		t.Errorf("kinds %v, want 7 %% writes", kinds)
	}
}

// The final reads are of every key ever written, through several workers.
func TestRegisterReadsEveryKeyFinally(t *testing.T) {
	readers := map[string]int{}
	for index := range 5 {
		final := workloads.Register{}.Final(worker(index))
		for {
			operation, ok := final.Next(&harness.Turn{Now: 9 * time.Second})
			if !ok {
				break
			}
			readers[operation.Key]++
		}
	}
	if len(readers) != 25 {
		t.Errorf("%d keys are read finally, want 5 generations of 5", len(readers))
	}
	for key, n := range readers {
		if n != 5 {
			t.Errorf("%s is read by %d workers, want 5", key, n)
		}
	}
}

type scripted struct {
	swapped bool
	err     error
}

func (s scripted) Read(context.Context, string) (int64, bool, error) { return 7, true, s.err }
func (s scripted) Write(context.Context, string, int64) error        { return s.err }
func (s scripted) CompareAndSet(context.Context, string, int64, int64) (bool, error) {
	return s.swapped, s.err
}
func (s scripted) Close() error { return nil }

func TestCompareAndSetSaysWhatItSaw(t *testing.T) {
	reset := errors.New("reset")
	for _, c := range []struct {
		name   string
		client scripted
		output history.Value
		err    error
	}{
		{"swapped", scripted{swapped: true}, history.Value{}, nil},
		{"did not", scripted{}, history.Value{}, harness.ErrPrecondition},
		{"saw another", scripted{err: &workloads.Mismatch{Value: 9, Found: true}}, history.Ints(9), harness.ErrPrecondition},
		{"saw nothing", scripted{err: &workloads.Mismatch{}}, history.Value{}, harness.ErrPrecondition},
		{"unknown", scripted{err: reset}, history.Value{}, reset},
	} {
		invoke, err := workloads.Register{}.Bind(c.client)
		if err != nil {
			t.Fatal(err)
		}
		output, err := invoke(t.Context(), history.Operation{Kind: history.CompareAndSet, Input: history.Ints(1, 2)})
		if diff := cmp.Diff(c.output, output); diff != "" || !errors.Is(err, c.err) {
			t.Errorf("%s: output %v, error %v; want %v, %v", c.name, output, err, c.output, c.err)
		}
	}
}

func TestAClientOfAnotherKindIsRefused(t *testing.T) {
	if _, err := (workloads.Set{}).Bind(scripted{}); err == nil || !strings.Contains(err.Error(), "workloads.SetClient") {
		t.Errorf("error %v, want one that names the interface", err)
	}
}

type teller struct{ transferred bool }

func (t teller) Transfer(context.Context, int, int, int64) (bool, error) { return t.transferred, nil }
func (teller) Balances(context.Context, int) ([]int64, error)            { return []int64{1, 2}, nil }
func (teller) Close() error                                              { return nil }

func TestARefusedTransferIsAnAnswer(t *testing.T) {
	for transferred, want := range map[bool]error{true: nil, false: harness.ErrPrecondition} {
		invoke, err := workloads.Bank{}.Bind(teller{transferred})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := invoke(t.Context(), history.Operation{Kind: history.Transfer, Input: history.Ints(0, 1, 5)}); !errors.Is(err, want) {
			t.Errorf("transferred %v: %v, want %v", transferred, err, want)
		}
	}
}

// Each of these workloads is a mix that a client can carry out and its checker
// understands.
func TestCountsMix(t *testing.T) {
	for _, c := range []struct {
		workload harness.Workload
		want     map[history.Kind]int // of 10,000, at least
	}{
		{workloads.Counter{}, map[history.Kind]int{history.Increment: 6500, history.Read: 2500}},
		{workloads.Counter{ReadPercent: 90}, map[history.Kind]int{history.Increment: 800, history.Read: 8500}},
		{workloads.Bank{}, map[history.Kind]int{history.Transfer: 6500, history.ReadAll: 2500}},
		{workloads.IDs{}, map[history.Kind]int{history.Generate: 10_000}},
	} {
		generator, kinds := generatorOf(c.workload, 0), map[history.Kind]int{}
		for range 10_000 {
			operation, _ := generator.Next(&harness.Turn{})
			kinds[operation.Kind]++
			if in := operation.Input; operation.Kind == history.Transfer && (in.At(0) == in.At(1) || max(in.At(0), in.At(1)) > 4 || in.At(2) < 1 || in.At(2) > 5) {
				t.Fatalf("transfer %v", in)
			}
		}
		for kind, want := range c.want {
			if kinds[kind] < want {
				t.Errorf("%s: %v", c.workload.Name(), kinds)
			}
		}
		if _, ok := c.workload.Final(worker(0)).Next(&harness.Turn{}); !ok {
			t.Errorf("%s has no final operations", c.workload.Name())
		}
	}
}

// A negative share means none, of a system that has no such operation.
func TestRegisterWithoutSwaps(t *testing.T) {
	generator := generatorOf(workloads.Register{CompareAndSetPercent: -1}, 0)
	var previous *history.Operation
	for range 1000 {
		operation, ok := generator.Next(&harness.Turn{Previous: previous})
		if !ok || operation.Kind == history.CompareAndSet {
			t.Fatalf("%v %v", operation.Kind, ok)
		}
		operation.Outcome = history.OK
		if operation.Kind == history.Read {
			operation.Output = history.Ints(1)
		}
		previous = &operation
	}
}
