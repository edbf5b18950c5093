package checker

import (
	"slices"
	"strings"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/guarantees"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Judgement is what the result is worth, in the fewest words: "INVALID, not as
// claimed". What is no pass never begins with "valid".
func (r Result) Judgement() string {
	decided := r.AsClaimed == AsClaimed || r.AsClaimed == NotAsClaimed
	switch {
	case r.Verdict == "":
		return "not judged"
	case r.Verdict == Unknown && r.Vacuous != "":
		return "unknown and VACUOUS"
	case r.Verdict == Unknown:
		return "unknown"
	case r.Verdict == Valid && r.Vacuous != "":
		return "VACUOUS, no pass"
	case r.Verdict == Valid && decided:
		return "valid, " + string(r.AsClaimed)
	case r.Verdict == Valid:
		return "undecided"
	}
	words := "INVALID, " + string(r.AsClaimed)
	if !decided {
		words = "INVALID, undecided"
	}
	if r.Vacuous != "" {
		words += " but VACUOUS"
	}
	return words
}

// Why are the reasons for a Judgement that is no pass, or no whole one: why the run
// tested nothing, what is unknown, and where it was cut off. Empty if there is none.
func (r Result) Why() string {
	var reasons []string
	all := []string{r.Vacuous, r.Reason, r.Torn}
	for _, g := range r.Guarantees {
		switch g.Verdict {
		case guarantees.Unknown:
			all = append(all, g.Guarantee+" is not decided: "+g.Reason)
		case guarantees.NotJudged:
			all = append(all, g.Guarantee+" is not judged: "+g.Reason)
		}
	}
	for _, reason := range all {
		if reason = strings.TrimSuffix(reason, "."); reason != "" && !strings.Contains(strings.Join(reasons, "; "), reason) {
			reasons = append(reasons, reason)
		}
	}
	return strings.Join(reasons, "; ")
}

// Foremost are the Violations in the order to tell them: those of broken guarantees, then
// those that the claim does not admit, so that what it admits hides none of them. Of these
// and the rest, the first of each anomaly come before the others.
func (r Result) Foremost(claim history.Claim) []anomaly.Violation {
	var broken []anomaly.Violation
	for _, g := range r.Guarantees {
		if g.Violation != nil {
			broken = append(broken, *g.Violation)
		}
	}
	var ranks [4][]anomaly.Violation
	seen := map[anomaly.Name]bool{}
	for _, v := range r.Violations {
		rank := 0
		if admits(claim, v.Anomaly) {
			rank += 2
		}
		if seen[v.Anomaly] {
			rank++
		}
		seen[v.Anomaly] = true
		ranks[rank] = append(ranks[rank], v)
	}
	return slices.Concat(broken, slices.Concat(ranks[:]...))
}
