package checker

import (
	"context"
	"slices"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/guarantees"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/checker/internal/versions"
	"github.com/rashomon-io/rashomon/harness/history"
)

// judgeGuarantees holds the run against what its target claims by name. The result's
// verdict is the model's alone.
func (m Model) judgeGuarantees(ctx context.Context, run *history.Run, budget Budget, result *Result) {
	if result.Guarantees != nil { // of the first part of a composed model
		return
	}
	name := m.name
	if m.kinds == nil { // a user's, whatever its name
		name = "of your own"
	}
	trial := guarantees.Trial{
		Run: run, Model: name, Reason: result.Reason, MemoryBytes: budget.MemoryBytes,
		Linearizable: map[Verdict]guarantees.Verdict{Valid: guarantees.Holds, Invalid: guarantees.Broken, Unknown: guarantees.Unknown}[result.Verdict],
		Tell: func(key string, o *history.Operation) string {
			teller := sentence.Teller{Run: run, Key: key}
			if name == VersionedRegister.name {
				return versions.Dated(teller, o)
			}
			return teller.Dated(o)
		},
	}
	result.Guarantees = guarantees.Judge(ctx, trial)
	for i := range result.Guarantees {
		if v := result.Guarantees[i].Violation; v != nil {
			v.Sentence += sentence.Faults(run, sentence.SpanOf(model.Pointers(v.Witness)...)) + "."
		}
	}
}

// ofOrder are the anomalies that a guarantee weaker than linearizability may allow: they
// are about which value was seen when, and not about one that nobody wrote.
var ofOrder = []anomaly.Name{anomaly.StaleRead, anomaly.LostCommit, anomaly.DoubleSwap, anomaly.Resurrected, anomaly.Disorder}

// admits: the claim allows the anomaly. If it names guarantees and no anomalies, it allows
// what these allow, and whether they were kept is judged by itself.
func admits(claim history.Claim, name anomaly.Name) bool {
	return claim.Admits(string(name)) || len(claim.Expect) == 0 && !claim.Linearizable() && slices.Contains(ofOrder, name)
}

// kept compares what was found of the claim's guarantees with the claim.
func kept(claim history.Claim, found []guarantees.Result) Conformance {
	judged, conforms := 0, AsClaimed
	for _, g := range found {
		switch g.Verdict {
		case guarantees.Broken:
			return NotAsClaimed
		case guarantees.Unknown:
			conforms = Undecided
		case guarantees.Holds:
			judged++
		}
	}
	if judged == 0 && len(claim.Guarantees) > 0 && len(claim.Expect) == 0 { // nothing else is claimed
		return Undecided
	}
	return conforms
}
