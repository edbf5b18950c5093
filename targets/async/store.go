package async

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/rashomon-io/rashomon/targets/internal/line"
)

// A store is what a history of commands amounts to. A command is a line:
//
//	set KEY VALUE    (or two of each, at once)
//	add ELEMENT
//	enqueue QUEUE ELEMENT
//	dequeue QUEUE ELEMENT    (the oldest)
//	acquire LOCK HOLDER
//	release LOCK HOLDER
//	epoch EPOCH      (a new primary's first)
//
// A snapshot is a line that says where in which history it was taken, and as many
// commands as it says there, which have no offsets of their own:
//
//	snapshot OFFSET LINEAGE COUNT
type store struct {
	registers map[string]int64
	elements  map[int64]struct{}
	queues    map[string][]int64 // none of them empty
	holders   map[string]int64   // of locks that are held
	lineage   lineage
	offset    int64 // commands since the beginning

	unread int // commands of a snapshot still to come, while loading
}

func newStore() *store {
	return &store{
		registers: map[string]int64{}, elements: map[int64]struct{}{},
		queues: map[string][]int64{}, holders: map[string]int64{},
	}
}

// load takes the next line of a snapshot, or of the commands after it.
func (s *store) load(text string) error {
	words := strings.Fields(text)
	if len(words) == 4 && words[0] == "snapshot" {
		return s.begin(words[1:])
	}
	if s.unread == 0 {
		return s.apply(text)
	}
	s.unread--
	if len(words) > 0 && words[0] == "epoch" {
		return fmt.Errorf("an epoch begins inside a snapshot")
	}
	return s.change(words)
}

func (s *store) begin(words []string) error {
	numbers, err := line.Numbers([]string{words[0], words[2]})
	if err != nil {
		return fmt.Errorf("bad snapshot: %w", err)
	}
	if numbers[0] < 0 || numbers[1] < 0 || numbers[1] > 1<<31 {
		return fmt.Errorf("bad snapshot of %d commands at %d", numbers[1], numbers[0])
	}
	lineage, err := parseLineage(words[1], numbers[0])
	if err != nil {
		return err
	}
	*s = *newStore()
	s.offset, s.lineage, s.unread = numbers[0], lineage, int(numbers[1])
	return nil
}

// apply takes the next command of the history. If it fails, nothing has changed.
func (s *store) apply(command string) error {
	if err := s.change(strings.Fields(command)); err != nil {
		return fmt.Errorf("command %d %.100q: %w", s.offset+1, command, err)
	}
	s.offset++
	return nil
}

func (s *store) change(words []string) error {
	if len(words) < 2 {
		return errors.New("too short")
	}
	numbers, err := line.Numbers(words[len(words)-1:])
	switch {
	case err != nil:
		return err
	case len(s.lineage) == 0 && words[0] != "epoch":
		return errors.New("a write before the first epoch")
	case len(words) == 3 && words[0] == "set":
		s.registers[words[1]] = numbers[0]
	case len(words) == 5 && words[0] == "set":
		first, err := line.Numbers(words[2:3])
		if err != nil {
			return err
		}
		s.registers[words[1]], s.registers[words[3]] = first[0], numbers[0]
	case len(words) == 2 && words[0] == "add":
		s.elements[numbers[0]] = struct{}{}
	case len(words) == 3 && words[0] == "enqueue":
		s.queues[words[1]] = append(s.queues[words[1]], numbers[0])
	case len(words) == 3 && words[0] == "dequeue" && slices.Index(s.queues[words[1]], numbers[0]) == 0:
		if s.queues[words[1]] = s.queues[words[1]][1:]; len(s.queues[words[1]]) == 0 {
			delete(s.queues, words[1])
		}
	case len(words) == 3 && words[0] == "acquire" && !s.held(words[1]):
		s.holders[words[1]] = numbers[0]
	case len(words) == 3 && words[0] == "release" && s.held(words[1]) && s.holders[words[1]] == numbers[0]:
		delete(s.holders, words[1])
	case len(words) == 2 && words[0] == "epoch" && numbers[0] > s.lineage.epoch():
		s.lineage = append(slices.Clip(s.lineage), branch{numbers[0], s.offset})
	default:
		return errors.New("not a command")
	}
	return nil
}

func (s *store) held(lock string) bool {
	_, held := s.holders[lock]
	return held
}

// size is how many commands make the store.
func (s *store) size() int {
	size := len(s.registers) + len(s.elements) + len(s.holders)
	for _, elements := range s.queues {
		size += len(elements)
	}
	return size
}

// snapshot returns the lines that load makes the same store of.
func (s *store) snapshot() iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(fmt.Sprintf("snapshot %d %s %d", s.offset, s.lineage, s.size())) {
			return
		}
		for key, value := range s.registers {
			if !yield(fmt.Sprintf("set %s %d", key, value)) {
				return
			}
		}
		for element := range s.elements {
			if !yield(fmt.Sprintf("add %d", element)) {
				return
			}
		}
		for queue, elements := range s.queues {
			for _, element := range elements {
				if !yield(fmt.Sprintf("enqueue %s %d", queue, element)) {
					return
				}
			}
		}
		for lock, holder := range s.holders {
			if !yield(fmt.Sprintf("acquire %s %d", lock, holder)) {
				return
			}
		}
	}
}
