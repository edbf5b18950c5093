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
	parts, verdicts := m.parts, []Part{{m.name, result.Verdict, result.Reason}}
	if parts == nil {
		parts = []Model{m}
	} else {
		verdicts = result.Parts
	}
	name, known := named(parts, run)
	if !known {
		return
	}
	linearizable, reason := linearizable(parts, verdicts)
	trial := guarantees.Trial{
		Run: run, Model: name, Reason: reason, MemoryBytes: budget.MemoryBytes, Linearizable: linearizable,
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

// named is the model that a run's guarantees are of: the first one that is not a user's, if
// there is any. It returns false if no model understands the run.
func named(parts []Model, run *history.Run) (name string, known bool) {
	for _, part := range parts {
		switch {
		case part.malformed(run.History.Operations) != "":
		case part.kinds != nil:
			return part.name, true
		default:
			known = true
		}
	}
	return "of your own", known // whatever its name
}

// linearizable is the worst verdict of those models that say so, with its reason.
func linearizable(parts []Model, verdicts []Part) (guarantees.Verdict, string) {
	worst, reason := guarantees.NotJudged, "what it was held against is a function, which says nothing of that"
	for i, part := range parts {
		if part.function {
			continue
		}
		switch said := verdicts[i]; {
		case said.Verdict == Invalid:
			return guarantees.Broken, said.Reason
		case said.Verdict == Unknown:
			worst, reason = guarantees.Unknown, said.Reason
		case worst == guarantees.NotJudged:
			worst, reason = guarantees.Holds, said.Reason
		}
	}
	return worst, reason
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
