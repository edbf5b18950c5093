package checker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/harness/history"
)

// IDs is the model of generators of unique ids, each key by itself. A history is
// linearizable iff no two acknowledged operations got the same id; one of unknown
// outcome tells nobody which id it got, so it takes part in nothing.
var IDs = Model{
	name:    "unique-ids",
	kinds:   map[history.Kind]arity{history.Generate: {input: 0, output: 1}},
	engines: []Engine{Polynomial},
	judge:   judgeIDs,
}

func judgeIDs(ctx context.Context, run *history.Run, options Options, result *Result) {
	result.IDs = &counts.IDs{}
	judgeKeys(ctx, run, options, result, "ids", func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (findings, error) {
		result.decided(Polynomial, "no id may be given twice", key)
		given := map[int64][]*history.Operation{}
		var err error
		for _, o := range operations {
			switch {
			case o.Outcome == history.OK && o.Output.Len() == 0:
				err = cmp.Or(err, error(court.Reason(fmt.Sprintf("p%d was acknowledged at %s without an id; record the id that it got", o.Process, seconds(o.Complete)))))
			case o.Outcome == history.OK:
				result.IDs.Acknowledged++
				given[o.Output.At(0)] = append(given[o.Output.At(0)], o)
			case o.Outcome == history.Info:
				result.IDs.Unknown++
			}
		}
		suspects := duplicates(key, given)
		result.IDs.Duplicated += len(suspects)
		for _, s := range suspects {
			if len(result.IDs.DuplicatedIDs) < maxNamed {
				result.IDs.DuplicatedIDs = append(result.IDs.DuplicatedIDs, s.told[0].Output.At(0))
			}
		}
		found, unconfirmed := prove(ctx, memory, suspects)
		return found, cmp.Or(err, unconfirmed)
	})
}

// duplicates are ordered by when an id was given the second time.
func duplicates(key string, given map[int64][]*history.Operation) []charge {
	var suspects []charge
	for id, operations := range given {
		if len(operations) == 1 {
			continue
		}
		slices.SortFunc(operations, byCompletion)
		first, second := operations[0], operations[1]
		told := []*history.Operation{second, first}
		suspects = append(suspects, charge{
			story: story{
				anomaly: anomaly.DuplicateID, key: key, told: told, witness: values(told), during: spanOf(told...),
				text: func(n narrator) string {
					return fmt.Sprintf("p%d got the id %d%s%s%sp%d had got it%s", second.Process, id, through(second),
						n.when(second, second.Complete), n.after(second.Complete-first.Complete), first.Process, through(first))
				},
			},
			first: second.Complete,
			explained: func(ctx context.Context, memory *court.Memory) (bool, error) {
				return court.Linearizable[bool](ctx, memory, []*gift{{first}, {second}})
			},
		})
	}
	slices.SortFunc(suspects, func(a, b charge) int {
		return cmp.Or(byCompletion(a.told[0], b.told[0]), cmp.Compare(a.told[0].Output.At(0), b.told[0].Output.At(0)))
	})
	return suspects
}

// A gift is of one id. The state is whether it has been given.
type gift struct{ *history.Operation }

func (g *gift) Interval() (call, ret time.Duration) { return g.Invoke, g.Complete }

func (g *gift) Apply(given bool) (bool, bool) { return true, !given }
