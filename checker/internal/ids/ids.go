// Package ids decides histories of generators of unique ids.
package ids

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/harness/history"
)

// maxNamed bounds the ids that the counts name.
const maxNamed = 100

// Decide judges a history of generators. One is linearizable iff no two acknowledged
// operations got the same id; one of unknown outcome tells nobody which id it got, so
// it takes part in nothing.
func Decide(ctx context.Context, run *history.Run, budget court.Budget) (*model.Answer, *counts.IDs) {
	answer, ids := model.NewAnswer(), &counts.IDs{}
	answer.EachKey(ctx, run, budget, "ids", func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (model.Confirmed, error) {
		answer.Decided(model.Polynomial, "no id may be given twice", key)
		given := map[int64][]*history.Operation{}
		var err error
		for _, o := range operations {
			switch {
			case o.Outcome == history.OK && o.Output.Len() == 0:
				err = cmp.Or(err, error(court.Reason(fmt.Sprintf("p%d was acknowledged at %s without an id; record the id that it got", o.Process, sentence.Seconds(o.Complete)))))
			case o.Outcome == history.OK:
				ids.Acknowledged++
				given[o.Output.At(0)] = append(given[o.Output.At(0)], o)
			case o.Outcome == history.Info:
				ids.Unknown++
			}
		}
		candidates := duplicates(key, given)
		ids.Duplicated += len(candidates)
		for _, c := range candidates {
			if len(ids.DuplicatedIDs) < maxNamed {
				ids.DuplicatedIDs = append(ids.DuplicatedIDs, c.Told[0].Output.At(0))
			}
		}
		confirmed, unconfirmed := model.Confirm(ctx, memory, candidates)
		return confirmed, cmp.Or(err, unconfirmed)
	})
	return answer, ids
}

// duplicates are ordered by when an id was given the second time.
func duplicates(key string, given map[int64][]*history.Operation) []model.Candidate {
	var candidates []model.Candidate
	for id, operations := range given {
		if len(operations) == 1 {
			continue
		}
		slices.SortFunc(operations, model.ByCompletion)
		first, second := operations[0], operations[1]
		told := []*history.Operation{second, first}
		candidates = append(candidates, model.Candidate{
			Anomaly: anomaly.DuplicateID, Key: key, Told: told, Witness: model.Witness(told), During: sentence.SpanOf(told...),
			Text: func(t sentence.Teller) string {
				return fmt.Sprintf("p%d got the id %d%s%s%sp%d had got it%s", second.Process, id, sentence.Through(second),
					t.When(second, second.Complete), t.After(second.Complete-first.Complete), first.Process, sentence.Through(first))
			},
			First: second.Complete,
			Explained: func(ctx context.Context, memory *court.Memory) (bool, error) {
				return court.Linearizable[bool](ctx, memory, []*taking{{first}, {second}})
			},
		})
	}
	slices.SortFunc(candidates, func(a, b model.Candidate) int {
		return cmp.Or(model.ByCompletion(a.Told[0], b.Told[0]), cmp.Compare(a.Told[0].Output.At(0), b.Told[0].Output.At(0)))
	})
	return candidates
}

// A taking is of one id. The state is whether it has been taken.
type taking struct{ *history.Operation }

func (t *taking) Interval() (call, ret time.Duration) { return t.Invoke, t.Complete }

func (t *taking) Apply(taken bool) (bool, bool) { return true, !taken }
