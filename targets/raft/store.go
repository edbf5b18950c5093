package raft

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	hraft "github.com/hashicorp/raft"
)

// A state is what the commands of the log have made, up to some index.
type state struct {
	values   map[string]int64
	elements map[int64]struct{}
}

func newState() state {
	return state{map[string]int64{}, map[int64]struct{}{}}
}

func (s state) clone() state {
	return state{maps.Clone(s.values), maps.Clone(s.elements)}
}

// apply carries out write, cas and add.
func (s state) apply(command request) answer {
	switch command.verb {
	case "write":
		s.values[command.key] = command.value
	case "cas":
		value, found := s.values[command.key]
		switch {
		case !found:
			return answer{verb: "mismatch"}
		case value != command.old:
			return answer{"mismatch", fmt.Sprint(value)}
		}
		s.values[command.key] = command.value
	case "add":
		s.elements[command.value] = struct{}{}
	}
	return ok()
}

// read carries out read and elements.
func (s state) read(query request) answer {
	if query.verb == "elements" {
		return ok(slices.Sorted(maps.Keys(s.elements))...)
	}
	value, found := s.values[query.key]
	if !found {
		return answer{verb: "none"}
	}
	return ok(value)
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

func (s *store) read(query request) answer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.read(query)
}

// Apply returns an answer. A command that cannot be read did not come from
// this program; to ignore it on one node and not on another would be worse than
// to stop.
func (s *store) Apply(entry *hraft.Log) any {
	command, err := parseRequest(string(entry.Data))
	if err != nil {
		panic(fmt.Sprintf("log entry %d is no command: %v", entry.Index, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	command = s.bug.beforeApply(s, command)
	return s.state.apply(command)
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
	scanner := lines(from, maxRequest)
	for scanner.Scan() {
		command, err := parseRequest(scanner.Text())
		if err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		restored.apply(command)
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.previous = restored, restored.clone()
	return nil
}

// A snapshot is a state on its way to disk, as the commands that make it.
type snapshot state

func (s snapshot) Persist(sink hraft.SnapshotSink) error {
	buffer := bufio.NewWriter(sink)
	for key, value := range s.values {
		fmt.Fprintln(buffer, request{verb: "write", key: key, value: value})
	}
	for element := range s.elements {
		fmt.Fprintln(buffer, request{verb: "add", value: element})
	}
	if err := buffer.Flush(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return sink.Close()
}

func (s snapshot) Release() {}
