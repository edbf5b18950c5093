package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/harness/history"
)

// Linearizable asks Porcupine about one key with a plain model and no preprocessing:
// an unknown operation returns at infinity, and an unknown compare-and-set may
// fail.
func Linearizable(operations []history.Operation) bool {
	var entries []porcupine.Operation
	for _, o := range operations {
		ret := int64(o.Complete)
		if o.Outcome == history.Info {
			ret = math.MaxInt64
		}
		entries = append(entries, porcupine.Operation{Input: o, Call: int64(o.Invoke), Return: ret})
	}
	const nothing = math.MinInt64
	return porcupine.CheckOperations(porcupine.Model{
		Init: func() any { return int64(nothing) },
		Step: func(state, input, _ any) (bool, any) {
			held, o := state.(int64), input.(history.Operation)
			seen := int64(nothing)
			if o.Output.Len() > 0 {
				seen = o.Output.At(0)
			}
			switch {
			case o.Kind == history.Read && o.Outcome == history.OK:
				return held == seen, held
			case o.Kind == history.Write && o.Outcome != history.Fail:
				return true, o.Input.At(0)
			case o.Kind == history.CompareAndSet && o.Outcome == history.Fail:
				if o.Output.Len() == 0 {
					return o.Error != "" || held != o.Input.At(0), held
				}
				return held == seen, held
			case o.Kind == history.CompareAndSet && held == o.Input.At(0):
				return true, o.Input.At(1)
			case o.Kind == history.CompareAndSet:
				return o.Outcome == history.Info, held
			}
			return true, held
		},
	}, entries)
}

// A Universe is how random histories of one key are drawn.
type Universe struct {
	Name     string
	Unique   bool // no value is written twice, or hardly ever
	Refusals bool // most compare-and-sets that fail do not tell what they saw
	Size     int  // at most so many operations
}

// Universes are those that the checks of registers are tried on.
var Universes = []Universe{
	{Name: "unique", Unique: true, Size: 14},
	{Name: "refusals", Unique: true, Refusals: true, Size: 12},
	{Name: "repeated", Size: 12},
}

// Draw returns a random history of one key. A real register is simulated with
// random effects inside the intervals, then some observations are spoilt, so
// that linearizable and not come about equally often.
func (u Universe) Draw(r *rand.Rand) []history.Operation {
	n := 1 + r.IntN(u.Size)
	processes := 1 + r.IntN(5)
	span := 2 + r.IntN(3*n) // a small span makes for ties
	d := drawing{Universe: u, Rand: r, spoil: []float64{0, 0.1, 0.6}[r.IntN(3)]}
	unknown := []float64{0, 0.1, 0.4}[r.IntN(3)]
	type effect struct {
		at int
		*history.Operation
	}
	operations := make([]history.Operation, n)
	effects := make([]effect, n)
	for i := range operations {
		call := r.IntN(span)
		ret := call + r.IntN(1+span/processes)
		operations[i] = history.Operation{
			Process: i, Node: fmt.Sprintf("n%d", 1+i%3), Key: "x",
			Invoke: time.Duration(call), Complete: time.Duration(ret), Outcome: history.OK,
			Kind: []history.Kind{history.Read, history.Read, history.Write, history.CompareAndSet, history.CompareAndSet}[r.IntN(5)],
		}
		at := call + r.IntN(1+ret-call)
		if r.Float64() < unknown {
			operations[i].Outcome = history.Info
			at = call + r.IntN(2*span)
		}
		effects[i] = effect{at, &operations[i]}
	}
	slices.SortStableFunc(effects, func(a, b effect) int { return a.at - b.at })
	for i, o := range effects {
		d.carryOut(i, o.Operation)
	}
	slices.SortStableFunc(operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return operations
}

// A drawing is a register that is simulated, and what it lies about.
type drawing struct {
	Universe
	*rand.Rand
	spoil   float64 // share of the answers
	held    history.Value
	written []int64
}

// pick returns a value that may be there, or that never was, or not yet.
func (d *drawing) pick() int64 {
	switch {
	case len(d.written) == 0 || d.IntN(200) == 0:
		return 99
	case d.Unique && d.IntN(40) == 0:
		return int64(len(d.written) + 1 + d.IntN(4))
	}
	return d.written[max(0, len(d.written)-1-d.IntN(3))]
}

// carryOut gives the ith operation to take effect its values.
func (d *drawing) carryOut(i int, o *history.Operation) {
	fresh := int64(i + 1)
	if !d.Unique {
		fresh = int64(1 + d.IntN(3))
	}
	if d.Unique && len(d.written) > 0 && d.IntN(40) == 0 && o.Kind == history.CompareAndSet {
		fresh = 98 // two of these are a repetition, which must be noticed
	}
	happens := o.Outcome == history.OK || d.IntN(3) > 0
	if len(d.written) == 0 && d.IntN(50) > 0 {
		o.Kind = history.Write // before it there is little to observe
	}
	switch o.Kind {
	case history.Read:
		o.Output = d.held
		if d.Float64() < d.spoil {
			o.Output = history.Ints(d.pick())
		}
		if d.Float64() < d.spoil/4 {
			o.Output = history.Value{}
		}
	case history.Write:
		o.Input = history.Ints(fresh)
		if d.IntN(20) == 0 {
			o.Outcome, happens = history.Fail, false
		}
		if happens {
			d.held = history.Ints(fresh)
		}
		if happens || d.IntN(8) == 0 {
			d.written = append(d.written, fresh)
		}
	case history.CompareAndSet:
		d.swap(o, fresh, happens)
	}
}

func (d *drawing) swap(o *history.Operation, fresh int64, happens bool) {
	expected := d.pick()
	if d.held.Len() > 0 && d.IntN(4) > 0 {
		expected = d.held.At(0)
	}
	if d.IntN(30) == 0 {
		fresh = expected // which changes nothing
	}
	o.Input = history.Ints(expected, fresh)
	swaps := d.held.Len() > 0 && d.held.At(0) == expected
	if swaps && o.Outcome == history.OK && (d.Refusals && d.IntN(2) == 0 || d.IntN(10) == 0) && d.Float64() < d.spoil {
		o.Outcome = history.Fail // although it held
		return
	}
	switch {
	case swaps && happens:
		d.held = history.Ints(fresh)
	case !swaps && o.Outcome == history.OK && d.Float64() >= d.spoil:
		o.Outcome = history.Fail
		switch {
		case d.IntN(10) == 0:
			o.Error = "refused" // which says nothing
		case d.Refusals && d.IntN(5) > 0:
		case d.Float64() < d.spoil:
			o.Output = history.Ints(d.pick())
		case d.IntN(2) == 0:
			o.Output = d.held
		}
	}
	if d.held.Len() > 0 && d.held.At(0) == fresh || d.IntN(20) == 0 {
		d.written = append(d.written, fresh)
	}
}

// Valid returns a linearizable history with unique values, a third each of
// reads, writes and swaps.
func Valid(n, keys, processes int) []history.Operation {
	held := make([]int64, keys)
	operations := make([]history.Operation, n)
	for i := range operations {
		k := i % keys
		at := time.Duration(i) * time.Microsecond
		width := time.Duration(processes) * time.Microsecond
		o := history.Operation{
			Process: i % processes, Node: fmt.Sprintf("n%d", 1+i%3), Key: fmt.Sprintf("k%d", k),
			Invoke: at, Complete: at + width - 1, Outcome: history.OK,
		}
		switch fresh := int64(i + 1); {
		case held[k] == 0 || i/keys%3 == 0:
			o.Kind, o.Input = history.Write, history.Ints(fresh)
			held[k] = fresh
		case i/keys%3 == 1:
			o.Kind, o.Output = history.Read, history.Ints(held[k])
		default:
			o.Kind, o.Input = history.CompareAndSet, history.Ints(held[k], fresh)
			held[k] = fresh
		}
		operations[i] = o
	}
	return operations
}
