package harness_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/workloads"
)

// A planned workload is that of registers, with another plan, and no final reads.
type planned struct {
	workloads.Register
	plan harness.Plan
}

func (p planned) Generators(workers []harness.Worker) []harness.Generator { return p.plan(workers) }
func (planned) Final(harness.Worker) harness.Generator                    { return harness.Each(nil) }

// each is the plan of workers that all carry out so many operations of a kind.
func each(count int, kind history.Kind) harness.Plan {
	return harness.PerWorker(func(w harness.Worker) harness.Generator {
		value := int64(w.Index)
		return harness.Limit(count, harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) {
			operation := history.Operation{Kind: kind, Key: "k"}
			if value += int64(w.Of); kind == history.Write {
				operation.Input = history.Ints(value)
			}
			return operation, true
		}))
	})
}

// follow returns what six workers did in the plan.
func follow(t *testing.T, s *store, plan harness.Plan, change func(*harness.Trial)) []history.Operation {
	t.Helper()
	recorded, _ := run(t, s, func(trial *harness.Trial) {
		trial.Workload = planned{plan: plan}
		if change != nil {
			change(trial)
		}
	})
	return recorded.History.Operations
}

// hangs makes the store's first calls ignore their deadlines, for longer than a worker waits.
func hangs(calls int) *store {
	s := &store{}
	s.around = func(_ context.Context, _, _ string, do func()) error {
		s.mu.Lock()
		calls--
		hang := calls >= 0
		s.mu.Unlock()
		if hang {
			time.Sleep(time.Second)
		}
		do()
		return nil
	}
	return s
}

// together counts the operations that began while another was open.
func together(operations []history.Operation) (count int) {
	var end time.Duration
	for i, o := range operations {
		if i > 0 && o.Invoke < end {
			count++
		}
		end = max(end, o.Complete)
	}
	return count
}

func TestOneAtATime(t *testing.T) {
	reads := each(math.MaxInt, history.Read)
	for _, c := range []struct {
		name  string
		store *store
		plan  harness.Plan
		alone bool
	}{
		{"not", &store{}, reads, false},
		{"one at a time", &store{}, harness.OneAtATime(reads), true},
		{"and calls hang", hangs(4), harness.OneAtATime(reads), true},
		{"in a mix", &store{}, harness.OneAtATime(func(workers []harness.Worker) []harness.Generator {
			inner := harness.OneAtATime(reads)(workers)
			return harness.PerWorker(func(w harness.Worker) harness.Generator {
				return harness.Mix(w.Rand, harness.Weighted{Weight: 1, Generator: inner[w.Index]},
					harness.Weighted{Weight: 9, Generator: always(history.Read)})
			})(workers)
		}), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				operations := follow(t, c.store, c.plan, func(trial *harness.Trial) { trial.Rate = 3000 })
				if n := together(operations); n > 0 == c.alone {
					t.Errorf("%d of %d operations began while another was open", n, len(operations))
				}
				if len(operations) < 2000 {
					t.Errorf("only %d operations in 5 s, of 1 ms each", len(operations))
				}
			})
		})
	}
}

// The token is held while an operation is open, and not while its worker waits for its
// turn: else six workers at 5/s would do 5/s together.
func TestOneAtATimeKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		operations := follow(t, &store{}, harness.OneAtATime(each(math.MaxInt, history.Read)), func(trial *harness.Trial) { trial.Rate = 30 })
		if n := len(operations); n < 100 || n > 200 {
			t.Errorf("%d operations in 5 s at 30/s", n)
		}
	})
}

func TestPhasesWaitForAll(t *testing.T) {
	for name, s := range map[string]*store{"prompt": {}, "calls hang": hangs(4)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				operations := follow(t, s, harness.Phases(each(10, history.Write), each(20, history.Read), each(10, history.Write)), nil)
				var kinds []history.Kind // of the stretches
				var ends []time.Duration
				for _, o := range operations {
					if len(kinds) == 0 || kinds[len(kinds)-1] != o.Kind {
						kinds, ends = append(kinds, o.Kind), append(ends, 0)
					}
					last := len(ends) - 1
					if last > 0 && o.Invoke < ends[last-1] {
						t.Fatalf("%s at %v, before the phase before it was over at %v", o.Kind, o.Invoke, ends[last-1])
					}
					ends[last] = max(ends[last], o.Complete)
				}
				if want := []history.Kind{history.Write, history.Read, history.Write}; !slices.Equal(kinds, want) || len(operations) != 6*40 {
					t.Errorf("%d operations, in the phases %v, want 240 in %v", len(operations), kinds, want)
				}
			})
		})
	}
}

// A phase that one worker never ends keeps the others waiting, and the trial ends all the
// same, at its time.
func TestAPhaseThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		plan := harness.Phases(harness.Reserve(1, each(math.MaxInt, history.Write), each(1, history.Write)), each(1, history.Read))
		operations := follow(t, &store{}, plan, func(trial *harness.Trial) { trial.Nodes = 1 })
		if took := time.Since(began); took < 5*time.Second || took > 10*time.Second {
			t.Errorf("the trial took %v, want 5 s and its last reads", took)
		}
		for _, o := range operations {
			if o.Kind == history.Read {
				t.Fatalf("the second phase began")
			}
		}
	})
}

// At the first violation, the load stops and begins anew: also for those who waited.
func TestPhasesOutliveAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		s.around = func(_ context.Context, node, kind string, do func()) error {
			if node == "n2" && kind == "write" {
				return nil // acknowledged, and forgotten
			}
			do()
			return nil
		}
		short := harness.PerWorker(func(w harness.Worker) harness.Generator {
			if w.Index == 0 {
				return harness.Until(4500*time.Millisecond, workloads.Register{}.Generators([]harness.Worker{w})[0])
			}
			return harness.Until(time.Second, workloads.Register{}.Generators([]harness.Worker{w})[0])
		})
		recorded, _ := run(t, s, func(trial *harness.Trial) {
			trial.Workload, trial.FailFast, trial.Recovery = planned{plan: harness.Phases(short, each(5, history.Add))}, true, 5*time.Second
		})
		stop := slices.IndexFunc(recorded.Events, func(e history.Event) bool { return e.Type == history.Stop })
		if stop < 0 {
			t.Fatal("the load was not stopped")
		}
		after := 0
		for _, o := range recorded.History.Operations {
			if o.Kind == history.Add && o.Invoke > recorded.Events[stop].Time {
				after++
			}
		}
		if after != 6*5 {
			t.Errorf("%d operations of the second phase after the stop, want 30", after)
		}
	})
}

func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for reserved, want := range map[int]int{-1: 0, 0: 0, 2: 2, 6: 6, 99: 6} {
			writers := map[int]bool{}
			for _, o := range follow(t, &store{}, harness.Reserve(reserved, each(3, history.Write), each(3, history.Read)), nil) {
				if o.Kind == history.Write {
					writers[o.Process] = true
				}
				if o.Kind == history.Write != (o.Process < reserved) {
					t.Errorf("%d reserved: process %d has a %s", reserved, o.Process, o.Kind)
				}
			}
			if len(writers) != want {
				t.Errorf("%d reserved: %d workers write", reserved, len(writers))
			}
		}
	})
}

// Every third call ends in some other way. Each write is repeated until it is
// acknowledged, and then no more.
func TestUntilOK(t *testing.T) {
	for name, end := range map[string]error{"refused": harness.Definite(errReset), "unknown": errReset, "precondition": harness.ErrPrecondition} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, calls := &store{}, 0
				s.around = func(_ context.Context, _, _ string, do func()) error {
					s.mu.Lock()
					calls++
					bad := calls%3 == 0
					s.mu.Unlock()
					if bad {
						return end
					}
					do()
					return nil
				}
				plan := harness.PerWorker(func(w harness.Worker) harness.Generator {
					writes := harness.UntilOK(each(10, history.Write)([]harness.Worker{w})[0])
					return harness.Mix(w.Rand, harness.Weighted{Weight: 1, Generator: writes},
						harness.Weighted{Weight: 1, Generator: harness.Limit(20, always(history.Read))})
				})
				tries, acknowledged := map[int64][]history.Outcome{}, 0
				for _, o := range follow(t, s, plan, nil) {
					if o.Kind == history.Write {
						tries[o.Input.At(0)] = append(tries[o.Input.At(0)], o.Outcome)
					}
				}
				repeated := 0
				for value, outcomes := range tries {
					repeated += len(outcomes) - 1
					if slices.Index(outcomes, history.OK) == len(outcomes)-1 {
						acknowledged++
					} else {
						t.Errorf("the write of %d ended %v, want ok once, in the end", value, outcomes)
					}
				}
				if acknowledged != 60 || repeated < 15 {
					t.Errorf("%d writes were acknowledged, want 60; %d tries were repeated", acknowledged, repeated)
				}
			})
		})
	}
}

func TestZipf(t *testing.T) {
	for _, exponent := range []float64{0, 0.99, 2} {
		const draws, keys = 100_000, 10
		zipf := harness.Zipf(rand.New(rand.NewPCG(1, 2)), keys, exponent)
		var drawn [keys]float64
		for range draws {
			drawn[zipf()]++
		}
		sum := 0.0
		for n := range keys {
			sum += math.Pow(float64(n+1), -exponent)
		}
		for n, got := range drawn {
			if want := draws * math.Pow(float64(n+1), -exponent) / sum; math.Abs(got-want) > 5*math.Sqrt(want) {
				t.Errorf("exponent %v: %d was drawn %v times of %d, want about %.0f", exponent, n, got, draws, want)
			}
		}
	}
}

func TestAPlanHasAGeneratorForEachWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		few := func(workers []harness.Worker) []harness.Generator { return each(1, history.Read)(workers[:1]) }
		for _, plan := range []harness.Plan{few, harness.Phases(few), harness.OneAtATime(few), harness.Reserve(3, each(1, history.Read), few)} {
			s := &store{}
			_, _, err := harness.Run(t.Context(), harness.Trial{Target: s.target(), Workload: planned{plan: plan}, Nodes: 3, Dir: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), "1 generators for") {
				t.Errorf("%v", err)
			}
		}
	})
}
