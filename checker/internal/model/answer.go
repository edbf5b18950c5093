// Package model is what the rooms of the models have in common: they go through the
// keys of a history, find candidates for violations, have Porcupine confirm them, and
// return a plain answer.
package model

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/harness/history"
)

// The engines, by the names that a result gives them.
const (
	Zones      = "zones"
	Search     = "search"
	Porcupine  = "porcupine"
	Polynomial = "polynomial"
)

// Asked is why an engine decided that was chosen by name.
const Asked = "it was asked for"

// A Decision names the keys that one engine decided for one reason.
type Decision struct {
	Engine, Why string
	Keys        []string
}

// An Answer is what was found about the keys of a history. If none is invalid or
// unknown, all are valid.
type Answer struct {
	Keys, KeysInvalid, KeysUnknown int
	Decisions                      []Decision
	Violations                     []anomaly.Violation
	First                          time.Duration // when the earliest violation was complete; history.Never if there is none
	Reason                         string        // why the first of KeysUnknown is
	StaleReads, LostCommits        counts.Bounds
	Majority, Minority             counts.Sides // by the side of a partition
	Lost                           []counts.Loss
	Staleness                      *counts.Staleness
}

// NewAnswer is of no keys.
func NewAnswer() *Answer { return &Answer{First: history.Never} }

// Decided notes which engine decided a key, and why that one.
func (a *Answer) Decided(engine, why, key string) {
	i := slices.IndexFunc(a.Decisions, func(d Decision) bool { return d.Engine == engine && d.Why == why })
	if i < 0 {
		i = len(a.Decisions)
		a.Decisions = append(a.Decisions, Decision{Engine: engine, Why: why})
	}
	a.Decisions[i].Keys = append(a.Decisions[i].Keys, key)
}

// Add takes in what was found about one key, and why not all was.
func (a *Answer) Add(run *history.Run, confirmed Confirmed, err error, what string, operations int, budget court.Budget) {
	var violations []anomaly.Violation
	for _, c := range confirmed.Candidates {
		violations = append(violations, c.Violation(run))
	}
	a.Told(violations, confirmed.First)
	a.Left(err, what, operations, budget)
}

// Told takes in the violations of one key, if there are any.
func (a *Answer) Told(violations []anomaly.Violation, first time.Duration) {
	if len(violations) > 0 {
		a.KeysInvalid++
		a.First = min(a.First, first)
		a.Violations = append(a.Violations, violations...)
	}
}

// Left takes in why not all is known of one key, if there is an error.
func (a *Answer) Left(err error, what string, operations int, budget court.Budget) {
	if err != nil {
		a.KeysUnknown++
		a.Reason = cmp.Or(a.Reason, court.Exhausted(err, what, operations, budget))
	}
}

// EachKey lets decide look at each key, given its operations by invocation and its
// share of the time that is left, and takes in what it found. What is judged is called
// noun in a reason.
func (a *Answer) EachKey(ctx context.Context, run *history.Run, budget court.Budget, noun string,
	decide func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (Confirmed, error)) {
	byKey := map[string][]*history.Operation{}
	for i := range run.History.Operations {
		o := &run.History.Operations[i]
		byKey[o.Key] = append(byKey[o.Key], o)
	}
	memory := court.NewMemory(budget.MemoryBytes)
	a.Keys = len(byKey)
	for i, key := range slices.Sorted(maps.Keys(byKey)) {
		operations := byKey[key]
		slices.SortStableFunc(operations, history.ByInvocation)
		confirmed, err := Confirmed{}, ctx.Err()
		if err == nil {
			share, cancel := court.Share(ctx, len(byKey)-i)
			confirmed, err = decide(share, memory, key, operations)
			cancel()
		}
		a.Add(run, confirmed, err, fmt.Sprintf("%s %q", noun, key), len(operations), budget)
	}
}

// CutOff stands for a final phase that a run did not come to.
const CutOff = -history.Never

// FinalBegins returns when the final phase began: history.Never if the history has no
// phases, as those of other tools; CutOff if the run ended before, so that what a last
// read missed may well have come later.
func FinalBegins(run *history.Run) time.Duration {
	final := run.PhaseBegins(history.Final)
	inPhases := slices.ContainsFunc(run.Events, func(e history.Event) bool { return e.Type == history.PhaseBegins })
	if final == history.Never && (inPhases || run.History.Torn != "") {
		return CutOff
	}
	return final
}
