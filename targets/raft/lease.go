package raft

import (
	"sync/atomic"
	"time"
)

// With reads=lease, a majority's confirmation serves many reads: once it has
// confirmed a leader, no other can be elected for some time, and until then the
// node answers from its own state and asks nobody. The wall clock tells when the
// time is over, and so these reads are linearizable only as long as that does
// not jump back, nor run much too slow. That is the design's weakness, and the
// only one.
//
// Let a majority answer yes to a question of the leader of term T that was asked
// at t. From then on
//
//   - a follower among it knows a leader that it heard from at t or later, and
//     refuses its vote to all others until it has not heard from it for
//     heartbeatTimeout, by its monotonic clock. It does not forget this by a
//     restart, since it sits out that time before it takes part again (see run).
//     So it votes in no later term before t + heartbeatTimeout;
//   - the leader itself votes in no later term while its own term is T.
//
// A leader of a later term needs the vote of one of these nodes. Now let the
// node first read its state, and then find that its clock says less than
// t + leaseTime, and that its term is T. If the clock is right, the state was
// read before any of the votes, and thus before anything was acknowledged in a
// later term. What was acknowledged in T or earlier, the state has: only a
// confirmed read makes a lease, behind the barrier of step 2. So the answer was
// right at a time when its client was waiting for it, and however long the
// process is paused afterwards, it stays so. The other order would be wrong: who
// is paused after reading the clock reads a state that is too old.
//
// Whether the node still leads in T does not matter: nobody else does. So reads
// go on for the rest of the lease when the leader has given up for lack of
// followers.
const (
	leaseTime = heartbeatTimeout - leaseMargin
	// leaseMargin allows for the clock to run a fifth slow.
	leaseMargin = heartbeatTimeout / 5
)

// A lease is the right to answer reads without asking, in one term and up to a
// time.
type lease struct {
	now  func() time.Time // the wall clock
	held atomic.Pointer[tenure]
}

type tenure struct {
	term uint64
	ends time.Time
}

func newLease() *lease {
	// A time that carries a monotonic reading, too, would be compared by that.
	return &lease{now: func() time.Time { return time.Now().Round(0) }}
}

// extend is told that a majority confirmed the leader of a term, and when it was
// asked. Of reads that overlap, any may be the last to tell: each tells the
// truth.
func (l *lease) extend(term uint64, asked time.Time) {
	l.held.Store(&tenure{term, asked.Add(leaseTime)})
}

// read returns what query returns, and whether that may be answered.
func (l *lease) read(term func() uint64, query func() string) (string, bool) {
	held := l.held.Load()
	if held == nil {
		return "", false
	}
	result := query()
	return result, l.now().Before(held.ends) && term() == held.term
}
