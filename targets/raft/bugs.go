package raft

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/rashomon-io/rashomon/workloads"
)

// A Bug is planted on purpose: Rashomon's own tests must catch each. What they
// do is in this file, but for the few lines that call it. For each it is said
// which faults make it visible to linearizable reads.
type Bug string

const (
	// AckBeforeCommit acknowledges writes, adds and increments as soon as the
	// leader has taken them, before any other node has them.
	//
	// Visible when a leader is killed, paused or cut off under load: what it
	// acknowledged alone is lost when another takes over. Even without faults,
	// a read right after the acknowledgement can come before the commit.
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
	// Visible whenever commits take long, as under delay, pauses, partitions, or
	// just load: a compare-and-set that has swapped finds its own new value on
	// the second attempt, and says that it failed. (Writes hardly show it: all
	// copies are proposed while the write goes on, so whatever comes between
	// them is concurrent with it. Adds do not show it at all;
	// a counter counts every copy.)
	DoubleApply Bug = "double-apply"
)

// Bugs lists them all.
var Bugs = []Bug{AckBeforeCommit, NoFsync, StaleFollower, BlindCAS, ShortSnapshot, DoubleApply}

func (s *server) ackBeforeCommit(command []byte) string {
	future := s.raft.Apply(command, enqueueTimeout)
	switch verb, _, _ := strings.Cut(string(command), " "); verb {
	case "set", "add", "increment", "enqueue":
		return "ok"
	}
	return await(future) // what it does is not known before
}

const (
	retryCommit = 10 * time.Millisecond
	maxAttempts = 5
)

func (s *server) doubleApply(command []byte) string {
	for attempt := 1; ; attempt++ {
		future := s.raft.Apply(command, enqueueTimeout)
		done := make(chan string, 1)
		go func() { done <- await(future) }()
		if attempt == maxAttempts {
			return <-done
		}
		select {
		case reply := <-done:
			return reply
		case <-time.After(retryCommit):
		}
	}
}

// A blindState is a state with BlindCAS.
type blindState struct{ state }

func (s blindState) CompareAndSet(key string, _, new int64) (*workloads.Mismatch, error) {
	return nil, s.Set(key, new)
}

// A lossyLog is a log whose last entries are in memory alone. It implements
// hraft.LogStore.
type lossyLog struct {
	disk hraft.LogStore

	mu   sync.Mutex
	tail []*hraft.Log // not yet on disk; by index, all above those on disk
}

// run brings the log to disk each one to three seconds, until ctx ends.
func (l *lossyLog) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second + rand.N(2*time.Second)):
			l.flush()
		}
	}
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
