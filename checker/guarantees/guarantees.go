// Package guarantees holds a run against what its target claims by name
// (history.Claim.Guarantees): sequential consistency, session guarantees, bounded
// staleness, convergence.
//
// Each guarantee is decided in a room of its own, whose package comment defines it and
// proves the method: internal/sessions, internal/sequential, internal/stale,
// internal/convergence. Here a history is turned into what they take, and their answers
// into sentences. What they find is confirmed before it is told, on the witness alone and
// by other means: by Porcupine, or by going through the definition.
//
// A session is a process. So operations of one process must not overlap, and one of
// unknown outcome is its last.
package guarantees

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A Verdict says whether a guarantee was kept.
type Verdict string

const (
	Holds     Verdict = "holds"
	Broken    Verdict = "BROKEN"
	Unknown   Verdict = "unknown"
	NotJudged Verdict = "not judged" // the trial, as it was made, can say nothing of it
)

// A Result is what was found of one guarantee.
type Result struct {
	Guarantee string  `json:"guarantee"`
	Verdict   Verdict `json:"verdict"`
	// Reason says why a verdict is Unknown or NotJudged; empty otherwise.
	Reason string `json:"reason,omitempty"`
	// Violation proves that it was broken: the operations of its witness contradict the
	// guarantee, whatever else happened. Nil for linearizability, whose violations
	// are the history's.
	Violation *anomaly.Violation `json:"violation,omitempty"`
}

// A Trial is a run, and what its checker found.
type Trial struct {
	Run *history.Run
	// Model is the name of what the history was held against.
	Model string
	// Linearizable is the checker's verdict on that, and Reason says why it is Unknown.
	Linearizable Verdict
	Reason       string
	MemoryBytes  uint64
	// Tell says what an operation on a key was, and when.
	Tell func(key string, o *history.Operation) string
}

// Judge judges each guarantee that the run's target claims, in the claim's order, within
// ctx. The run is not changed.
func Judge(ctx context.Context, t Trial) []Result {
	claimed := t.Run.Manifest.Claim.Guarantees
	if len(claimed) == 0 {
		return nil
	}
	j := &judge{Trial: t, results: make([]Result, len(claimed)), processes: map[int]int32{}}
	for i, text := range claimed {
		g, err := history.ParseGuarantee(text)
		j.claimed = append(j.claimed, g)
		j.results[i] = Result{Guarantee: text, Verdict: Holds}
		if err != nil {
			j.results[i] = Result{Guarantee: text, Verdict: Unknown, Reason: err.Error()}
		}
	}
	for i, g := range j.claimed {
		switch g.Name {
		case history.Linearizable:
			j.results[i].Verdict, j.results[i].Reason = t.Linearizable, t.Reason
		case history.Converges:
			j.converges(i, g.Time)
		}
	}
	if registers(t.Model) {
		j.registers(ctx)
		return j.results
	}
	for i, g := range j.claimed {
		if g.Name != "" && g.Name != history.Linearizable && g.Name != history.Converges {
			j.results[i].Verdict, j.results[i].Reason = NotJudged, fmt.Sprintf("only registers are held against it, and this is a history of the model %s", t.Model)
		}
	}
	return j.results
}

func registers(model string) bool { return model == "register" || model == "versioned-register" }

// A judge judges one trial.
type judge struct {
	Trial
	claimed []history.Guarantee
	results []Result // of each of claimed
	keys    []*key
	order   []place // of all that says anything, by invocation
	// processes are numbered as sessions.
	processes map[int]int32
	// apart: no operation of a process began at the very moment when the one before was
	// over. Two that did are concurrent for linearizability, and not for their session.
	apart bool
}

// unknown notes why a guarantee is not known to hold; what is broken stays so.
func (j *judge) unknown(i int, reason string) {
	if r := &j.results[i]; r.Verdict == Holds {
		r.Verdict, r.Reason = Unknown, reason
	}
}

// broken notes a violation, if none was noted that was complete earlier.
func (j *judge) broken(i int, key string, operations []int32, sentence string) {
	v := anomaly.Violation{Anomaly: anomaly.Name("broken: " + j.results[i].Guarantee), Key: key, Sentence: sentence}
	for _, o := range operations {
		v.Witness = append(v.Witness, j.Run.History.Operations[o])
	}
	slices.SortStableFunc(v.Witness, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	r := &j.results[i]
	if r.Verdict != Broken || v.At() < r.Violation.At() {
		*r = Result{Guarantee: r.Guarantee, Verdict: Broken, Violation: &v}
	}
}

// told lists what operations were: "a, b and c", the first ones if there are many.
func (j *judge) told(key func(int32) string, operations []int32) string {
	const most = 8
	var all []string
	for _, o := range operations[:min(most, len(operations))] {
		all = append(all, j.Tell(key(o), &j.Run.History.Operations[o]))
	}
	if more := len(operations) - most; more > 0 {
		all = append(all, fmt.Sprintf("%d more", more))
	}
	return joined(all)
}

func joined(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// confirmTime bounds the confirmation of one witness.
const confirmTime = 10 * time.Second

const unconfirmed = "a contradiction was found that was not confirmed within the budget; raise it"
