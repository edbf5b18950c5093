package lww

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/line"
)

// Peers speak
//
//	merge ENTRY…             ok
//	compare DIGEST…          differ BUCKETS ENTRY…
//
// where digests are in hexadecimal, BUCKETS is a hexadecimal number that has a bit
// for each bucket whose digests differ, and the entries are all that the answering
// node has in those. An entry that arrives late, or twice, does no harm: the table
// has that or a newer one.
const (
	// maxQueue bounds the entries that wait to be broadcast to one peer; further
	// ones are left to anti-entropy.
	maxQueue    = 1024
	maxBatch    = 256
	callTimeout = 300 * time.Millisecond
	repairEvery = 200 * time.Millisecond
)

// spread queues an entry for every peer.
func (s *server) spread(e entry) {
	for _, queue := range s.queues {
		select {
		case queue <- e:
		default:
		}
	}
}

// broadcast sends a peer what is queued for it. What cannot be delivered in time is
// dropped.
func (s *server) broadcast(ctx context.Context, peer cluster.Node) {
	queue := s.queues[peer]
	var conn *line.Conn
	for {
		select {
		case <-ctx.Done():
			if conn != nil {
				conn.Close()
			}
			return
		case e := <-queue:
			words := []string{"merge", e.String()}
			for len(queue) > 0 && len(words) <= maxBatch {
				words = append(words, (<-queue).String())
			}
			conn = s.deliver(ctx, conn, peer, words)
		}
	}
}

// deliver calls a peer over conn, or a new connection, and returns it, or nil if
// the call failed.
func (s *server) deliver(ctx context.Context, conn *line.Conn, peer cluster.Node, words []string) *line.Conn {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if conn == nil {
		var err error
		if conn, err = line.Dial(ctx, s.place.Peers[peer]); err != nil {
			return nil
		}
	}
	if _, err := conn.Call(ctx, words...); err != nil {
		conn.Close()
		return nil
	}
	return conn
}

// merged answers merge.
func (s *server) merged(words []string) string {
	entries, err := parseEntries(words)
	if err != nil {
		return line.Refused(err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.merge(entries...); err != nil {
		return line.Refused(err.Error())
	}
	return "ok"
}

// repair is anti-entropy: it compares with a random peer now and then.
func (s *server) repair(ctx context.Context) {
	if len(s.others) == 0 {
		return
	}
	tick := time.NewTicker(repairEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			peer := s.others[rand.N(len(s.others))]
			calling, cancel := context.WithTimeout(ctx, callTimeout)
			received, sent, err := s.compareWith(calling, peer)
			cancel()
			if err == nil && received+sent > manyMissed {
				s.log.Printf("anti-entropy with %s: %d entries received, %d sent", peer, received, sent)
			}
		}
	}
}

// manyMissed is how many entries are more than what is just on its way.
const manyMissed = 10

// compareWith makes this table and a peer's equal, but for what is written
// meanwhile.
func (s *server) compareWith(ctx context.Context, peer cluster.Node) (received, sent int, err error) {
	conn, err := line.Dial(ctx, s.place.Peers[peer])
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()

	words := []string{"compare"}
	s.mu.Lock()
	for _, digest := range s.table.digests {
		words = append(words, strconv.FormatUint(uint64(digest), 16))
	}
	s.mu.Unlock()
	reply, err := conn.Call(ctx, words...)
	if err != nil {
		return 0, 0, err
	}
	if len(reply) < 2 || reply[0] != "differ" {
		return 0, 0, fmt.Errorf("%.100q is no answer to compare", reply)
	}
	which, err := strconv.ParseUint(reply[1], 16, 64)
	if err != nil {
		return 0, 0, err
	}
	theirs, err := parseEntries(reply[2:])
	if err != nil {
		return 0, 0, err
	}

	has := newTable()
	for _, e := range theirs {
		has.merge(e)
	}
	words = []string{"merge"}
	s.mu.Lock()
	for _, e := range s.table.in(which) {
		if has.merge(e) {
			words = append(words, e.String())
		}
	}
	received, err = s.merge(theirs...)
	s.mu.Unlock()
	if err != nil || len(words) == 1 {
		return received, 0, err
	}
	_, err = conn.Call(ctx, words...)
	return received, len(words) - 1, err
}

// compared answers compare.
func (s *server) compared(words []string) string {
	if len(words) != buckets {
		return line.Refused(fmt.Sprintf("compare takes %d digests", buckets))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var which uint64
	for i, word := range words {
		theirs, err := strconv.ParseUint(word, 16, 64)
		if err != nil {
			return line.Refused(err.Error())
		}
		if digest(theirs) != s.table.digests[i] {
			which |= 1 << i
		}
	}
	reply := []string{"differ", strconv.FormatUint(which, 16)}
	for _, e := range s.table.in(which) {
		reply = append(reply, e.String())
	}
	return strings.Join(reply, " ")
}
