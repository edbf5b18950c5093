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
//	set KEY VALUE
//	add ELEMENT
//	epoch EPOCH      (a new primary's first)
//
// A snapshot is a line that says where in which history it was taken, and as many
// commands as it says there, which have no offsets of their own:
//
//	snapshot OFFSET LINEAGE COUNT
type store struct {
	registers map[string]int64
	elements  map[int64]struct{}
	lineage   lineage
	offset    int64 // commands since the beginning

	unread int // commands of a snapshot still to come, while loading
}

func newStore() *store {
	return &store{registers: map[string]int64{}, elements: map[int64]struct{}{}}
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
	case len(words) == 2 && words[0] == "add":
		s.elements[numbers[0]] = struct{}{}
	case len(words) == 2 && words[0] == "epoch" && numbers[0] > s.lineage.epoch():
		s.lineage = append(slices.Clip(s.lineage), branch{numbers[0], s.offset})
	default:
		return errors.New("not a command")
	}
	return nil
}

// snapshot returns the lines that load makes the same store of.
func (s *store) snapshot() iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(fmt.Sprintf("snapshot %d %s %d", s.offset, s.lineage, len(s.registers)+len(s.elements))) {
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
	}
}
