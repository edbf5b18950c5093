// Package sessions decides the session guarantees (Terry, Demers, Petersen,
// Spreitzer, Theimer & Welch, "Session Guarantees for Weakly Consistent Replicated
// Data", PDIS 1994) of one register to which no value is written twice.
//
// # Definition
//
// There is one order of the writes, and a read that returns a value has seen its write
// and none that is later in the order. What is written later than a value in the order
// is newer. A session is the operations of one process.
//
//   - Monotonic reads: of two reads of a session, the later one returns nothing older.
//   - Read your writes: a read returns nothing older than what its session wrote before.
//   - Monotonic writes: of two writes of a session, the later one is newer.
//   - Writes follow reads: a write is newer than what its session read before.
//
// In Terry's words, a read is served by some server, whose database holds the value's
// write and no newer one, and may or may not hold each that is older. Since each
// operation may be served by another server, a guarantee says no more than this of
// one key.
//
// Several guarantees are claimed of one order. A history breaks them if no admissible
// order exists for which all hold. Which orders are admissible, Order says:
//
//   - Any: all. What the register holds before it is written is older than all writes.
//   - RealTime: those in which a write that was over before another was called is
//     older than it, as is what an acknowledged compare-and-set replaced than what it wrote.
//     A write is over when it was acknowledged, or when a read that returned its value had
//     completed, whichever is earlier.
//   - Versions: those in which a lower version is older.
//
// Of a write of unknown outcome, nothing later in its session has to be newer: it may take
// effect at any time. That it has to be newer itself is harmless if it never takes effect,
// for then nobody reads it, and nothing has to be newer than it. A compare-and-set is a
// write; that it found what it expected is no read, for it may be served where reads are
// not.
//
// # Method
//
// All this asks that one value be no newer than another, so it is a graph of
// values. There is an order iff no two values are each no newer than the other: iff
// no strongly connected component holds two values. The graph has a number of edges
// that is linear in that of the operations, by nodes that stand for "all that the
// session wrote so far", "all that it read so far" and "all that was over by then".
// So a decision takes n log n steps, for sorting, and a shortest cycle is the proof.
package sessions

import (
	"math"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// A Guarantee is a set of session guarantees.
type Guarantee uint8

const (
	MonotonicReads Guarantee = 1 << iota
	ReadYourWrites
	MonotonicWrites
	WritesFollowReads
)

// All are the four, in this order.
var All = []Guarantee{MonotonicReads, ReadYourWrites, MonotonicWrites, WritesFollowReads}

// An Order says which orders of the writes are admissible.
type Order uint8

const (
	Any Order = iota
	RealTime
	Versions
)

// NoVersion is the version of an operation that did not tell one.
const NoVersion = math.MinInt64

// An Operation is a read that returned, or a write that did not fail.
type Operation struct {
	Session   int32
	Call, Ret int64 // nanoseconds; Ret is register.Never if nobody knows the outcome
	Write     bool
	Value     register.Value // read or written
	Replaced  register.Value // by an acknowledged compare-and-set, else register.None
	Version   int64          // of Value, or NoVersion
}

// A History is what was done to one register, the operations of each session in their
// order.
type History struct {
	Operations []Operation
	Values     int // all are less
	Order      Order
}

// writers are the writes of each value, or -1. It returns false if there are two.
func (h *History) writers() ([]int32, bool) {
	writers := make([]int32, h.Values)
	for v := range writers {
		writers[v] = -1
	}
	for i := range h.Operations {
		o := &h.Operations[i]
		if !o.Write {
			continue
		}
		if writers[o.Value] >= 0 || o.Value == register.Nothing {
			return nil, false
		}
		writers[o.Value] = int32(i)
	}
	return writers, true
}

// phantom: the read returned what nobody had written, or not yet. No order explains it,
// whatever is claimed, and it says nothing of the order.
func (h *History) phantom(o *Operation, writers []int32) bool {
	if o.Write || o.Value == register.Nothing {
		return false
	}
	w := writers[o.Value]
	return w < 0 || h.Operations[w].Call > o.Ret
}

// An Answer is what was decided of a register.
type Answer struct {
	// Repeated means that a value is written twice, so nothing was decided; Disordered,
	// that no order is admissible at all.
	Repeated, Disordered bool
	// Broken are contradictions: one for each guarantee that cannot hold by itself, and
	// one for those that cannot hold together, the shortest first, until the rest can.
	Broken []Contradiction
	// Tested are the guarantees that ask anything of the history.
	Tested Guarantee
}

// A Contradiction is a set of operations for which there is no admissible order.
type Contradiction struct {
	// Together are the guarantees that are needed for it.
	Together Guarantee
	// Operations are in their order in the history, and hold the write of each value
	// that was written.
	Operations []int32
	// Cycle says of each value why it is no newer than the next, and of the last why
	// it is no newer than the first.
	Cycle []Step
}

// A Step of a cycle: why Older is no newer than Newer, by which guarantee (0 if all
// admissible orders say so), and by which operations.
type Step struct {
	Older, Newer register.Value
	By           Guarantee
	Operations   []int32
}

// Decide judges the guarantees claimed.
func Decide(h History, claimed Guarantee) Answer {
	writers, unique := h.writers()
	if !unique {
		return Answer{Repeated: true}
	}
	base := newGraph(&h, writers)
	base.order()
	if _, found := base.contradiction(); found {
		return Answer{Disordered: true}
	}
	var answer Answer
	kept := Guarantee(0)
	for _, g := range All {
		if claimed&g == 0 {
			continue
		}
		alone := base.with(g)
		answer.Tested |= alone.asked
		if c, found := alone.contradiction(); found {
			answer.Broken = append(answer.Broken, c)
		} else {
			kept |= g
		}
	}
	for kept&(kept-1) != 0 { // two or more
		c, found := base.with(kept).contradiction()
		if !found {
			break
		}
		answer.Broken = append(answer.Broken, c)
		kept &^= c.Together
	}
	return answer
}
