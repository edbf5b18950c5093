// Package search decides linearizability where no theorem does: registers whose
// values repeat, and any model, by just-in-time linearization (Lowe, "Testing for
// linearizability", Concurrency and Computation: Practice and Experience 29(4),
// 2017), which goes back to Wing & Gong, "Testing and verifying concurrent
// objects", J. Parallel Distrib. Comput. 17, 1993.
//
// # The idea
//
// A search passes over the calls and returns of a history in the order of time
// (at one moment calls come first, as intervals are closed) and keeps the set of
// configurations that the object may be in: its state, and which of the open
// operations have taken effect. Operations take effect as late as possible. When
// one returns that has not yet, every sequence of open operations that ends with
// it is tried; whatever else might happen can happen at a later return. If no
// configuration is left, then no order explains the history up to this return.
//
// An open operation is a bit. Bits are reused when operations return, so a
// configuration is as wide as the history is concurrent, however long it is.
//
// # Narrow passes first
//
// The set can grow exponentially. So a pass has a width. A pass that outgrows it
// goes on with less than the truth, by dropping configurations: if it comes to
// the end, the history is linearizable all the same. For registers there is also
// a pass that goes on with more than the truth, by joining configurations into
// one that can do whatever any of them can: if it is left with nothing, the
// history is not linearizable all the same. If neither decides, the width grows.
// A pass that never outgrew its width is exact.
package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
)

// A Verdict says what a search has proven.
type Verdict uint8

const (
	Unknown Verdict = iota // nothing
	Valid
	Invalid
)

func (v Verdict) String() string {
	return [...]string{"unknown", "valid", "invalid"}[v]
}

// An Answer is what came out of a search.
type Answer struct {
	Verdict Verdict
	// Step is, if the verdict is Invalid, the index of an operation such that
	// what was called before it returned is not linearizable, even if what
	// returned later had no effect.
	Step int
	// Err says why the verdict is Unknown: ErrMemory or the context's error.
	Err error
	// Width is that of the last pass: how many configurations it kept, of each
	// value if they are a register's.
	Width int
}

// ErrMemory means that a search would have outgrown its memory.
var ErrMemory = errors.New("memory budget exhausted")

// A Memory is a number of bytes that searches share. It may be used by several
// goroutines at a time.
type Memory struct{ left atomic.Int64 }

// NewMemory returns a memory of so many bytes.
func NewMemory(bytes uint64) *Memory {
	m := &Memory{}
	m.left.Store(int64(min(bytes, math.MaxInt64)))
	return m
}

// take returns false if that much is not left.
func (m *Memory) take(bytes int) bool {
	if m.left.Add(-int64(bytes)) < 0 {
		m.left.Add(int64(bytes))
		return false
	}
	return true
}

func (m *Memory) give(bytes int) { m.left.Add(int64(bytes)) }

// A Search is one that can be interrupted and go on. It is for one goroutine at
// a time.
type Search struct {
	pass   pass
	memory *Memory
	// held is what was taken from memory.
	held   int
	answer Answer
	done   bool
}

// A pass is a search of some width.
type pass interface {
	// begin prepares for the first pass, of the least width.
	begin()
	// advance does one thing, and returns what it cost: about as many as
	// configurations were made or compared. It reports when the search is decided.
	advance() (cost int, verdict Verdict, step int)
	// bytes is what is held now.
	bytes() int
	width() int
}

// patience is the cost after which the context and the memory are looked at
// again: well below a millisecond.
const patience = 2048

// Run goes on for about the given effort: a unit makes or compares one
// configuration, and takes about 50 ns. It returns whether the search is over:
// decided, out of memory or, with the context, out of time. What it held is given
// back then.
func (s *Search) Run(ctx context.Context, effort int) (done bool) {
	if !s.done && s.held == 0 {
		if s.answer.Err = ctx.Err(); s.answer.Err == nil {
			s.pass.begin()
		}
		s.account()
	}
	for sinceLook := patience; !s.done && effort > 0; {
		if sinceLook >= patience {
			sinceLook = 0
			if s.answer.Err == nil {
				s.answer.Err = ctx.Err()
			}
			s.account()
			continue
		}
		cost, verdict, step := s.pass.advance()
		sinceLook += cost
		effort -= cost
		if verdict != Unknown {
			s.finish(Answer{Verdict: verdict, Step: step, Width: s.pass.width()})
		}
	}
	return s.done
}

// Answer is what came out, once Run has returned true.
func (s *Search) Answer() Answer { return s.answer }

// account takes what the pass holds from the memory, and ends the search if that
// is too much, or another error stands.
func (s *Search) account() {
	if bytes := s.pass.bytes(); bytes > s.held {
		if s.memory.take(bytes - s.held) {
			s.held = bytes
		} else {
			s.answer.Err = ErrMemory
		}
	}
	if s.answer.Err != nil {
		s.finish(Answer{Err: s.answer.Err, Width: s.pass.width()})
	}
}

func (s *Search) finish(answer Answer) {
	s.memory.give(s.held)
	s.pass, s.held = nil, 0
	s.answer, s.done = answer, true
}

// run runs a search to its end.
func (s *Search) run(ctx context.Context) Answer {
	for !s.Run(ctx, math.MaxInt) {
	}
	return s.answer
}

func (a Answer) String() string {
	switch a.Verdict {
	case Invalid:
		return fmt.Sprintf("invalid at the return of step %d", a.Step)
	case Unknown:
		return fmt.Sprintf("unknown: %v", a.Err)
	}
	return "valid"
}
