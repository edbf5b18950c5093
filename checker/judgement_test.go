package checker

import (
	"strings"
	"testing"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness/history"
)

func TestJudgement(t *testing.T) {
	for _, test := range []struct {
		want   string
		result Result
	}{
		{"valid, as claimed", Result{Verdict: Valid, AsClaimed: AsClaimed}},
		{"INVALID, as claimed", Result{Verdict: Invalid, AsClaimed: AsClaimed}},
		{"INVALID, not as claimed", Result{Verdict: Invalid, AsClaimed: NotAsClaimed}},
		{"INVALID, undecided", Result{Verdict: Invalid, AsClaimed: Undecided}},
		{"INVALID, not as claimed but VACUOUS", Result{Verdict: Invalid, AsClaimed: NotAsClaimed, Vacuous: "little happened."}},
		{"unknown", Result{Verdict: Unknown, AsClaimed: Undecided}},
		{"unknown and VACUOUS", Result{Verdict: Unknown, AsClaimed: Undecided, Vacuous: "little happened."}},
		{"VACUOUS, no pass", Result{Verdict: Valid, AsClaimed: Undecided, Vacuous: "little happened."}},
		{"undecided", Result{Verdict: Valid, AsClaimed: Undecided}},
		{"undecided", Result{Verdict: Valid}},
		{"not judged", Result{}},
	} {
		if got := test.result.Judgement(); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.result, got, test.want)
		}
	}
}

// Only a pass begins with "valid".
func TestOnlyAPassIsHeadedValid(t *testing.T) {
	for _, verdict := range []Verdict{Valid, Invalid, Unknown} {
		for _, conformance := range []Conformance{AsClaimed, Undecided, ""} {
			for _, vacuous := range []string{"", "little happened."} {
				result := Result{Verdict: verdict, AsClaimed: conformance, Vacuous: vacuous}
				pass := verdict == Valid && conformance == AsClaimed && vacuous == ""
				if got := result.Judgement(); strings.HasPrefix(got, "valid") != pass {
					t.Errorf("%+v: %q", result, got)
				}
			}
		}
	}
}

func TestWhyIsToldOnce(t *testing.T) {
	for want, result := range map[string]Result{
		"":                             {},
		"little happened; k2; cut off": {Vacuous: "little happened.", Reason: "k2", Torn: "cut off"},
		"interrupted: cut off":         {Reason: "interrupted: cut off", Torn: "cut off"},
	} {
		if got := result.Why(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestForemostViolations(t *testing.T) {
	violations := []anomaly.Violation{
		{Anomaly: anomaly.StaleRead, Sentence: "a"}, {Anomaly: anomaly.StaleRead, Sentence: "b"}, {Anomaly: anomaly.LostCommit, Sentence: "c"}, {Anomaly: anomaly.Disorder, Sentence: "d"},
		{Anomaly: anomaly.LostCommit, Sentence: "e"}, {Anomaly: anomaly.PhantomRead, Sentence: "f"}, {Anomaly: anomaly.StaleRead, Sentence: "g"}, {Anomaly: anomaly.Disorder, Sentence: "h"},
	}
	for _, test := range []struct {
		want   string
		expect []string
	}{
		{"acdfbegh", nil},
		{"dfhacbeg", []string{"stale read", "lost commit"}},
		{"cfeadbgh", []string{"stale read", "disorder"}},
	} {
		var got string
		for _, v := range (Result{Violations: violations}).Foremost(history.Claim{Expect: test.expect}) {
			got += v.Sentence
		}
		if got != test.want {
			t.Errorf("admitted %q: got %s, want %s", test.expect, got, test.want)
		}
	}
}

// Without a model nothing is decided.
func TestCheckWithoutModel(t *testing.T) {
	result := Check(t.Context(), &history.Run{}, Model{}, Options{})
	if result.Verdict != Unknown || !strings.Contains(result.Reason, "there is no model") {
		t.Errorf("%s: %s", result.Verdict, result.Reason)
	}
}
