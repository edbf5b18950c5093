package lww

import (
	"context"
	"errors"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/line"
	"github.com/rashomon-io/rashomon/targets/internal/node"
	"github.com/rashomon-io/rashomon/workloads"
)

// A server is a node.
type server struct {
	place  cluster.Place
	others []cluster.Node
	log    *log.Logger
	queues map[cluster.Node]chan entry // to be broadcast

	mu    sync.Mutex
	table *table
	file  *node.Log // entries
	last  int64     // time of the newest entry written here
}

func open(place cluster.Place) (*server, error) {
	s := &server{
		place:  place,
		others: node.Others(place),
		log:    log.New(os.Stderr, place.Node+" ", log.Ltime|log.Lmicroseconds),
		queues: map[cluster.Node]chan entry{},
		table:  newTable(),
	}
	for _, peer := range s.others {
		s.queues[peer] = make(chan entry, maxQueue)
	}
	file, err := node.OpenLog(filepath.Join(place.Data, "entries"), func(text string) error {
		entries, err := parseEntries(strings.Fields(text))
		for _, e := range entries {
			s.table.merge(e)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s.file = file
	s.log.Printf("starts with %d entries", len(s.table.entries))
	return s, nil
}

// run serves until ctx ends.
func (s *server) run(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var loops sync.WaitGroup
	for _, peer := range s.others {
		loops.Go(func() { s.broadcast(ctx, peer) })
	}
	loops.Go(func() { s.repair(ctx) })
	err := line.Serve(ctx, listener, s.serve)
	cancel()
	loops.Wait()
	return errors.Join(err, s.file.Close())
}

// serve answers one connection, of a client or a peer.
func (s *server) serve(_ context.Context, conn *line.Conn) {
	for {
		request, err := conn.Receive()
		if err != nil {
			return
		}
		var reply string
		switch request[0] {
		case "ping":
			reply = "pong"
		case "merge":
			reply = s.merged(request[1:])
		case "compare":
			reply = s.compared(request[1:])
		default:
			s.mu.Lock()
			reply = line.Answer(local{s}, request)
			s.mu.Unlock()
		}
		if conn.Send(reply) != nil {
			return
		}
	}
}

// merge keeps the entries that are newer than the node's own, and returns how
// many; mu is held.
func (s *server) merge(entries ...entry) (taken int, err error) {
	for _, e := range entries {
		if !s.table.merge(e) {
			continue
		}
		taken++
		if err := s.file.Append(e.String()); err != nil {
			return taken, err
		}
	}
	if s.file.Full() {
		return taken, s.file.Replace(func(yield func(string) bool) {
			for _, e := range s.table.entries {
				if !yield(e.String()) {
					return
				}
			}
		})
	}
	return taken, nil
}

// A local is a server as clients see it: line.Store, with mu held.
type local struct{ *server }

func (l local) Get(key string) (value int64, found bool) {
	e, found := l.table.entries[register(key)]
	return e.value, found
}

// Set acknowledges a write whatever becomes of it: if the table holds an entry of
// a faster clock, it is lost at once. The node's own stamps are unique, though.
func (l local) Set(key string, value int64) error {
	l.last = max(time.Now().UnixNano(), l.last+1)
	return l.put(entry{register(key), value, l.last, l.place.Node})
}

// SetBoth writes two entries, which spread each for itself.
func (l local) SetBoth(key1 string, value1 int64, key2 string, value2 int64) error {
	return errors.Join(l.Set(key1, value1), l.Set(key2, value2))
}

func (l local) CompareAndSet(key string, old, new int64) (*workloads.Mismatch, error) {
	if value, found := l.Get(key); !found || value != old {
		return &workloads.Mismatch{Value: value, Found: found}, nil
	}
	return nil, l.Set(key, new)
}

func (l local) Add(value int64) error { return l.put(element(value)) }

func (l local) Elements() []int64 {
	var elements []int64
	for identity, e := range l.table.entries {
		if strings.HasPrefix(identity, "e/") {
			elements = append(elements, e.value)
		}
	}
	return elements
}

func (l local) put(e entry) error {
	_, err := l.merge(e)
	if err == nil {
		l.spread(e)
	}
	return err
}
