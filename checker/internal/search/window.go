package search

import (
	"math"
	"math/bits"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// A window is what is open between two events of a register's history. It can
// move in both directions.
type window struct {
	*registerHistory
	event  int   // the next one
	called int32 // how many operations have been
	// hit holds for each value the open operations that are done when the
	// register gets to hold it: its observers and its writes. Operations that
	// exclude are in excluders, and in notHit for the value that they exclude.
	hit, notHit []bitset
	excluders   bitset
	// needs holds for each value the open operations that must see it.
	needs []bitset
	// writes are the open writes.
	writes bitset
	// at is the open operation at each slot.
	at []*operation
	// open are, for each class, the operations that will return, by when they do;
	// unknown is how many of the others have been called.
	open    [][]int32
	unknown []uint64
	// available are the classes of writes that have any of these.
	available []int32
	// foreseen is, of the operations to come that hopeless was about, the one
	// that returns last, or -1.
	foreseen int32
	// arrived counts for each value the operations called that write it.
	arrived []int
}

func newWindow(h *registerHistory) *window {
	values, words := len(h.writesTo), h.layout.words
	w := &window{
		registerHistory: h,
		foreseen:        -1,
		at:              make([]*operation, 64*words),
		open:            make([][]int32, len(h.classes)),
		unknown:         make([]uint64, len(h.classes)),
		arrived:         make([]int, values),
	}
	pool := make(bitset, (3*values+2)*words)
	take := func() (b bitset) { b, pool = pool[:words:words], pool[words:]; return b }
	for _, sets := range []*[]bitset{&w.hit, &w.notHit, &w.needs} {
		*sets = make([]bitset, values)
		for v := range *sets {
			(*sets)[v] = take()
		}
	}
	w.excluders, w.writes = take(), take()
	return w
}

// forward passes the next event.
func (w *window) forward() {
	i := w.events[w.event]
	w.event++
	if i < 0 {
		w.leave(^i)
		return
	}
	w.called++
	w.enter(i)
	if o := &w.operations[i]; o.writes() {
		w.arrived[o.to]++
	}
}

// back passes the last event in the other direction.
func (w *window) back() {
	w.event--
	i := w.events[w.event]
	if i < 0 {
		w.enter(^i)
		return
	}
	w.called--
	w.leave(i)
	if o := &w.operations[i]; o.writes() {
		w.arrived[o.to]--
	}
}

func (w *window) enter(i int32) {
	o := &w.operations[i]
	if o.writes() {
		if o.kind == write && w.empty(o.class) {
			w.available = append(w.available, o.class)
		}
		if o.unknown {
			w.unknown[o.class]++
			return
		}
		open := w.open[o.class]
		at, _ := slices.BinarySearchFunc(open, i, w.byReturn)
		w.open[o.class] = slices.Insert(open, at, i)
	}
	w.at[o.slot] = o
	w.mark(o, bitset.set)
}

func (w *window) leave(i int32) {
	o := &w.operations[i]
	if o.unknown {
		w.unknown[o.class]--
	} else {
		w.at[o.slot] = nil
		w.mark(o, bitset.unset)
		if o.writes() {
			open := w.open[o.class]
			at, _ := slices.BinarySearchFunc(open, i, w.byReturn)
			w.open[o.class] = slices.Delete(open, at, at+1)
		}
	}
	if o.kind == write && w.empty(o.class) {
		at := slices.Index(w.available, o.class)
		w.available = slices.Delete(w.available, at, at+1)
	}
}

func (w *window) empty(class int32) bool { return len(w.open[class]) == 0 && w.unknown[class] == 0 }

// mark sets or unsets an operation's bit wherever it belongs.
func (w *window) mark(o *operation, change func(bitset, int32)) {
	if o.must() {
		change(w.needs[o.from], o.slot)
	}
	switch o.kind {
	case observe:
		change(w.hit[o.from], o.slot)
	case exclude:
		change(w.excluders, o.slot)
		change(w.notHit[o.from], o.slot)
	case write:
		change(w.hit[o.to], o.slot)
		change(w.writes, o.slot)
	}
}

// first returns the slot of the operation of a class that returns first of those
// that are not spent, or -1 if it is one of unknown outcome.
func (w *window) first(c []uint64, class int32) (slot int32, ok bool) {
	spent := w.layout.spent(c)
	for _, i := range w.open[class] {
		if slot := w.operations[i].slot; !spent.has(slot) {
			return slot, true
		}
	}
	return -1, w.left(c, class) > 0
}

// left is how many operations of a class with unknown outcome are not spent.
func (w *window) left(c []uint64, class int32) int {
	if w.unknown[class] == 0 {
		return 0
	}
	return int(w.unknown[class] - c[w.classes[class].counter])
}

// hopeless: operations must see v, and the register cannot get to hold it often
// enough. Those that return before another operation that writes v is called,
// open or still to be called, have to do with what writes v now, and each swap
// from v needs an arrival of its own.
func (w *window) hopeless(c []uint64, v register.Value) bool {
	done, spent := w.layout.done(c), w.layout.spent(c)
	need, swaps := 0, 0
	for word, set := range w.needs[v] {
		for set &^= done[word]; set != 0; set &= set - 1 {
			o := w.at[word<<6+bits.TrailingZeros64(set)]
			if later := w.arrivals[v][w.arrived[v]:]; len(later) > 0 && later[0] <= o.ret {
				continue
			}
			if need = 1; o.kind == swap {
				swaps++
			}
		}
	}
	need = max(need, swaps)
	future := w.lastNeed[v][w.arrived[v]]
	foresees := need == 0 && future >= w.called
	if foresees {
		need = 1
	}
	if c[0] == uint64(v) {
		need--
	}
	for _, k := range w.arrivingAt[v] {
		if need <= 0 {
			return false
		}
		need -= w.left(c, k)
		for _, i := range w.open[k] {
			if !spent.has(w.operations[i].slot) {
				need--
			}
		}
	}
	if need > 0 && foresees && (w.foreseen < 0 || w.operations[future].ret > w.operations[w.foreseen].ret) {
		w.foreseen = future
	}
	return need > 0
}

// possible returns the values that the register may hold now: those of writers
// after which no other must have come.
func (w *window) possible() []register.Value {
	called := w.operations[:w.called]
	after := int64(math.MinInt64) // the last call of a writer that has returned
	for i := range called {
		if o := &called[i]; o.writes() && !o.unknown && w.at[o.slot] != o {
			after = max(after, o.call)
		}
	}
	held := make([]bool, len(w.arrivals))
	held[register.Nothing] = after == math.MinInt64
	for i := range called {
		if o := &called[i]; o.writes() && o.ret >= after {
			held[o.to] = true
		}
	}
	var values []register.Value
	for v := range held {
		if held[v] {
			values = append(values, register.Value(v))
		}
	}
	return values
}

func (w *window) bytes() int {
	values := len(w.writesTo)
	return 48*cap(w.operations) + 4*(cap(w.events)+len(w.operations)) + 40*len(w.classes) + 8*len(w.at) +
		values*(4+8+3*24+3*24+3*8*w.layout.words) + 12*len(w.operations)
}
