package workloads

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A RegisterClient serves integers under keys. It is all that a store needs to
// be tried with the register workload.
type RegisterClient interface {
	// Read returns the key's value, or false if there is none.
	Read(ctx context.Context, key string) (value int64, found bool, err error)
	// Write sets the key's value.
	Write(ctx context.Context, key string, value int64) error
	// CompareAndSet sets the key's value to new if it is old. If it is not,
	// the answer is false with a nil error or, where the system tells what
	// there was instead, with a *Mismatch. False is evidence that the key did not
	// have the value old at some moment of the call: whoever does not know returns
	// an error, which is no evidence (see harness.Definite).
	CompareAndSet(ctx context.Context, key string, old, new int64) (swapped bool, err error)
	Close() error
}

// A Mismatch is what a compare-and-set that did not swap saw instead.
type Mismatch struct {
	Value int64
	Found bool
}

func (m *Mismatch) Error() string {
	if !m.Found {
		return "nothing there"
	}
	return fmt.Sprintf("saw %d", m.Value)
}

// Register is the workload of linearizability's textbook: clients read, write
// and compare-and-set keys, and every key must look like one register.
//
// No value is written twice, so that every stale read is a violation and the
// check is near-linear. Keys rotate: a new generation of Keys is written every
// KeyLife, and old ones are only read. So each key's history stays small, a
// value that a failover loses is not covered up by later writes, and replicas
// that lag far behind are still asked about what they missed.
type Register struct {
	Keys    int           // written at the same time; default 5
	KeyLife time.Duration // default 2 s
	// ReadPercent and CompareAndSetPercent are of all operations, and at most 100
	// together; the rest are writes. Defaults: 50, and 30 % of what is not read. A
	// negative one means none, as for systems without a compare-and-set.
	ReadPercent, CompareAndSetPercent int
}

// The register workload's limits.
const (
	oldReadPercent = 15 // reads of the last generations' keys
	oldGenerations = 4
	finalReaders   = 5 // workers, and so nodes, through which each key is read finally
)

func (r Register) defaults() Register {
	r.Keys = cmp.Or(r.Keys, 5)
	r.KeyLife = cmp.Or(r.KeyLife, 2*time.Second)
	r.ReadPercent = cmp.Or(r.ReadPercent, 50)
	r.ReadPercent = max(r.ReadPercent, 0)
	r.CompareAndSetPercent = max(cmp.Or(r.CompareAndSetPercent, (100-r.ReadPercent)*3/10), 0)
	return r
}

// Name implements harness.Workload.
func (Register) Name() string { return checker.Register.String() }

func registerKey(generation, index int) string { return fmt.Sprintf("k%d.%d", generation, index) }

// Generators implements harness.Workload.
func (r Register) Generators(workers []harness.Worker) []harness.Generator {
	return harness.PerWorker(r.generator)(workers)
}

func (r Register) generator(worker harness.Worker) harness.Generator {
	r = r.defaults()
	random := worker.Rand
	next := int64(worker.Index) // unique: a worker writes its own residue class
	fresh := func() int64 {
		next += int64(worker.Of)
		return next
	}
	generation := func(turn *harness.Turn) int { return int(turn.Now / r.KeyLife) }
	active := func(turn *harness.Turn) string { return registerKey(generation(turn), random.IntN(r.Keys)) }
	known := map[string]int64{} // what the worker saw last under the active keys
	var knownGeneration int

	read := harness.OnKeys(func(turn *harness.Turn) string {
		old := generation(turn)
		if random.IntN(100) < oldReadPercent {
			old = max(0, old-1-random.IntN(oldGenerations))
		}
		return registerKey(old, random.IntN(r.Keys))
	}, harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) {
		return history.Operation{Kind: history.Read}, true
	}))
	write := harness.OnKeys(active, harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) {
		return history.Operation{Kind: history.Write, Input: history.Ints(fresh())}, true
	}))
	compareAndSet := harness.GeneratorFunc(func(turn *harness.Turn) (history.Operation, bool) {
		key := active(turn)
		old, ok := known[key]
		if !ok {
			return history.Operation{Kind: history.Read, Key: key}, true // to have something to expect
		}
		return history.Operation{Kind: history.CompareAndSet, Key: key, Input: history.Ints(old, fresh())}, true
	})
	mix := harness.Mix(random,
		harness.Weighted{Weight: r.ReadPercent, Generator: read},
		harness.Weighted{Weight: r.CompareAndSetPercent, Generator: compareAndSet},
		harness.Weighted{Weight: 100 - r.ReadPercent - r.CompareAndSetPercent, Generator: write})

	return harness.GeneratorFunc(func(turn *harness.Turn) (history.Operation, bool) {
		if g := generation(turn); g != knownGeneration {
			clear(known)
			knownGeneration = g
		}
		if value, ok := seen(turn.Previous); ok {
			known[turn.Previous.Key] = value
		}
		return mix.Next(turn)
	})
}

// seen returns the value that the operation left or found.
func seen(operation *history.Operation) (int64, bool) {
	switch {
	case operation == nil || operation.Outcome == history.Info:
		return 0, false
	case operation.Output.Len() == 1: // a read, or a mismatch
		return operation.Output.At(0), true
	case operation.Outcome == history.OK && operation.Input.Len() > 0:
		return operation.Input.At(operation.Input.Len() - 1), true
	}
	return 0, false
}

// Final implements harness.Workload: every key ever written is read through
// several nodes.
func (r Register) Final(worker harness.Worker) harness.Generator {
	r = r.defaults()
	var reads harness.Generator
	return harness.GeneratorFunc(func(turn *harness.Turn) (history.Operation, bool) {
		if reads == nil {
			reads = harness.Each(r.finalReads(worker, int(turn.Now/r.KeyLife)))
		}
		return reads.Next(turn)
	})
}

func (r Register) finalReads(worker harness.Worker, generations int) []history.Operation {
	var reads []history.Operation
	for i := range (generations + 1) * r.Keys {
		if (i+worker.Index)%worker.Of < finalReaders {
			reads = append(reads, history.Operation{Kind: history.Read, Key: registerKey(i/r.Keys, i%r.Keys)})
		}
	}
	shuffle(worker.Rand, reads)
	return reads
}

func shuffle(r *rand.Rand, operations []history.Operation) {
	r.Shuffle(len(operations), func(i, j int) { operations[i], operations[j] = operations[j], operations[i] })
}

// Bind implements harness.Workload.
func (Register) Bind(client harness.Client) (harness.Invoke, error) {
	return bind(Register{}.Name(), client, func(ctx context.Context, register RegisterClient, operation history.Operation) (history.Value, error) {
		switch operation.Kind {
		case history.Read:
			value, found, err := register.Read(ctx, operation.Key)
			if err != nil || !found {
				return history.Value{}, err
			}
			return history.Ints(value), nil
		case history.Write:
			return history.Value{}, register.Write(ctx, operation.Key, operation.Input.At(0))
		case history.CompareAndSet:
			swapped, err := register.CompareAndSet(ctx, operation.Key, operation.Input.At(0), operation.Input.At(1))
			var mismatch *Mismatch
			switch {
			case errors.As(err, &mismatch) && mismatch.Found:
				return history.Ints(mismatch.Value), harness.ErrPrecondition
			case err == nil && !swapped, errors.As(err, &mismatch):
				return history.Value{}, harness.ErrPrecondition
			}
			return history.Value{}, err
		}
		return history.Value{}, noOperation(operation)
	})
}

// Stream implements harness.Streamer.
func (Register) Stream() *checker.Stream { return checker.NewStream() }

// Check implements harness.Workload.
func (Register) Check(ctx context.Context, run *history.Run, options checker.Options) checker.Result {
	return checker.Check(ctx, run, checker.Register, options)
}
