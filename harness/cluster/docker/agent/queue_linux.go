package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A queue holds the packets of one link in the kernel until its wire lets them
// arrive. Its condition never changes: another one is another queue.
//
// Of a packet only the IP header is copied here, and several segments of a
// connection come as one, which makes it fast. Only a link that corrupts packets
// needs them whole, and one by one.
//
// A queue that overflows (more packets than maxHeld, or faster than they are
// read) lets packets pass.
type queue struct {
	nf      *nfqueue.Nfqueue
	cancel  context.CancelFunc // of nf's goroutine
	fail    func(error)        // it cannot go on
	wake    chan struct{}      // the first of held has changed
	stop    chan struct{}
	stopped chan struct{}

	mu   sync.Mutex
	wire wire
	held []packet // sorted by time
	last uint32   // the last packet's id
}

const (
	// maxHeld bounds a queue in the kernel.
	maxHeld = 65536
	// receiveBuffer has room for ten thousand whole packets and more.
	receiveBuffer = 32 << 20
)

type packet struct {
	at      time.Time
	id      uint32 // ascending
	changed []byte // nil: as it came
}

// needsQueue reports whether nft alone cannot make the condition.
func needsQueue(c cluster.Condition) bool {
	return c.Cut == cluster.Whole && (c.Delay > 0 || c.Jitter > 0 || c.BytesPerSecond > 0 || c.Reorder > 0 || c.Corrupt > 0)
}

// openQueue listens to the queue of that number until close.
func openQueue(number uint16, c cluster.Condition, fail func(error)) (*queue, error) {
	config := nfqueue.Config{
		NfQueue:      number,
		AfFamily:     unix.AF_INET,
		Copymode:     nfqueue.NfQnlCopyPacket,
		MaxPacketLen: ipHeader,
		MaxQueueLen:  maxHeld,
		Flags:        nfqueue.NfQaCfgFlagFailOpen | nfqueue.NfQaCfgFlagGSO,
	}
	if c.Corrupt > 0 {
		config.MaxPacketLen = 0xffff
		config.Flags = nfqueue.NfQaCfgFlagFailOpen
	}
	nf, err := nfqueue.Open(&config)
	if err != nil {
		return nil, fmt.Errorf("nfqueue: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	q := &queue{
		nf:      nf,
		cancel:  cancel,
		fail:    fail,
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
		wire:    wire{Condition: c},
	}
	// A reader that falls behind is told of nothing, instead of an error.
	err = nf.SetOption(netlink.NoENOBUFS, true)
	if err == nil {
		err = nf.Con.SetReadBuffer(receiveBuffer)
	}
	if err == nil {
		err = nf.RegisterWithErrorFunc(ctx, q.arrive, func(err error) int {
			switch {
			case ctx.Err() != nil:
				return 1
			case errors.Is(err, unix.ENOENT): // a verdict on a packet that is gone
				return 0
			}
			q.fail(fmt.Errorf("nfqueue: %w", err))
			return 1
		})
	}
	if err != nil {
		cancel()
		nf.Close()
		return nil, fmt.Errorf("nfqueue: queue %d: %w", number, err)
	}
	go q.run()
	return q, nil
}

// close releases what is held, at once, or drops it, and ends the queue. No
// rule may lead to it any more.
func (q *queue) close(release bool) {
	close(q.stop)
	<-q.stopped
	verdict := nfqueue.NfDrop
	if release {
		verdict = nfqueue.NfAccept
	}
	q.mu.Lock()
	all := q.last + 1<<30 // also those that were not read; ids may wrap
	q.mu.Unlock()
	// An error means that the socket is gone, and with it the queue.
	_ = q.nf.SetVerdictBatch(all, verdict)
	q.cancel()
	_ = q.nf.Close()
}

// arrive is called by nf's goroutine for each packet.
func (q *queue) arrive(news nfqueue.Attribute) int {
	defer q.recover()
	if news.PacketID == nil {
		return 0
	}
	now, p := time.Now(), packet{id: *news.PacketID}
	var content []byte
	if news.Payload != nil {
		content = *news.Payload
	}
	size := 0
	if len(content) >= ipHeader {
		size = int(binary.BigEndian.Uint16(content[ipLength:]))
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	q.last = p.id
	at, ok := q.wire.arrival(now, size)
	if !ok {
		q.check(q.nf.SetVerdict(p.id, nfqueue.NfDrop))
		return 0
	}
	p.at = at
	if chance(q.wire.Corrupt) {
		p.changed, _ = corrupt(content, q.wire.Repair)
	}
	place := len(q.held)
	for place > 0 && q.held[place-1].at.After(at) {
		place-- // past the few that are late
	}
	q.held = slices.Insert(q.held, place, p)
	if place == 0 {
		select {
		case q.wake <- struct{}{}:
		default: // it will wake anyway
		}
	}
	return 0
}

// run lets packets arrive when their time has come.
func (q *queue) run() {
	defer close(q.stopped)
	defer q.recover()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-q.stop:
			return
		case <-q.wake:
		case <-timer.C:
		}
		q.mu.Lock()
		now, due := time.Now(), 0
		for due < len(q.held) && !q.held[due].at.After(now) {
			due++
		}
		q.accept(q.held[:due])
		q.held = q.held[due:]
		if len(q.held) > 0 {
			timer.Reset(time.Until(q.held[0].at))
		}
		q.mu.Unlock()
	}
}

// accept gives as few verdicts as possible: packets that are in order and
// unchanged share one, which holds for all ids up to its own.
func (q *queue) accept(due []packet) {
	for i, p := range due {
		switch {
		case p.changed != nil:
			q.check(q.nf.SetVerdictWithOption(p.id, nfqueue.NfAccept, nfqueue.WithAlteredPacket(p.changed)))
		case q.wire.Reorder > 0:
			q.check(q.nf.SetVerdict(p.id, nfqueue.NfAccept))
		case i == len(due)-1 || due[i+1].changed != nil:
			q.check(q.nf.SetVerdictBatch(p.id, nfqueue.NfAccept))
		}
	}
}

func (q *queue) check(err error) {
	if err != nil {
		q.fail(fmt.Errorf("nfqueue: verdict: %w", err))
	}
}

// recover makes a panic the end of the agent, which undoes everything first.
func (q *queue) recover() {
	if p := recover(); p != nil {
		q.fail(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}
}
