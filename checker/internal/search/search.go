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
	// those that were called before it returned are not linearizable among
	// themselves.
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

// A Search can be interrupted, and go on. It is for one goroutine at a time.
type Search struct {
	pass   pass // nil once it is over
	memory *Memory
	held   int // bytes that were taken from memory
	begun  bool
	answer Answer
}

// A pass is what is different between searches.
type pass interface {
	begin()
	// advance does the next small thing. The cost is about how many
	// configurations it made or compared. The verdict is Unknown until the search
	// is over; the step is the answer's.
	advance() (cost int, verdict Verdict, step int)
	// bytes is what the pass holds now, or is about to hold.
	bytes() int
	width() int
}

// patience is the cost after which the context and the memory are looked at
// again: much less than a millisecond's.
const patience = 2048

// Run goes on for about the given effort: a unit makes or compares one
// configuration, which takes some 50 ns. It reports whether the search is over:
// decided, out of memory, or out of time as the context says. It may exceed the
// effort, or the context's deadline, by a few milliseconds. A search that is over
// holds no memory.
func (s *Search) Run(ctx context.Context, effort int) (over bool) {
	for s.pass != nil && effort > 0 {
		if err := ctx.Err(); err != nil {
			s.finish(Answer{Err: err, Width: s.pass.width()})
			break
		}
		if !s.begun {
			s.pass.begin()
			s.begun = true
		}
		if bytes := s.pass.bytes(); bytes > s.held {
			if !s.memory.take(bytes - s.held) {
				s.finish(Answer{Err: ErrMemory, Width: s.pass.width()})
				break
			}
			s.held = bytes
		}
		for cost := 0; s.pass != nil && cost < patience; {
			c, verdict, step := s.pass.advance()
			cost += c
			effort -= c
			if verdict != Unknown {
				s.finish(Answer{Verdict: verdict, Step: step, Width: s.pass.width()})
			}
		}
	}
	return s.pass == nil
}

// Stop ends a search that is not over, and gives back its memory.
func (s *Search) Stop() {
	if s.pass != nil {
		s.finish(Answer{Err: context.Canceled, Width: s.pass.width()})
	}
}

func (s *Search) finish(answer Answer) {
	s.memory.give(s.held)
	s.pass, s.held, s.answer = nil, 0, answer
}

// Answer is what came out, once Run has returned true.
func (s *Search) Answer() Answer { return s.answer }

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
