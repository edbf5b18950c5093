package checker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness/history"
)

// says is a model that finds so many violations, or cannot tell.
func says(name string, violations int, err error) Model {
	return ModelFunc(name, func(context.Context, *history.Run) ([]anomaly.Violation, error) {
		var all []anomaly.Violation
		for i := range violations {
			all = append(all, anomaly.Violation{Time: time.Duration(i + 5), Sentence: "It is wrong."})
		}
		return all, err
	})
}

// The worst verdict decides, wherever it stands, and unknown leaves a claim undecided
// even beside anomalies that it admits.
func TestTheWorstVerdictDecides(t *testing.T) {
	run := &history.Run{History: history.History{Operations: []history.Operation{
		{Kind: history.Write, Input: history.Ints(1), Invoke: 1, Complete: 2, Outcome: history.OK},
		{Kind: history.Read, Output: history.Ints(1), Invoke: 3, Complete: 4, Outcome: history.OK},
	}}}
	run.Manifest.Claim.Expect = []string{"wrong"}
	valid, wrong, doubt := says("fine", 0, nil), says("wrong", 2, nil), says("doubt", 0, errors.New("no idea"))
	alien := ModelOf("alien", textStore)
	alien.kinds = []history.Kind{"put"}
	for name, c := range map[string]struct {
		model Model
		want  Verdict
		as    Conformance
		parts []Part
	}{
		"one":                {Compose(wrong), Invalid, AsClaimed, nil},
		"valid":              {Compose(Register, valid), Valid, AsClaimed, []Part{{"register", Valid, ""}, {"fine", Valid, ""}}},
		"wrong comes last":   {Compose(Register, valid, wrong), Invalid, AsClaimed, []Part{{"register", Valid, ""}, {"fine", Valid, ""}, {"wrong", Invalid, ""}}},
		"wrong comes first":  {Compose(wrong, Register), Invalid, AsClaimed, []Part{{"wrong", Invalid, ""}, {"register", Valid, ""}}},
		"unknown":            {Compose(doubt, Register), Unknown, Undecided, []Part{{"doubt", Unknown, "doubt: no idea"}, {"register", Valid, ""}}},
		"unknown and wrong":  {Compose(wrong, doubt), Invalid, Undecided, []Part{{"wrong", Invalid, ""}, {"doubt", Unknown, "doubt: no idea"}}},
		"not of its kinds":   {Compose(alien, wrong), Invalid, Undecided, []Part{{"alien", Unknown, "?"}, {"wrong", Invalid, ""}}},
		"within each other":  {Compose(Compose(Register, valid), wrong), Invalid, AsClaimed, []Part{{"register", Valid, ""}, {"fine", Valid, ""}, {"wrong", Invalid, ""}}},
		"another's register": {Compose(valid, Compose(Register, wrong)), Invalid, AsClaimed, []Part{{"fine", Valid, ""}, {"register", Valid, ""}, {"wrong", Invalid, ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Check(t.Context(), run, c.model, Options{})
			for i := range got.Parts {
				if i < len(c.parts) && c.parts[i].Reason == "?" && got.Parts[i].Reason != "" {
					c.parts[i].Reason = got.Parts[i].Reason
				}
			}
			if diff := cmp.Diff(c.parts, got.Parts); got.Verdict != c.want || got.AsClaimed != c.as || diff != "" {
				t.Errorf("%s, %s, want %s, %s: %s", got.Verdict, got.AsClaimed, c.want, c.as, diff)
			}
			for _, v := range got.Violations {
				if v.Anomaly != "wrong" || v.Part != "wrong" != (c.parts == nil) {
					t.Errorf("a violation of %q, in part %q", v.Anomaly, v.Part)
				}
			}
			if (got.FirstViolation == 5) != (c.want == Invalid) {
				t.Errorf("first violation at %d", got.FirstViolation)
			}
		})
	}
}

// A part has its share of the time, so that one which needs it all starves no other.
func TestPartsShareTheTime(t *testing.T) {
	hungry := ModelFunc("hungry", func(ctx context.Context, _ *history.Run) ([]anomaly.Violation, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	run := &history.Run{History: history.History{Operations: []history.Operation{
		{Kind: history.Read, Output: history.Ints(1), Invoke: 3, Complete: 4, Outcome: history.OK},
	}}}
	got := Check(t.Context(), run, Compose(hungry, hungry, Register), Options{Budget: Budget{Time: 300 * time.Millisecond}})
	if got.Verdict != Invalid || got.Parts[0].Verdict != Unknown || got.Parts[1].Verdict != Unknown {
		t.Errorf("%s: %+v, want a phantom read", got.Verdict, got.Parts)
	}
}
