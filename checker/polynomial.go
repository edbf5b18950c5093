package checker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A finding is what a polynomial method found about one key: that it cannot be
// judged at all, or suspects, one at least unless the key is linearizable.
type finding struct {
	unjudged string
	suspects []accusation
}

// An accusation is a story that Porcupine has still to confirm.
type accusation struct {
	story
	confirm func(context.Context, *memory) (explained bool, err error)
}

// accuse puts a story's witness before Porcupine, as steps of the model's own.
func accuse[S comparable, T transition[S]](s story, steps func([]history.Operation) []T) accusation {
	slices.SortStableFunc(s.witness, func(a, b history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })
	return accusation{s, func(ctx context.Context, memory *memory) (bool, error) {
		return linearizable[S](ctx, memory, steps(s.witness))
	}}
}

// judgeKeys lets judge look at each key, given its operations ordered by
// Invoke, and enters what Porcupine confirms into the result: at most perKey
// violations of each anomaly. Each key may use its share of the time that is
// left. What is called noun in a reason is decided for the reason why.
func judgeKeys(ctx context.Context, run *history.Run, options Options, result *Result, noun, why string,
	judge func(key string, operations []*history.Operation) finding) {
	byKey := map[string][]*history.Operation{}
	for i := range run.History.Operations {
		o := &run.History.Operations[i]
		byKey[o.Key] = append(byKey[o.Key], o)
	}
	memory := newMemory(options.Budget.MemoryBytes)
	result.Keys = len(byKey)
	first := never
	for i, key := range slices.Sorted(maps.Keys(byKey)) {
		operations := byKey[key]
		slices.SortStableFunc(operations, func(a, b *history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })
		result.decided(Polynomial, why, key)
		unknown := func(reason string) {
			result.KeysUnknown++
			result.Reason = cmp.Or(result.Reason, fmt.Sprintf("%s %q: %s", noun, key, reason))
		}
		if ctx.Err() != nil {
			unknown(exhausted(ctx.Err(), "not begun", len(operations), options.Budget))
			continue
		}
		finding := judge(key, operations)
		if finding.unjudged != "" {
			unknown(finding.unjudged)
			continue
		}
		deadline, _ := ctx.Deadline()
		bounded, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(byKey)-i))
		confirmed, err := convict(bounded, memory, finding.suspects)
		cancel()
		switch {
		case len(confirmed) > 0:
			result.KeysInvalid++
			for _, s := range finding.suspects {
				first = min(first, s.at())
			}
			for _, s := range confirmed {
				result.Violations = append(result.Violations, s.violation(run))
			}
		case err != nil:
			unknown(exhausted(err, "a contradiction is suspected", len(operations), options.Budget))
		case len(finding.suspects) > 0:
			unknown("a contradiction is suspected, and Porcupine does not agree; one of the two is wrong, please report it")
		}
	}
	switch {
	case result.KeysInvalid > 0:
		result.Verdict, result.Reason, result.FirstViolation = Invalid, "", first
	case result.KeysUnknown > 0:
		result.Verdict = Unknown
	}
}

// convict returns the stories that Porcupine confirms, small witnesses first:
// at most perKey of each anomaly. The error says why others are left in doubt.
func convict(ctx context.Context, memory *memory, suspects []accusation) (confirmed []story, doubt error) {
	suspects = slices.Clone(suspects)
	slices.SortStableFunc(suspects, func(a, b accusation) int { return cmp.Compare(len(a.witness), len(b.witness)) })
	shown := map[Anomaly]int{}
	for _, s := range suspects {
		if shown[s.anomaly] == perKey {
			continue
		}
		explained, err := s.confirm(ctx, memory)
		switch {
		case err != nil:
			doubt = err
		case !explained:
			confirmed = append(confirmed, s.story)
			shown[s.anomaly]++
		}
	}
	return confirmed, doubt
}

// at is when the story was complete.
func (s story) at() time.Duration { return Violation{Witness: s.witness}.At() }

// copies returns what the operations are, without those that are nil.
func copies(operations ...*history.Operation) []history.Operation {
	var all []history.Operation
	for _, o := range operations {
		if o != nil {
			all = append(all, *o)
		}
	}
	return all
}

// countBefore returns how many of sorted times are less than t, countUpTo how
// many are not greater.
func countBefore(sorted []time.Duration, t time.Duration) int {
	n, _ := slices.BinarySearch(sorted, t)
	return n
}

func countUpTo(sorted []time.Duration, t time.Duration) int { return countBefore(sorted, t+1) }
