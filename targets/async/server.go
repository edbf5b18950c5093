package async

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/line"
	"github.com/rashomon-io/rashomon/targets/internal/node"
	"github.com/rashomon-io/rashomon/workloads"
)

// maxBacklog bounds the commands kept for replicas that follow or come back; one
// that is further behind takes a full copy.
const maxBacklog = 10_000

// A server is a node: a store that is the primary's or a replica's, and a monitor.
type server struct {
	place  cluster.Place
	others []cluster.Node
	log    *log.Logger
	file   *node.Log // commands

	mu      sync.Mutex
	store   *store
	backlog []string      // the last commands, ending at store.offset
	changed chan struct{} // closed, and made anew, with each command and each new primary

	epoch    int64        // of the newest primary known
	primary  cluster.Node // of epoch; "" after a restart, until somebody tells
	voted    int64        // the newest epoch that this node gave its vote for
	upstream *line.Conn   // the stream from the primary, if there is one
	seen     map[cluster.Node]sighting
	agreed   time.Time // since when there is a majority for an election; zero if there is none
	quiet    time.Time // no election before
}

// open loads what the node's directory holds. The node starts as a replica of
// nobody, also if it was the primary: its monitor learns, from the others or by an
// election, what has become of its office.
func open(place cluster.Place) (*server, error) {
	s := &server{
		place:   place,
		others:  node.Others(place),
		log:     log.New(os.Stderr, place.Node+" ", log.Ltime|log.Lmicroseconds),
		store:   newStore(),
		changed: make(chan struct{}),
		seen:    map[cluster.Node]sighting{},
	}
	if err := s.loadVote(); err != nil {
		return nil, err
	}
	file, err := node.OpenLog(filepath.Join(place.Data, "appendonly"), s.store.load)
	if err != nil {
		return nil, err
	}
	s.file = file
	if s.store.unread > 0 {
		return nil, errors.Join(fmt.Errorf("appendonly: %d commands are missing from the snapshot", s.store.unread), file.Close())
	}
	s.log.Printf("starts with %d commands, lineage %s, epoch %d", s.store.offset, s.store.lineage, s.epoch)
	return s, nil
}

// run serves until ctx ends.
func (s *server) run(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var loops sync.WaitGroup
	loops.Go(func() { s.follow(ctx) })
	loops.Go(func() { s.monitor(ctx) })
	err := line.Serve(ctx, listener, s.serve)
	cancel()
	loops.Wait()
	return errors.Join(err, s.file.Close())
}

// serve answers one connection, of a client, an observer or a peer.
func (s *server) serve(ctx context.Context, conn *line.Conn) {
	for {
		request, err := conn.Receive()
		if err != nil {
			return
		}
		var reply string
		switch request[0] {
		case "ping":
			reply = s.pinged(request[1:])
		case "vote":
			reply = s.votes(request[1:])
		case "promote":
			reply = s.promoted(request[1:])
		case "sync":
			s.stream(ctx, conn, request[1:])
			return
		default:
			reply = s.answer(request)
		}
		if conn.Send(reply) != nil {
			return
		}
	}
}

// answer serves clients if this node is the primary.
func (s *server) answer(request []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.primary {
	case s.place.Node:
		return line.Answer(primary{s}, request)
	case "":
		return line.Refused("no primary known")
	}
	return line.Moved(s.primary)
}

// commit carries out the next command of the history; mu is held.
func (s *server) commit(command string) error {
	if err := s.store.apply(command); err != nil {
		return err
	}
	if len(s.backlog) >= 2*maxBacklog {
		s.backlog = append([]string(nil), s.backlog[maxBacklog:]...)
	}
	s.backlog = append(s.backlog, command)
	s.announce()
	if err := s.file.Append(command); err != nil {
		return err
	}
	if s.file.Full() {
		return s.file.Replace(s.store.snapshot())
	}
	return nil
}

// announce wakes those who wait for changed; mu is held.
func (s *server) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// A primary is a server as clients see it: line.Coordinator, with mu held.
type primary struct{ *server }

func (p primary) Get(key string) (value int64, found bool) {
	value, found = p.store.registers[key]
	return value, found
}

func (p primary) Set(key string, value int64) error {
	return p.commit(fmt.Sprintf("set %s %d", key, value))
}

func (p primary) SetBoth(key1 string, value1 int64, key2 string, value2 int64) error {
	return p.commit(fmt.Sprintf("set %s %d %s %d", key1, value1, key2, value2))
}

func (p primary) CompareAndSet(key string, old, new int64) (*workloads.Mismatch, error) {
	if value, found := p.Get(key); !found || value != old {
		return &workloads.Mismatch{Value: value, Found: found}, nil
	}
	return nil, p.Set(key, new)
}

func (p primary) Add(element int64) error {
	return p.commit(fmt.Sprintf("add %d", element))
}

func (p primary) Elements() []int64 {
	elements := make([]int64, 0, len(p.store.elements))
	for element := range p.store.elements {
		elements = append(elements, element)
	}
	return elements
}

func (p primary) Enqueue(queue string, element int64) error {
	return p.commit(fmt.Sprintf("enqueue %s %d", queue, element))
}

func (p primary) Dequeue(queue string) (element int64, found bool, err error) {
	elements := p.store.queues[queue]
	if len(elements) == 0 {
		return 0, false, nil
	}
	element = elements[0]
	return element, true, p.commit(fmt.Sprintf("dequeue %s %d", queue, element))
}

// Acquire knows no leases, and no tokens: nothing here grows from holder to
// holder across a failover.
func (p primary) Acquire(lock string, holder int64) (token int64, acquired bool, err error) {
	if p.store.held(lock) {
		return 0, false, nil
	}
	return 0, true, p.commit(fmt.Sprintf("acquire %s %d", lock, holder))
}

func (p primary) Release(lock string, holder int64) (released bool, err error) {
	if !p.store.held(lock) || p.store.holders[lock] != holder {
		return false, nil
	}
	return true, p.commit(fmt.Sprintf("release %s %d", lock, holder))
}
