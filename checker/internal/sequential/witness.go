package sequential

import (
	"context"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/pieces"
)

// witnessEffort bounds the search at each try to leave something out.
const witnessEffort = 20_000

// witness returns as few operations as were found that no order explains, by indices in
// the history. It leaves out ever smaller pieces, each with all that observes what it
// wrote, and all that observes what those wrote. What remains is of the same form: who
// observes a value is there with its writer alone, so an order of the whole would leave one
// of the rest. That does not hold of an operation that says what was not there: as long as
// there is one, all writes of its register stay.
func (p *problem) witness(ctx context.Context) []int32 {
	smallest := p
	if kept := p.without(func(i int32) bool { return p.operations[i].Not }); kept.refuted(ctx) {
		smallest = kept
	}
	pieces.Leave(ctx, len(smallest.operations), func(from, to int) int {
		kept := smallest.without(func(i int32) bool { return int(i) >= from && int(i) < to })
		if kept.refuted(ctx) {
			smallest = kept
		}
		return len(smallest.operations)
	})
	return slices.Sorted(slices.Values(smallest.of))
}

func (p *problem) refuted(ctx context.Context) bool { return p.decide(ctx, witnessEffort) == Invalid }

// without returns the problem without some operations, and what depends on them.
func (p *problem) without(some func(i int32) bool) *problem {
	fixed := make([]bool, len(p.registers))
	for i, o := range p.operations {
		if o.Not && !some(int32(i)) {
			fixed[o.Register] = true
		}
	}
	out := make([]bool, len(p.operations))
	var queue []int32
	leave := func(i int32) {
		if !out[i] {
			out[i] = true
			queue = append(queue, i)
		}
	}
	for i := range p.operations {
		if o := &p.operations[i]; some(int32(i)) && !(o.Writes() && fixed[o.Register]) {
			leave(int32(i))
		}
	}
	for len(queue) > 0 {
		o := &p.operations[queue[len(queue)-1]]
		queue = queue[:len(queue)-1]
		if !o.Writes() {
			continue
		}
		x := p.registers[o.Register]
		for _, i := range slices.Concat(x.readers[o.To], x.swaps[o.To]) {
			leave(i)
		}
	}
	var kept []int32
	for i, left := range out {
		if !left {
			kept = append(kept, p.of[i])
		}
	}
	return newPart(p.history, kept)
}
