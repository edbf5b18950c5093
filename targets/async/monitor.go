package async

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/line"
	"github.com/rashomon-io/rashomon/targets/internal/node"
)

// Monitors speak
//
//	ping EPOCH PRIMARY    status EPOCH PRIMARY BRANCH OFFSET UP
//	vote EPOCH            granted | refused
//	promote EPOCH         ok | refused
//
// Only the answer to one's own ping, in time, counts as a sign of life and as the
// peer's opinion: requests that a cut link held back, and delivers late, carry
// nothing but an epoch, which is old by then and changes nothing.
const (
	pingEvery   = 100 * time.Millisecond
	pingTimeout = 300 * time.Millisecond
	voteTimeout = 200 * time.Millisecond
	// downAfter is for how long a node may be silent before it is held for
	// dead. Sentinel's down-after-milliseconds is 30 s, unless set.
	downAfter = 600 * time.Millisecond
	// Two monitors that stand for election together take each other's votes.
	// So, of those that hear from each other, the one with the least name stands
	// as soon as a majority agrees, and each further one electStagger later, if it
	// is still needed. Whoever has voted, for itself or another, gives that
	// electPause and up to electJitter.
	electEvery   = 50 * time.Millisecond
	electStagger = 300 * time.Millisecond
	electPause   = 200 * time.Millisecond
	electJitter  = 200 * time.Millisecond
)

// A status is what a node says of itself.
type status struct {
	epoch   int64
	primary cluster.Node // "" if it knows none
	branch  int64        // the epoch of its last command
	offset  int64
	up      bool // it holds the primary for alive
}

func (s status) String() string {
	return fmt.Sprintf("status %d %s %d %d %t", s.epoch, cmp.Or(s.primary, "-"), s.branch, s.offset, s.up)
}

func parseStatus(words []string) (status, error) {
	if len(words) != 6 || words[0] != "status" {
		return status{}, fmt.Errorf("%.100q is not a status", words)
	}
	numbers, err := line.Numbers([]string{words[1], words[3], words[4]})
	if err != nil {
		return status{}, err
	}
	up, err := strconv.ParseBool(words[5])
	return status{numbers[0], named(words[2]), numbers[1], numbers[2], up}, err
}

func named(word string) cluster.Node {
	if word == "-" {
		return ""
	}
	return word
}

// A sighting is a peer's status, and when it was asked for.
type sighting struct {
	status
	at time.Time
}

func (s sighting) fresh(now time.Time) bool { return now.Sub(s.at) <= downAfter }

func (s *server) monitor(ctx context.Context) {
	var loops sync.WaitGroup
	defer loops.Wait()
	for _, peer := range s.others {
		loops.Go(func() { s.watch(ctx, peer) })
	}
	tick := time.NewTicker(electEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if epoch, stand := s.stands(); stand {
				s.campaign(ctx, epoch)
			}
		}
	}
}

// watch pings a peer, and dials anew whenever it does not answer in time.
func (s *server) watch(ctx context.Context, peer cluster.Node) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	var conn *line.Conn
	for ctx.Err() == nil {
		s.mu.Lock()
		epoch, primary := s.epoch, s.primary
		s.mu.Unlock()
		at := time.Now()
		reply, err := s.ask(ctx, &conn, peer, pingTimeout, "ping", strconv.FormatInt(epoch, 10), cmp.Or(primary, "-"))
		if err == nil {
			var said status
			if said, err = parseStatus(reply); err == nil {
				s.saw(peer, sighting{said, at})
			}
		}
		if err != nil && conn != nil {
			conn.Close()
			conn = nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	if conn != nil {
		conn.Close()
	}
}

// ask calls a peer over *conn, which it dials if it is nil.
func (s *server) ask(ctx context.Context, conn **line.Conn, peer cluster.Node, timeout time.Duration, words ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if *conn == nil {
		dialed, err := line.Dial(ctx, s.place.Peers[peer])
		if err != nil {
			return nil, err
		}
		*conn = dialed
	}
	return (*conn).Call(ctx, words...)
}

func (s *server) saw(peer cluster.Node, now sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[peer] = now
	s.learn(now.epoch, now.primary)
}

// pinged takes the news that a ping carries, and answers with this node's status.
func (s *server) pinged(words []string) string {
	if len(words) != 2 {
		return line.Refused("ping takes EPOCH PRIMARY")
	}
	numbers, err := line.Numbers(words[:1])
	if err != nil {
		return line.Refused(err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.learn(numbers[0], named(words[1]))
	return s.status(time.Now()).String()
}

// status is this node's; mu is held.
func (s *server) status(now time.Time) status {
	return status{s.epoch, s.primary, s.store.lineage.epoch(), s.store.offset, s.primaryUp(now)}
}

// primaryUp is this node's opinion; mu is held. A primary that has restarted
// says that it is none any more.
func (s *server) primaryUp(now time.Time) bool {
	if s.primary == "" || s.primary == s.place.Node {
		return s.primary != ""
	}
	seen := s.seen[s.primary]
	resigned := seen.epoch == s.epoch && seen.primary != s.primary
	return seen.fresh(now) && !resigned
}

// learn takes the news of an epoch's primary, if it is any; mu is held. A former
// primary becomes a replica by it.
func (s *server) learn(epoch int64, primary cluster.Node) {
	_, known := s.place.Peers[primary]
	newer := epoch > s.epoch || epoch == s.epoch && s.primary == ""
	if !known || !newer || primary == s.place.Node {
		return
	}
	if err := s.saveVote(epoch, s.voted); err != nil {
		s.log.Printf("cannot follow %s of epoch %d: %v", primary, epoch, err)
		return
	}
	if s.primary == s.place.Node {
		s.log.Printf("was the primary of epoch %d, and becomes a replica of %s of epoch %d", s.epoch, primary, epoch)
	} else {
		s.log.Printf("becomes a replica of %s of epoch %d", primary, epoch)
	}
	s.install(epoch, primary)
}

// install makes a node the primary in this one's eyes; mu is held.
func (s *server) install(epoch int64, primary cluster.Node) {
	s.epoch, s.primary = epoch, primary
	if s.upstream != nil {
		s.upstream.Close()
		s.upstream = nil
	}
	s.announce()
}

// stands decides whether to stand for election, and for which epoch: not unless
// a majority agrees, as far as this monitor knows, that the primary is down.
func (s *server) stands() (epoch int64, stand bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	agree, before := 1, time.Duration(0)
	for peer, seen := range s.seen {
		if !seen.fresh(now) {
			continue
		}
		if peer < s.place.Node {
			before++
		}
		if seen.epoch == s.epoch && !seen.up {
			agree++
		}
	}
	if s.primaryUp(now) || agree < s.majority() || now.Before(s.quiet) {
		s.agreed = time.Time{}
		return 0, false
	}
	if s.agreed.IsZero() {
		s.agreed = now
	}
	if now.Sub(s.agreed) < before*electStagger {
		return 0, false
	}
	epoch = max(s.epoch, s.voted) + 1
	return epoch, s.grant(epoch)
}

func (s *server) majority() int { return len(s.place.Peers)/2 + 1 }

// grant gives this node's one vote of an epoch, if it is still to be had; mu is
// held.
func (s *server) grant(epoch int64) bool {
	if epoch <= max(s.epoch, s.voted) {
		return false
	}
	if err := s.saveVote(s.epoch, epoch); err != nil {
		s.log.Printf("cannot vote in epoch %d: %v", epoch, err)
		return false
	}
	s.voted = epoch
	s.quiet = time.Now().Add(electPause + rand.N(electJitter))
	return true
}

func (s *server) votes(words []string) string {
	numbers, err := line.Numbers(words)
	if err != nil || len(words) != 1 {
		return line.Refused("vote takes EPOCH")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.grant(numbers[0]) {
		return line.Refused("too late")
	}
	return "granted"
}

// campaign asks all peers for their votes and, if a majority grants them, promotes
// the node with the longest history that this monitor has seen of late.
func (s *server) campaign(ctx context.Context, epoch int64) {
	granted := make(chan bool, len(s.others))
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, peer := range s.others {
		asking.Go(func() {
			reply, err := s.askOnce(ctx, peer, "vote", strconv.FormatInt(epoch, 10))
			granted <- err == nil && reply[0] == "granted"
		})
	}
	votes := 1
	for range s.others {
		if votes == s.majority() {
			break
		}
		if <-granted {
			votes++
		}
	}
	if votes < s.majority() {
		s.log.Printf("stood for epoch %d: %d of %d votes, not enough", epoch, votes, len(s.place.Peers))
		return
	}
	chosen := s.longest()
	s.log.Printf("elected for epoch %d, promotes %s", epoch, chosen)
	if chosen == s.place.Node {
		s.promoted([]string{strconv.FormatInt(epoch, 10)})
		return
	}
	if reply, err := s.askOnce(ctx, chosen, "promote", strconv.FormatInt(epoch, 10)); err != nil || reply[0] != "ok" {
		s.log.Printf("promoting %s for epoch %d: %q %v", chosen, epoch, reply, err)
	}
}

func (s *server) askOnce(ctx context.Context, peer cluster.Node, words ...string) ([]string, error) {
	var conn *line.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	return s.ask(ctx, &conn, peer, voteTimeout, words...)
}

// longest returns the node with the longest history, by epoch first: an offset in
// a branch that was cut off counts for nothing.
func (s *server) longest() cluster.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	best, history := s.place.Node, s.status(now)
	for peer, seen := range s.seen {
		longer := cmp.Or(cmp.Compare(seen.branch, history.branch), cmp.Compare(seen.offset, history.offset)) > 0
		if seen.fresh(now) && longer {
			best, history = peer, seen.status
		}
	}
	return best
}

// promoted makes this node the primary of an epoch, unless it has seen a newer
// one or voted in it.
func (s *server) promoted(words []string) string {
	numbers, err := line.Numbers(words)
	if err != nil || len(words) != 1 {
		return line.Refused("promote takes EPOCH")
	}
	epoch := numbers[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch <= s.epoch || epoch < s.voted {
		return line.Refused("too late")
	}
	if err := s.saveVote(epoch, max(s.voted, epoch)); err != nil {
		return line.Refused(err.Error())
	}
	s.voted = max(s.voted, epoch)
	s.log.Printf("becomes the primary of epoch %d, with %d commands", epoch, s.store.offset)
	if err := s.commit(fmt.Sprintf("epoch %d", epoch)); err != nil {
		return line.Refused(err.Error())
	}
	s.install(epoch, s.place.Node)
	return "ok"
}

// The file "epoch" holds the newest epoch known and the newest voted for.

func (s *server) saveVote(epoch, voted int64) error {
	return node.WriteFile(filepath.Join(s.place.Data, "epoch"), fmt.Sprintf("%d %d", epoch, voted))
}

func (s *server) loadVote() error {
	text, err := os.ReadFile(filepath.Join(s.place.Data, "epoch"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	numbers, err := line.Numbers(strings.Fields(string(text)))
	if err != nil || len(numbers) != 2 {
		return fmt.Errorf("epoch: %.100q is not two integers", text)
	}
	s.epoch, s.voted = numbers[0], numbers[1]
	return nil
}
