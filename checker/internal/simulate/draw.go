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
	spoil := []float64{0, 0.1, 0.6}[r.IntN(3)]
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
	var held history.Value
	var written []int64
	pick := func() int64 { // a value that may be there, or that never was, or not yet
		switch {
		case len(written) == 0 || r.IntN(200) == 0:
			return 99
		case u.Unique && r.IntN(40) == 0:
			return int64(len(written) + 1 + r.IntN(4))
		}
		return written[max(0, len(written)-1-r.IntN(3))]
	}
	for i, o := range effects {
		fresh := int64(i + 1)
		if !u.Unique {
			fresh = int64(1 + r.IntN(3))
		}
		if u.Unique && len(written) > 0 && r.IntN(40) == 0 && o.Kind == history.CompareAndSet {
			fresh = 98 // two of these are a repetition, which must be noticed
		}
		happens := o.Outcome == history.OK || r.IntN(3) > 0
		if len(written) == 0 && r.IntN(50) > 0 {
			o.Kind = history.Write // before it there is little to observe
		}
		switch o.Kind {
		case history.Read:
			o.Output = history.Ints(slices.Clone(held.Ints())...)
			if r.Float64() < spoil {
				o.Output = history.Ints(pick())
			}
			if r.Float64() < spoil/4 {
				o.Output = history.Value{}
			}
		case history.Write:
			o.Input = history.Ints(fresh)
			if r.IntN(20) == 0 {
				o.Outcome, happens = history.Fail, false
			}
			if happens {
				held = history.Ints(fresh)
			}
			if happens || r.IntN(8) == 0 {
				written = append(written, fresh)
			}
		case history.CompareAndSet:
			expected := pick()
			if held.Len() > 0 && r.IntN(4) > 0 {
				expected = held.At(0)
			}
			if r.IntN(30) == 0 {
				fresh = expected // which changes nothing
			}
			o.Input = history.Ints(expected, fresh)
			swaps := held.Len() > 0 && held.At(0) == expected
			if swaps && o.Outcome == history.OK && (u.Refusals && r.IntN(2) == 0 || r.IntN(10) == 0) && r.Float64() < spoil {
				o.Outcome = history.Fail // although it held
				break
			}
			switch {
			case swaps && happens:
				held = history.Ints(fresh)
			case !swaps && o.Outcome == history.OK && r.Float64() >= spoil:
				o.Outcome = history.Fail
				switch {
				case r.IntN(10) == 0:
					o.Error = "refused" // which says nothing
				case u.Refusals && r.IntN(5) > 0:
				case r.Float64() < spoil:
					o.Output = history.Ints(pick())
				case r.IntN(2) == 0:
					o.Output = history.Ints(slices.Clone(held.Ints())...)
				}
			}
			if held.Len() > 0 && held.At(0) == fresh || r.IntN(20) == 0 {
				written = append(written, fresh)
			}
		}
	}
	slices.SortStableFunc(operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return operations
}

// Lock returns a random history of one lock. Each process acquires, uses and
// gives back once or twice; a real lock is simulated with random effects inside
// the intervals, which breaks now and then. Tokens are positive.
func Lock(r *rand.Rand) []history.Operation {
	spoil := []float64{0, 0.1, 0.4}[r.IntN(3)]
	fenced := []float64{0, 0.8, 1}[r.IntN(3)]
	unknown := []float64{0, 0.2}[r.IntN(2)]
	width := 1 + r.IntN(5) // small ones make for ties
	var operations []history.Operation
	at, token := 0, int64(0)
	for process := range 1 + r.IntN(4) {
		at = max(0, at-r.IntN(2*width))
		if r.Float64() < spoil {
			at = max(0, at-r.IntN(8*width))
		}
		add := func(kind history.Kind, input history.Value) *history.Operation {
			// at is the moment of the effect.
			o := history.Operation{Process: process, Node: "n1", Key: "l", Kind: kind, Input: input, Outcome: history.OK}
			call := at
			if n := len(operations); n > 0 && operations[n-1].Process == process {
				call = max(call-r.IntN(width), int(operations[n-1].Complete))
			} else {
				call = max(call-r.IntN(width), 0)
			}
			at = max(at, call)
			o.Invoke, o.Complete = time.Duration(call), time.Duration(at+r.IntN(width))
			at += r.IntN(width)
			operations = append(operations, o)
			return &operations[len(operations)-1]
		}
		for range 1 + r.IntN(2) {
			if len(operations) > 9 { // more keep Porcupine busy for minutes
				break
			}
			acquire := add(history.Acquire, history.Value{})
			if r.Float64() < unknown {
				acquire.Outcome = []history.Outcome{history.Info, history.Fail}[r.IntN(2)]
			}
			if acquire.Outcome == history.Info {
				break
			}
			if acquire.Outcome == history.Fail && r.IntN(2) == 0 {
				acquire.Error = "already held"
			}
			token++
			granted := token
			if r.Float64() < spoil {
				granted = max(1, token-int64(r.IntN(3)))
			}
			var carried history.Value
			if acquire.Outcome == history.OK && r.Float64() < fenced {
				carried = history.Ints(granted)
				acquire.Output = carried
			}
			for range r.IntN(3) {
				use := add(history.Use, carried)
				if r.Float64() < unknown/2 {
					use.Outcome = history.Fail
				}
			}
			if r.IntN(4) == 0 {
				break // and is not seen again
			}
			if r.Float64() < spoil/2 {
				continue // and acquires again
			}
			release := add(history.Release, history.Value{})
			if r.Float64() < unknown {
				release.Outcome = []history.Outcome{history.Info, history.Fail}[r.IntN(2)]
			}
			if release.Outcome == history.Fail && r.IntN(2) == 0 {
				release.Error = "refused"
			}
			if release.Outcome == history.Info {
				break
			}
		}
	}
	slices.SortStableFunc(operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return operations
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
