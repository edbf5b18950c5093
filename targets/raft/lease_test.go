package raft

import (
	"testing"
	"time"
)

// A lease holds for its term and its time, by a clock that is believed whatever
// it says: one that jumps back, or runs slow, makes it hold too long. This is
// the weakness that clock faults must find.
func TestLease(t *testing.T) {
	asked := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		term  uint64
		clock time.Duration // since the question
		holds bool
	}{
		"at once":          {7, 0, true},
		"just before":      {7, leaseTime - 1, true},
		"at its end":       {7, leaseTime, false},
		"after a pause":    {7, time.Hour, false},
		"an earlier term":  {6, 0, false},
		"a later term":     {8, 0, false},
		"a fifth slow":     {7, heartbeatTimeout * 4 / 5, false}, // when votes are free again
		"more than a half": {7, heartbeatTimeout * 2 / 5, true},  // the weakness
		"jump back":        {7, -time.Hour, true},                // the weakness
	} {
		t.Run(name, func(t *testing.T) {
			l := &lease{now: func() time.Time { return asked.Add(test.clock) }}
			read := func() bool {
				_, ok := l.read(func() uint64 { return test.term }, func() string { return "" })
				return ok
			}
			if read() {
				t.Error("holds before it was made")
			}
			l.extend(7, asked)
			if read() != test.holds {
				t.Errorf("holds: %v", !test.holds)
			}
		})
	}
}

// Clock and term count when the state has been read, not before: a pause in the
// middle, or another leader's election, makes the state too old.
func TestLeaseIsCheckedAfterTheState(t *testing.T) {
	now, term := time.Now().Round(0), uint64(7)
	l := &lease{now: func() time.Time { return now }}
	for name, meanwhile := range map[string]func(){
		"nothing":  func() {},
		"pause":    func() { now = now.Add(leaseTime) },
		"election": func() { term++ },
	} {
		term = 7
		l.extend(term, now)
		result, ok := l.read(func() uint64 { return term }, func() string { meanwhile(); return "value 1" })
		if result != "value 1" || ok != (name == "nothing") {
			t.Errorf("%s while the state was read: %q, %v", name, result, ok)
		}
	}
}

// The lease must not be held against the monotonic clock, which no fault that
// it is meant to show can move.
func TestLeaseGoesByTheWallClock(t *testing.T) {
	if now := newLease().now(); now != now.Round(0) {
		t.Errorf("%v carries a monotonic reading", now)
	}
}
