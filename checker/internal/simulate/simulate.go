// Package simulate makes histories of registers for tests and benchmarks.
package simulate

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A Workload is of 55 % reads, 30 % writes and 15 % compare-and-sets, two thirds
// of which expect what is there and the others what was there before, on
// registers that are linearizable.
type Workload struct {
	Operations  int
	Keys        int // each operation is on a random one
	Concurrency int // processes at work at any time
	Unknown     int // percent of the updates that nobody knows the outcome of
	// Distinct is how many values there are, the last of which no operation of
	// unknown outcome writes; 0 means that none is written twice to a key.
	Distinct int
	Refusals bool // compare-and-sets that fail do not tell what they saw
	Seed     uint64
}

// History returns the operations, ordered by invocation. Each takes 0.1 to 2 ms,
// and takes effect at a random moment of that; one of unknown outcome does so up
// to 10 ms later, or never, and its process goes on under another number.
func (w Workload) History() []history.Operation {
	r := rand.New(rand.NewPCG(w.Seed, 5))
	operations, effects := w.timetable(r)
	type register struct{ held, before int64 } // 0 is nothing
	registers := map[string]*register{}
	for i := range w.Keys {
		registers[keyName(i)] = &register{}
	}
	values := make([]int64, 0, 2*w.Operations)
	some := func(v ...int64) history.Value {
		values = append(values, v...)
		return history.Ints(values[len(values)-len(v) : len(values) : len(values)]...)
	}
	for fresh, i := range effects {
		o := &operations[i]
		x := registers[o.Key]
		written := int64(fresh + 1)
		if w.Distinct > 0 {
			written = 1 + r.Int64N(int64(w.Distinct))
			if o.Outcome == history.Info && w.Distinct > 1 {
				written = 1 + r.Int64N(int64(w.Distinct)-1)
			}
		}
		happens := o.Outcome == history.OK || r.IntN(2) == 0
		switch o.Kind {
		case history.Read:
			if x.held != 0 {
				o.Output = some(x.held)
			}
			continue
		case history.Write:
			o.Input = some(written)
		case history.CompareAndSet:
			expected := x.held
			if expected == 0 || r.IntN(3) == 0 {
				expected = x.before
			}
			o.Input = some(expected, written)
			if expected == x.held && expected != 0 {
				break
			}
			happens = false
			if o.Outcome == history.OK {
				o.Outcome = history.Fail
				if !w.Refusals && x.held != 0 {
					o.Output = some(x.held)
				}
			}
		}
		if happens {
			x.before, x.held = x.held, written
		}
	}
	return operations
}

// timetable returns operations without values, ordered by invocation, and in
// which order they take effect.
func (w Workload) timetable(r *rand.Rand) (operations []history.Operation, effects []int) {
	between := func(low, high time.Duration) time.Duration { return low + time.Duration(r.Int64N(int64(high-low))) }
	type client struct {
		process int
		free    time.Duration
	}
	clients := make([]client, w.Concurrency)
	for i := range clients {
		clients[i] = client{i, between(0, 2*time.Millisecond)}
	}
	processes := w.Concurrency
	operations = make([]history.Operation, w.Operations)
	for i := range operations {
		c := &clients[i%len(clients)]
		o := &operations[i]
		*o = history.Operation{Process: c.process, Key: keyName(r.IntN(w.Keys)), Invoke: c.free, Outcome: history.OK}
		o.Node = nodeNames[c.process%len(nodeNames)]
		o.Complete = o.Invoke + between(100*time.Microsecond, 2*time.Millisecond)
		c.free = o.Complete + between(0, 100*time.Microsecond)
		switch kind := r.IntN(100); {
		case kind < 55:
			o.Kind = history.Read
			continue
		case kind < 85:
			o.Kind = history.Write
		default:
			o.Kind = history.CompareAndSet
		}
		if r.IntN(100) < w.Unknown {
			o.Outcome = history.Info
			c.process = processes
			processes++
		}
	}
	slices.SortFunc(operations, func(a, b history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })
	at := make([]time.Duration, len(operations))
	effects = make([]int, len(operations))
	for i := range operations {
		o := &operations[i]
		effects[i] = i
		at[i] = between(o.Invoke, o.Complete)
		if o.Outcome == history.Info {
			at[i] = between(o.Invoke, o.Complete+10*time.Millisecond)
		}
	}
	slices.SortFunc(effects, func(i, j int) int { return cmp.Compare(at[i], at[j]) })
	return operations, effects
}

var nodeNames = []string{"n1", "n2", "n3", "n4", "n5"}

var keyNames = func() []string {
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("k%d", i)
	}
	return names
}()

func keyName(i int) string {
	if i < len(keyNames) {
		return keyNames[i]
	}
	return fmt.Sprintf("k%d", i)
}

// Repeated returns operations with few values, Distinct, in two halves, with a
// pause between: then every key is written, and of the first one a stale read
// returns the last value, if that is asked for.
func (w Workload) Repeated(stale bool) []history.Operation {
	half := w
	half.Operations /= 2
	all := half.History()
	half.Seed++
	second := half.History()
	var end time.Duration
	process := 0
	for i := range all {
		end = max(end, all[i].Complete)
		process = max(process, all[i].Process+1)
	}
	for k := range w.Keys {
		end += time.Millisecond
		all = append(all, history.Operation{Process: process, Node: nodeNames[0], Key: keyName(k), Kind: history.Write, Input: history.Ints(1), Invoke: end, Complete: end + time.Microsecond, Outcome: history.OK})
	}
	end += time.Millisecond
	if stale {
		all = append(all, history.Operation{Process: process, Node: nodeNames[1], Key: keyName(0), Kind: history.Read, Output: history.Ints(int64(w.Distinct)), Invoke: end, Complete: end + time.Microsecond, Outcome: history.OK})
		end += time.Millisecond
	}
	for _, o := range second {
		if o.Kind == history.Read && o.Output.Len() == 0 {
			continue // there is something
		}
		o.Process += process + 1
		o.Invoke += end
		o.Complete += end
		all = append(all, o)
	}
	return all
}

// Stale makes one of the last reads stale: it returns a value that had been
// overwritten before it began. No value may be written twice to a key. It panics
// if there is no such read.
func Stale(operations []history.Operation) {
	acknowledged := func(o *history.Operation) bool { return o.Kind == history.Write && o.Outcome == history.OK }
	for i := len(operations) - 1; i >= 0; i-- {
		read := &operations[i]
		if read.Kind != history.Read {
			continue
		}
		var older *history.Operation
		for j := range i {
			switch w := &operations[j]; {
			case w.Key != read.Key || !acknowledged(w):
			case older == nil:
				older = w
			case older.Complete < w.Invoke && w.Complete < read.Invoke:
				read.Output = older.Input
				return
			}
		}
	}
	panic("no read can be made stale")
}
