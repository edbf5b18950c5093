package agent

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// links are the faults of the links that lead to this node.
//
// Everything happens on INPUT, where a packet arrives. On OUTPUT a writer is
// told that its packet was dropped, which no network does, and TCP, which sees its
// packets stay on the machine, collapses under a delay.
//
// Cuts, loss and duplicates are rules of nft. Delay, rate, reordering and
// corruption are done by a queue, one a peer. netem is not used, even where the
// kernel has it: it works on whole interfaces on the way out, so that a fault of
// one peer's packets on the way in takes a second interface, a redirection
// and a tree of classes, which no transaction changes together with the cuts. And
// its jitter reorders packets.
type links struct {
	fail  func(error)
	means map[cluster.Fault]string
	lacks map[cluster.Fault]string
	queue func(number uint16) rule // nil if there are no queues

	mu      sync.Mutex
	nft     firewall
	undone  bool
	touched bool   // there is a table
	next    uint16 // number of a queue
	peers   map[netip.Addr]*link
}

// maxTries bounds the search for a free queue.
const maxTries = 256

// A link is one that is not healthy.
type link struct {
	condition cluster.Condition
	number    uint16
	queue     *queue // nil if nft alone suffices
}

// newLinks looks what the kernel can do, and removes what a predecessor left
// that was killed. It calls fail when a fault is no longer in force.
func newLinks(fail func(error)) *links {
	l := &links{fail: fail, peers: make(map[netip.Addr]*link)}
	l.probe()
	if l.lacks[cluster.CutFault] == "" {
		if err := l.nft.remove(tableName); err != nil {
			fail(err)
		}
	}
	return l
}

// set gives the links from all those peers that condition, in one transaction,
// or fails and changes none.
func (l *links) set(request LinksRequest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.undone {
		return errors.New("the agent is about to exit")
	}
	next := maps.Clone(l.peers)
	var opened []*queue
	err := func() error {
		for _, peer := range request.Peers {
			old, unhealthy := next[peer]
			switch {
			case unhealthy && old.condition == request.Condition:
				continue
			case request.Condition == cluster.Condition{}:
				delete(next, peer)
				continue
			}
			made := &link{condition: request.Condition}
			if needsQueue(request.Condition) {
				var err error
				if made.queue, err = l.openQueue(request.Condition); err != nil {
					return err
				}
				made.number = l.next
				opened = append(opened, made.queue)
			}
			next[peer] = made
		}
		return l.install(next)
	}()
	if err != nil {
		for _, queue := range opened {
			queue.close(true)
		}
		return err
	}
	// What an old condition holds back arrives now, unless the link is cut.
	for peer, old := range l.peers {
		if now := next[peer]; now != old && old.queue != nil {
			old.queue.close(now == nil || now.condition.Cut == cluster.Whole)
		}
	}
	l.peers = next
	return nil
}

// openQueue tries numbers until it finds one that nobody else has: for the
// kernel, to take another one's queue is not permitted.
func (l *links) openQueue(c cluster.Condition) (*queue, error) {
	if l.queue == nil {
		return nil, errors.New(l.lacks[cluster.DelayFault])
	}
	for try := 1; ; try++ {
		l.next++
		queue, err := openQueue(l.next, c, l.fail)
		if !errors.Is(err, unix.EPERM) || try == maxTries {
			return queue, err
		}
	}
}

func (l *links) install(peers map[netip.Addr]*link) error {
	l.touched = true
	var rules []rule
	for peer, link := range peers {
		var queue rule
		if link.queue != nil {
			queue = l.queue(link.number)
		}
		rules = append(rules, rulesFor(peer, link.condition, queue)...)
	}
	return l.nft.install(tableName, rules)
}

// undo makes all links healthy, for good, and removes the table.
func (l *links) undo() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.undone = true
	defer l.nft.close()
	if !l.touched {
		return nil
	}
	err := l.install(nil)
	for _, link := range l.peers {
		if link.queue != nil {
			link.queue.close(true)
		}
	}
	clear(l.peers)
	if err := errors.Join(err, l.nft.remove(tableName)); err != nil {
		return fmt.Errorf("faults of links are still in force: %w", err)
	}
	return nil
}
