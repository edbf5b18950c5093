package checker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A charge is a story that is to be confirmed. The first operation told is the one
// at fault.
type charge struct {
	story
	// explained asks Porcupine whether there is an order after all.
	explained func(context.Context, *memory) (bool, error)
}

// errInnocent means that Porcupine explains what a checker took for a violation:
// one of them is wrong, so there is no verdict.
var errInnocent = errors.New("Porcupine explains what looked like a violation")

// prove returns the stories that Porcupine confirms, at most perKey of each
// anomaly, the earlier ones first. The error says why another was not confirmed.
func prove(ctx context.Context, memory *memory, suspects []charge) (confirmed []story, err error) {
	shown := map[Anomaly]int{}
	for _, s := range suspects {
		if shown[s.anomaly] == perKey {
			continue
		}
		explained, failed := s.explained(ctx, memory)
		switch {
		case failed != nil:
			err = cmp.Or(err, failed)
		case explained:
			err = cmp.Or(err, errInnocent)
		default:
			confirmed = append(confirmed, s.story)
			shown[s.anomaly]++
		}
	}
	return confirmed, err
}

// conclude adds what was found about one key to the result: confirmed stories, or
// else why it is undecided.
func (r *Result) conclude(run *history.Run, found []story, err error, what string, operations int, budget Budget) {
	switch {
	case len(found) > 0:
		r.Verdict, r.Reason = Invalid, ""
		r.KeysInvalid++
		for _, s := range found {
			r.Violations = append(r.Violations, s.violation(run))
			if at := s.told[0].Complete; r.FirstViolation == 0 || at < r.FirstViolation {
				r.FirstViolation = at
			}
		}
	case err != nil:
		r.KeysUnknown++
		if r.Verdict == Valid {
			r.Verdict = Unknown
		}
		if r.Verdict == Unknown {
			r.Reason = cmp.Or(r.Reason, undecided(err, what, operations, budget))
		}
	}
}

// undecided is exhausted, and knows errors of other kinds.
func undecided(err error, what string, operations int, budget Budget) string {
	if errors.Is(err, errMemory) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return exhausted(err, what, operations, budget)
	}
	return what + ": " + err.Error()
}

// operationsByKey keeps their order.
func operationsByKey(run *history.Run) map[string][]*history.Operation {
	byKey := map[string][]*history.Operation{}
	for i := range run.History.Operations {
		o := &run.History.Operations[i]
		byKey[o.Key] = append(byKey[o.Key], o)
	}
	return byKey
}

// shareOf gives an nth part of the time that is left.
func shareOf(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
}

func byInvocation(a, b *history.Operation) int {
	return cmp.Or(cmp.Compare(a.Invoke, b.Invoke), cmp.Compare(a.Process, b.Process))
}

func byCompletion(a, b *history.Operation) int {
	return cmp.Or(cmp.Compare(a.Complete, b.Complete), cmp.Compare(a.Process, b.Process))
}

// maxWitness bounds the operations of a witness that is made of updates without
// names, of which it may take many to reach a sum.
const maxWitness = 1000

// values are the operations told, up to maxWitness, by invocation.
func values(told []*history.Operation) []history.Operation {
	told = slices.Clone(told[:min(len(told), maxWitness)])
	slices.SortStableFunc(told, byInvocation)
	all := make([]history.Operation, len(told))
	for i, o := range told {
		all[i] = *o
	}
	return all
}
