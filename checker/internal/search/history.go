package search

import (
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// An operation is a step of a register as the search sees it.
type operation struct {
	call, ret int64
	from, to  register.Value // numbered anew
	step      int32          // its index for the caller
	class     int32          // if it writes
	slot      int32          // the bit that it is while it is open; -1 if unknown
	kind      kind
	unknown   bool
}

type kind uint8

const (
	observe kind = iota // that the register holds from
	exclude             // observe that it does not hold from
	write               // to
	swap                // from to to, which are not the same
)

// must reports whether o has to see from.
func (o *operation) must() bool { return !o.unknown && (o.kind == observe || o.kind == swap) }

// writes reports whether o writes.
func (o *operation) writes() bool { return o.to != register.None }

// A class is the operations with one effect.
type class struct {
	from, to register.Value // from is None for writes
	// counter is the word of a configuration that counts the unknown operations
	// of the class that are spent, or 0 if there are none.
	counter int
}

// A registerHistory is all that is known of a register before the search.
type registerHistory struct {
	operations []operation // ordered by call
	events     []int32     // as in timeline
	classes    []class
	// writesTo is the class of a value's writes, or -1; swapsFrom are those of
	// the swaps that observe it; arrivingAt are all that write it.
	writesTo              []int32
	swapsFrom, arrivingAt [][]int32
	// arrivals are, for each value, when the operations are called that write it.
	arrivals [][]int64
	// lastNeed says, for each value and number of arrivals, which operation is
	// the last to be called that must see the value and returns before the next
	// arrival; -1 if there is none.
	lastNeed [][]int32
	layout   layout
}

// newRegisterHistory leaves out the steps that say nothing.
//
// An operation of unknown outcome is dropped if its value is not needed: taking
// it out of any order that explains the history harms nobody, as only others of
// its sort observed it. A value is needed if an acknowledged operation observes
// it, or a needed swap of unknown outcome does. Where an acknowledged operation
// observes anything but a value, any value may be needed.
//
// Values are numbered anew. Those that nobody observes are one value.
func newRegisterHistory(steps []register.Step) *registerHistory {
	h := &registerHistory{}
	observed, excludes := observedValues(steps)
	number := make([]register.Value, len(observed))
	values := register.Value(1) // Nothing stays Nothing
	for v := 1; v < len(observed); v++ {
		if observed[v] {
			number[v] = values
			values++
		}
	}
	for v := 1; v < len(observed); v++ {
		if !observed[v] {
			number[v] = values
		}
	}
	values++
	h.writesTo = slices.Repeat([]int32{-1}, int(values))
	h.swapsFrom, h.arrivingAt = make([][]int32, values), make([][]int32, values)
	h.arrivals = make([][]int64, values)
	for i, s := range steps {
		o := operation{
			call: s.Call, ret: s.Ret, from: register.None, to: register.None,
			step: int32(i), unknown: s.Ret == register.Never,
		}
		if s.From != register.None {
			o.from = number[s.From]
		}
		if s.To != register.None && !s.Not && s.To != s.From {
			o.to = number[s.To]
		}
		switch {
		case o.unknown && (!o.writes() || !excludes && !observed[s.To]):
			continue
		case s.Not:
			o.kind = exclude
		case o.writes() && o.from == register.None:
			o.kind = write
		case o.writes():
			o.kind = swap
		case o.from == register.None:
			continue
		}
		if o.writes() {
			o.class = h.classOf(o.from, o.to)
			h.arrivals[o.to] = append(h.arrivals[o.to], o.call)
			if o.unknown {
				h.classes[o.class].counter = 1
			}
		}
		h.operations = append(h.operations, o)
	}
	events, slots, count := timeline(len(h.operations), h.interval)
	h.events = events
	for i, slot := range slots {
		h.operations[i].slot = slot
	}
	h.findLastNeeds()
	h.layout.words = (count + 63) / 64
	h.layout.size = 1 + 2*h.layout.words
	for i := range h.classes {
		if c := &h.classes[i]; c.counter > 0 {
			c.counter = h.layout.size
			h.layout.size++
		}
	}
	return h
}

// observedValues returns which values have to be told from others, and whether
// an acknowledged step observes anything but a value.
func observedValues(steps []register.Step) (observed []bool, excludes bool) {
	greatest := register.Nothing
	for _, s := range steps {
		greatest = max(greatest, s.From, s.To)
		excludes = excludes || s.Not && s.Ret != register.Never
	}
	observed = make([]bool, greatest+1)
	var todo []register.Value
	observe := func(v register.Value) {
		if !observed[v] {
			observed[v] = true
			todo = append(todo, v)
		}
	}
	expected := map[register.Value][]register.Value{} // by unknown swaps, by what they write
	for _, s := range steps {
		switch {
		case s.From == register.None:
		case s.Ret != register.Never || excludes:
			observe(s.From)
		case s.To != register.None:
			expected[s.To] = append(expected[s.To], s.From)
		}
	}
	for len(todo) > 0 {
		v := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, from := range expected[v] {
			observe(from)
		}
	}
	return observed, excludes
}

// classOf returns the class of writes, or of swaps, which is new if need be.
func (h *registerHistory) classOf(from, to register.Value) int32 {
	for _, k := range h.arrivingAt[to] {
		if h.classes[k].from == from {
			return k
		}
	}
	k := int32(len(h.classes))
	h.classes = append(h.classes, class{from: from, to: to})
	h.arrivingAt[to] = append(h.arrivingAt[to], k)
	if from == register.None {
		h.writesTo[to] = k
	} else {
		h.swapsFrom[from] = append(h.swapsFrom[from], k)
	}
	return k
}

func (h *registerHistory) findLastNeeds() {
	h.lastNeed = make([][]int32, len(h.arrivals))
	last := slices.Repeat([]int32{-1}, len(h.arrivals))
	for _, i := range h.events {
		if i >= 0 {
			if v := h.operations[i].to; v != register.None {
				h.lastNeed[v] = append(h.lastNeed[v], last[v])
			}
		} else if o := &h.operations[^i]; o.must() {
			last[o.from] = max(last[o.from], ^i)
		}
	}
	for v := range last {
		h.lastNeed[v] = append(h.lastNeed[v], last[v])
	}
}

// byReturn compares operations by when they return.
func (h *registerHistory) byReturn(a, b int32) int { return byReturn(h.interval, a, b) }

func (h *registerHistory) interval(i int32) Operation {
	return Operation{h.operations[i].call, h.operations[i].ret}
}
