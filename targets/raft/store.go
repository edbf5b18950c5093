package raft

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	hraft "github.com/hashicorp/raft"

	"github.com/rashomon-io/rashomon/targets/internal/line"
	"github.com/rashomon-io/rashomon/workloads"
)

// A state is what the commands of the log have made, up to some index. It
// implements line.Coordinator.
type state struct {
	values   map[string]int64
	elements map[int64]struct{}
	queues   map[string][]int64 // none of them empty; what they hold is never changed in place
	holders  map[string]int64   // of locks that are held
	index    int64              // in the log, of the command; so it is a fencing token
}

func newState() state {
	return state{map[string]int64{}, map[int64]struct{}{}, map[string][]int64{}, map[string]int64{}, 0}
}

func (s state) clone() state {
	return state{maps.Clone(s.values), maps.Clone(s.elements), maps.Clone(s.queues), maps.Clone(s.holders), s.index}
}

// at is the state for the command of that index.
func (s state) at(index uint64) state {
	s.index = int64(index)
	return s
}

func (s state) Get(key string) (int64, bool) {
	value, found := s.values[key]
	return value, found
}

func (s state) Set(key string, value int64) error {
	s.values[key] = value
	return nil
}

func (s state) SetBoth(key1 string, value1 int64, key2 string, value2 int64) error {
	s.values[key1], s.values[key2] = value1, value2
	return nil
}

func (s state) CompareAndSet(key string, old, new int64) (*workloads.Mismatch, error) {
	if value, found := s.values[key]; !found || value != old {
		return &workloads.Mismatch{Value: value, Found: found}, nil
	}
	return nil, s.Set(key, new)
}

func (s state) Add(element int64) error {
	s.elements[element] = struct{}{}
	return nil
}

func (s state) Elements() []int64 {
	return slices.Sorted(maps.Keys(s.elements))
}

func (s state) Enqueue(queue string, element int64) error {
	s.queues[queue] = append(slices.Clip(s.queues[queue]), element)
	return nil
}

func (s state) Dequeue(queue string) (element int64, found bool, err error) {
	elements := s.queues[queue]
	switch len(elements) {
	case 0:
		return 0, false, nil
	case 1:
		delete(s.queues, queue)
	default:
		s.queues[queue] = elements[1:]
	}
	return elements[0], true, nil
}

// Acquire knows no leases: whoever does not release a lock holds it for ever.
func (s state) Acquire(lock string, holder int64) (token int64, acquired bool, err error) {
	if _, held := s.holders[lock]; held {
		return 0, false, nil
	}
	s.holders[lock] = holder
	return s.index, true, nil
}

func (s state) Release(lock string, holder int64) (released bool, err error) {
	if by, held := s.holders[lock]; !held || by != holder {
		return false, nil
	}
	delete(s.holders, lock)
	return true, nil
}

// A store is the replicated state machine. It implements hraft.FSM.
type store struct {
	bug Bug

	mu       sync.RWMutex
	state    state
	previous state // before the last command; for ShortSnapshot only
}

func newStore(bug Bug) *store {
	return &store{bug: bug, state: newState(), previous: newState()}
}

// read returns the reply to a request that changes nothing.
func (s *store) read(request []string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return line.Answer(s.state, request)
}

// Apply returns the reply, a string.
func (s *store) Apply(entry *hraft.Log) any {
	command := strings.Fields(string(entry.Data))
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.bug {
	case BlindCAS:
		return line.Answer(blindState{s.state.at(entry.Index)}, command)
	case ShortSnapshot:
		s.previous = s.state.clone()
	}
	return line.Answer(s.state.at(entry.Index), command)
}

// Snapshot copies the state, so that it can be written down while the store
// goes on.
func (s *store) Snapshot() (hraft.FSMSnapshot, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.bug == ShortSnapshot {
		return snapshot(s.previous.clone()), nil
	}
	return snapshot(s.state.clone()), nil
}

// Restore replaces the state by a snapshot's.
func (s *store) Restore(from io.ReadCloser) error {
	restored := newState()
	scanner := bufio.NewScanner(from)
	for scanner.Scan() {
		if reply := line.Answer(restored, strings.Split(scanner.Text(), " ")); reply != "ok" && reply != "acquired 0" {
			return fmt.Errorf("snapshot: %.100q: %s", scanner.Text(), reply)
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.previous = restored, restored.clone()
	return nil
}

// A snapshot is a state on its way to disk, as commands that make it.
type snapshot state

func (s snapshot) Persist(sink hraft.SnapshotSink) error {
	buffer := bufio.NewWriter(sink)
	for key, value := range s.values {
		fmt.Fprintln(buffer, "set", key, value)
	}
	for element := range s.elements {
		fmt.Fprintln(buffer, "add", element)
	}
	for queue, elements := range s.queues {
		for _, element := range elements {
			fmt.Fprintln(buffer, "enqueue", queue, element)
		}
	}
	for lock, holder := range s.holders {
		fmt.Fprintln(buffer, "acquire", lock, holder)
	}
	if err := buffer.Flush(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return sink.Close()
}

func (s snapshot) Release() {}
