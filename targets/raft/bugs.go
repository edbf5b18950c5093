package raft

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// A Bug is planted on purpose: Rashomon's own tests must catch each. All of
// them are in this file, but for the one line each where they are called.
// For each it is said which faults make it visible to linearizable reads.
type Bug string

const (
	// AckBeforeCommit acknowledges writes and adds as soon as the leader has
	// taken them, before any other node has them.
	//
	// Visible when a leader is killed, paused or cut off under load: what it
	// acknowledged alone is lost when another takes over.
	AckBeforeCommit Bug = "ack-before-commit"

	// NoFsync keeps the log's last seconds in memory, and loses them when the
	// node is killed, as a disk that was never told to fsync does at a power
	// cut. (A mere SIGKILL leaves the kernel's page cache whole, so a log
	// without fsync would survive it.) Term and vote stay durable.
	//
	// Visible when all nodes, or a majority, are killed at one time and
	// restarted: an entry survives as long as one living node that can win the
	// election has it.
	NoFsync Bug = "no-fsync"

	// StaleFollower lets a follower that has lost its leader answer reads from
	// its own state, so as to be more available.
	//
	// Visible in any partition that cuts a minority off, for as long as it
	// lasts, to clients of the minority's nodes.
	StaleFollower Bug = "stale-follower"

	// BlindCAS swaps without looking at what is there.
	//
	// Visible without faults, once two clients compare-and-set one key.
	BlindCAS Bug = "blind-cas"

	// ShortSnapshot leaves the last command out of each snapshot.
	//
	// Visible when a node leads that has restored a snapshot: after all nodes
	// were killed and restarted, or when one that was killed or cut off for
	// some hundred writes has been sent the leader's, and then leads. A register
	// that is written again after the snapshot hides the loss, so use sets, or
	// many keys that are written seldom.
	ShortSnapshot Bug = "short-snapshot"

	// DoubleApply retries: a leader that waits longer than retryCommit for a
	// commit proposes the command again, and answers what the last attempt
	// answers. Nothing recognises the copy, so both are applied.
	//
	// Visible whenever commits take long, as after a pause of a majority, under
	// delay, or just under load: a compare-and-set that has swapped finds its
	// own new value on the second attempt, and says that it failed; a write
	// comes back over the one that followed it. Adds do not show it.
	DoubleApply Bug = "double-apply"
)

// Bugs lists them all.
var Bugs = []Bug{AckBeforeCommit, NoFsync, StaleFollower, BlindCAS, ShortSnapshot, DoubleApply}

func (n *node) ackBeforeCommit(command request) answer {
	future := n.raft.Apply([]byte(command.String()), enqueueTimeout)
	if command.verb == "cas" {
		return await(future) // whether it swaps is not known before
	}
	return ok()
}

const (
	retryCommit = 30 * time.Millisecond
	maxAttempts = 5
)

func (n *node) doubleApply(command request) answer {
	for attempt := 1; ; attempt++ {
		future := n.raft.Apply([]byte(command.String()), enqueueTimeout)
		done := make(chan answer, 1)
		n.wg.Go(func() { done <- await(future) })
		if attempt == maxAttempts {
			return <-done
		}
		select {
		case result := <-done:
			return result
		case <-time.After(retryCommit):
		}
	}
}

// beforeApply is where BlindCAS and ShortSnapshot meddle; s is locked.
func (b Bug) beforeApply(s *store, command request) request {
	switch b {
	case BlindCAS:
		command.old = s.state.values[command.key]
	case ShortSnapshot:
		s.previous = s.state.clone()
	}
	return command
}

// A lossyLog is a log whose last entries are in memory alone. It implements
// hraft.LogStore.
type lossyLog struct {
	disk hraft.LogStore

	mu   sync.Mutex
	tail []*hraft.Log // not yet on disk; by index, all above those on disk
}

// newLossyLog returns a log that goes to disk each one to three seconds.
func (n *node) newLossyLog(disk hraft.LogStore) *lossyLog {
	l := &lossyLog{disk: disk}
	n.wg.Go(func() {
		for {
			select {
			case <-n.stopped.Done():
				return
			case <-time.After(time.Second + rand.N(2*time.Second)):
				l.flush()
			}
		}
	})
	return l
}

func (l *lossyLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.disk.StoreLogs(l.tail); err != nil {
		panic(fmt.Sprintf("flush log: %v", err))
	}
	l.tail = nil
}

func (l *lossyLog) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	index, err := l.disk.FirstIndex()
	if index == 0 && err == nil && len(l.tail) > 0 {
		index = l.tail[0].Index
	}
	return index, err
}

func (l *lossyLog) LastIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tail) > 0 {
		return l.tail[len(l.tail)-1].Index, nil
	}
	return l.disk.LastIndex()
}

func (l *lossyLog) GetLog(index uint64, into *hraft.Log) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, entry := range l.tail {
		if entry.Index == index {
			*into = *entry
			return nil
		}
	}
	return l.disk.GetLog(index, into)
}

func (l *lossyLog) StoreLog(entry *hraft.Log) error {
	return l.StoreLogs([]*hraft.Log{entry})
}

func (l *lossyLog) StoreLogs(entries []*hraft.Log) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, entry := range entries {
		kept := *entry
		l.tail = append(l.tail, &kept)
	}
	return nil
}

func (l *lossyLog) DeleteRange(from, to uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = slices.DeleteFunc(l.tail, func(entry *hraft.Log) bool {
		return from <= entry.Index && entry.Index <= to
	})
	return l.disk.DeleteRange(from, to)
}
