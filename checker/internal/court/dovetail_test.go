package court

import (
	"context"
	"errors"
	"testing"
	"time"

	registers "github.com/rashomon-io/rashomon/checker/internal/register"
	"github.com/rashomon-io/rashomon/checker/internal/search"
)

// endless is a search for the order of operations of which each is different for
// every set of others before it, and the last of which is impossible.
func endless(memory *search.Memory) *search.Search {
	const n = 40
	operations := make([]search.Operation, n+1)
	for i := range n {
		operations[i] = search.Operation{Call: 0, Ret: 100}
	}
	operations[n] = search.Operation{Call: 200, Ret: 201}
	step := func(state uint64, i int) (uint64, bool) { return 31*state + uint64(i) + 1, i < n }
	return search.NewGeneric(search.Comparable(uint64(0), step), operations, memory)
}

func TestDovetail(t *testing.T) {
	const easy = 50
	memory := search.NewMemory(4 << 30)
	searches := []*search.Search{endless(memory), endless(memory), endless(memory)}
	for i := range easy {
		steps := []registers.Step{
			{Call: 0, Ret: 1, From: registers.None, To: 1},
			{Call: 2, Ret: 3, From: registers.Value(i % 2), To: registers.None},
		}
		searches = append(searches, search.NewRegister(steps, memory))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	Dovetail(ctx, 2, searches)
	for i, s := range searches {
		answer := s.Answer()
		want := []search.Verdict{search.Invalid, search.Valid}[(i+1)%2]
		switch {
		case i < 3 && (answer.Verdict != search.Unknown || !errors.Is(answer.Err, context.DeadlineExceeded)):
			t.Errorf("endless %d: %s", i, answer)
		case i >= 3 && answer.Verdict != want:
			t.Errorf("easy %d: %s, want %s", i, answer, want)
		}
	}
}

func TestDovetailNothing(t *testing.T) { Dovetail[*search.Search](t.Context(), 2, nil) }
