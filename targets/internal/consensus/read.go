package consensus

import (
	"context"
	"errors"
	"fmt"

	hraft "github.com/hashicorp/raft"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A leader may answer reads from its own state, without the log, if it makes
// sure of four things in this order (after Ongaro's dissertation, 2014, 6.4):
//
//  1. it leads, in term T;
//  2. a barrier of term T has been applied, once per term;
//  3. a majority (with itself) says that its term is T, in answer to a question
//     that was asked after the read arrived;
//  4. after the state has been read, it still leads in T.
//
// Then reads are linearizable. Let S be the state that was read.
//
// S misses nothing acknowledged before the read arrived. What was acknowledged
// in T was applied here before (see propose). What was acknowledged in earlier
// terms was in this leader's log before the barrier (Leader Completeness), so
// it was applied by (2). And nothing was acknowledged in a later term: a later
// leader's voters, a majority, had left T when they voted, and one of them is
// in the majority of (3), which at some time after the read arrived had not.
//
// S holds nothing that a later read misses. By (4) S was made by entries that
// were committed in terms up to T. A later read here finds S or more. One at a
// later leader finds them too, applied by its barrier (2).
//
// hashicorp/raft offers VerifyLeader for (3). It does not suffice: it counts
// answers that arrive after the call, among them those to heartbeats sent
// before it, which a paused process or a link that was cut can hold back for
// longer than an election takes. Therefore the leader asks by itself.

// Read calls query, which is to read this node's state, and returns T. After an
// error, what was read may be too old and must not be answered; a client that is
// refused it has lost nothing. Read may be called concurrently.
func (m *Member) Read(ctx context.Context, query func()) (term uint64, err error) {
	term = m.CurrentTerm()
	if !leads(m.Raft, term) {
		return 0, errLost
	}
	if m.barrier.Load() != term {
		if err := m.Barrier(EnqueueTimeout).Error(); err != nil {
			return 0, fmt.Errorf("barrier: %w", err)
		}
		if !leads(m.Raft, term) {
			return 0, errLost
		}
		m.barrier.Store(term)
	}
	if !m.confirm(ctx, term) {
		return 0, errors.New("leadership not confirmed by a majority")
	}
	query()
	if !leads(m.Raft, term) {
		return 0, errLost
	}
	return term, nil
}

var errLost = errors.New("leadership lost")

// confirm is step 3. It takes as long as the majority's slowest answer, and if
// there is no majority, about rpcTimeout.
func (m *Member) confirm(ctx context.Context, term uint64) bool {
	answers := make(chan bool, len(m.followers))
	for _, f := range m.followers {
		f.ask(question{term, answers})
	}
	agree, majority := 1, len(m.place.Peers)/2+1
	for range m.followers {
		if agree >= majority {
			break
		}
		select {
		case yes := <-answers:
			if yes {
				agree++
			}
		case <-ctx.Done():
			return false
		}
	}
	return agree >= majority
}

// A question is whether a node's term is still that one. The channel has room
// for each follower's answer.
type question struct {
	term    uint64
	answers chan<- bool
}

// maxQuestions bounds the reads that wait for one follower; the answer to those
// beyond it is no.
const maxQuestions = 1024

// A follower is what the leader knows as a peer. It is asked one question at a
// time, in the name of all reads that wait for it.
type follower struct {
	name      hraft.ServerID
	self      string
	transport *transport
	questions chan question
}

func newFollower(name, self cluster.Node, transport *transport) *follower {
	return &follower{hraft.ServerID(name), self, transport, make(chan question, maxQuestions)}
}

func (f *follower) ask(q question) {
	select {
	case f.questions <- q:
	default:
		q.answers <- false
	}
}

// run answers questions until ctx ends.
func (f *follower) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-f.questions:
			// Those that have come until now are gathered before the message
			// is sent; its answer says nothing to those that come later.
			waiting := []question{q}
			term := q.term
			for range len(f.questions) {
				q := <-f.questions
				waiting = append(waiting, q)
				term = max(term, q.term)
			}
			yes := f.heartbeat(term)
			for _, q := range waiting {
				q.answers <- yes && q.term == term
			}
		}
	}
}

// heartbeat asks by raft's own message, an AppendEntries without entries. Its
// success means that the follower was in that term when it answered. Only a
// node that led in the term sends it; it may have lost leadership since, but
// then the message is no other than one delayed on its way.
func (f *follower) heartbeat(term uint64) bool {
	request := hraft.AppendEntriesRequest{
		RPCHeader: hraft.RPCHeader{
			ProtocolVersion: hraft.ProtocolVersionMax,
			ID:              []byte(f.self),
			Addr:            []byte(f.self),
		},
		Term: term,
	}
	var response hraft.AppendEntriesResponse
	err := f.transport.NetworkTransport.AppendEntries(f.name, hraft.ServerAddress(f.name), &request, &response)
	return err == nil && response.Success && response.Term == term
}
