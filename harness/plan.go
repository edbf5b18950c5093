package harness

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A Plan is what the workers of a trial do together: it returns the operations of
// each. A trial calls it once, before its load, so what the generators share lives as
// long as that trial. Workload.Generators is one, so a workload's plan may be a part
// of another:
//
//	harness.Phases(fill, harness.Reserve(5, readers, workloads.Register{}.Generators))
//
// No worker waits for another one beyond the end of the load, and a call that hangs is
// abandoned after the trial's Timeout, and some grace, and is over then.
type Plan func(workers []Worker) []Generator

// generators are the plan's. It panics if they are not one for each worker.
func (p Plan) generators(workers []Worker) []Generator {
	all := p(workers)
	if len(all) != len(workers) {
		panic(fmt.Sprintf("harness: a plan has %d generators for %d workers", len(all), len(workers)))
	}
	return all
}

// PerWorker is the plan of workers that have nothing to do with each other.
func PerWorker(generator func(Worker) Generator) Plan {
	return func(workers []Worker) []Generator {
		all := make([]Generator, len(workers))
		for i, worker := range workers {
			all[i] = generator(worker)
		}
		return all
	}
}

// Reserve has the first so many workers follow one plan and the others the rest. The
// first are spread over the nodes, as all of them are.
func Reserve(count int, plan, rest Plan) Plan {
	return func(workers []Worker) []Generator {
		reserved := min(max(count, 0), len(workers))
		return slices.Concat(plan.generators(workers[:reserved]), rest.generators(workers[reserved:]))
	}
}

// Phases plays one plan after the other: each begins when every worker's part of the
// one before has ended, and the last operation of it is over. A plan that never ends
// keeps the next from beginning; Until and Limit end one.
func Phases(plans ...Plan) Plan {
	return func(workers []Worker) []Generator {
		parts := make([][]Generator, len(workers)) // by worker, then by phase
		gates := make([]*barrier, len(plans))
		for phase, plan := range plans {
			gates[phase] = newBarrier(len(workers))
			for i, generator := range plan.generators(workers) {
				parts[i] = append(parts[i], generator)
			}
		}
		all := make([]Generator, len(workers))
		for i := range workers {
			all[i] = &phased{parts: parts[i], gates: gates}
		}
		return all
	}
}

// A phased generator is one worker's of several phases.
type phased struct {
	parts   []Generator // from the present one on
	gates   []*barrier  // behind each
	arrived bool        // at the first gate
}

// Next waits at the end of a phase for the other workers.
func (p *phased) Next(turn *Turn) (history.Operation, bool) {
	for len(p.parts) > 0 {
		if !p.arrived {
			if operation, ok := p.parts[0].Next(turn); ok {
				return operation, true
			}
			p.arrived = true
			p.gates[0].arrive()
		}
		if !turn.await(p.gates[0].open) {
			return history.Operation{}, true // the load is over: nobody carries it out
		}
		p.parts, p.gates, p.arrived = p.parts[1:], p.gates[1:], false
	}
	return history.Operation{}, false
}

// A barrier opens when all have arrived.
type barrier struct {
	missing atomic.Int64
	open    chan struct{}
}

func newBarrier(count int) *barrier {
	b := &barrier{open: make(chan struct{})}
	b.missing.Store(int64(count))
	return b
}

func (b *barrier) arrive() {
	if b.missing.Add(-1) == 0 {
		close(b.open)
	}
}

// OneAtATime carries out at most one operation of the plan at once, of all workers
// together. One of unknown outcome counts as over when its client has given up; the
// system may carry it out later.
func OneAtATime(plan Plan) Plan {
	return func(workers []Worker) []Generator {
		token := make(chan struct{}, 1)
		token <- struct{}{}
		all := slices.Clone(plan.generators(workers))
		for i, generator := range all {
			all[i] = GeneratorFunc(func(turn *Turn) (history.Operation, bool) {
				operation, ok := generator.Next(turn)
				if ok && turn.reach(turn.At) && turn.await(token) {
					turn.afterwards(func(*history.Operation) { token <- struct{}{} })
				}
				return operation, ok
			})
		}
		return all
	}
}

// await waits until the channel is closed, or something comes out of it. It returns
// false if the load ends before.
func (t *Turn) await(c <-chan struct{}) bool {
	select {
	case <-c:
		if t.round != nil {
			t.Now = t.round.now()
		}
		return true
	case <-t.over():
		return false
	}
}

// reach waits until the time has come. It returns false if the load ends before.
func (t *Turn) reach(at time.Duration) bool {
	if at <= t.Now {
		return true
	}
	timer := time.NewTimer(at - t.Now)
	defer timer.Stop()
	select {
	case <-timer.C:
		t.Now = at
		return true
	case <-t.over():
		return false
	}
}

// over is closed when the load ends.
func (t *Turn) over() <-chan struct{} {
	if t.round == nil {
		return nil
	}
	return t.round.ctx.Done()
}

// afterwards has f called with the operation when it is over, or with nil if it is not
// carried out after all. Without a trial there is nothing that would call it.
func (t *Turn) afterwards(f func(*history.Operation)) {
	if t.round != nil {
		t.round.over = append(t.round.over, f)
	}
}
