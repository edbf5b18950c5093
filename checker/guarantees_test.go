package checker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/guarantees"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/harness/history"
)

const (
	holds, broken, isUnknown, unjudged = guarantees.Holds, guarantees.Broken, guarantees.Unknown, guarantees.NotJudged

	twoWrites = "p1 n1 write x 1 [0,1] ok\n p1 n1 write x 2 [2,3] ok\n"
	stale     = twoWrites + "p2 n2 read x -> 1 [4,5] ok\n p2 n2 read x -> 2 [6,7] ok\n"
	back      = twoWrites + "p2 n2 read x -> 2 [4,5] ok\n p2 n2 read x -> 1 [6,7] ok\n"
	swapped   = "p3 n1 read x -> 1 [6,7] ok\n p3 n1 read x -> 2 [8,9] ok\n"
	finally   = "recovery at 40\n final at 50\n done at 60\n"
)

var guaranteeCases = []struct {
	name, history string
	model         Model
	claim         []string
	verdicts      []guarantees.Verdict
	want          Conformance
	witness       int    // operations of the first that is broken
	says          string // its sentence, or the first reason
}{
	{"linearizable", stale, Register, []string{"linearizable"}, []guarantees.Verdict{broken}, NotAsClaimed, 0, ""},
	{"linearizable after all", twoWrites, Register, []string{"linearizable", "sequential"}, []guarantees.Verdict{holds, holds}, AsClaimed, 0, ""},

	{"sequential, and stale", stale, Register, []string{"sequential"}, []guarantees.Verdict{holds}, AsClaimed, 0, ""},
	{"not sequential", back, Register, []string{"sequential"}, []guarantees.Verdict{broken}, NotAsClaimed, 4,
		"no order that is each process's own explains that p1 wrote x = 1 through n1 at 1.000 s, p1 wrote x = 2 through n1 at 3.000 s, p2 read x = 2"},
	{"not sequential over two keys", "p1 n1 write x 1 [0,1] ok\n p1 n1 read y [2,3] ok\n p2 n2 write y 1 [0,1] ok\n p2 n2 read x [2,3] ok\n", Register,
		[]string{"sequential", "monotonic writes"}, []guarantees.Verdict{broken, isUnknown}, NotAsClaimed, 4, "p1 found no y"},
	{"at the moment when its write was over", "p1 n1 write x 1 [0,1] ok\n p1 n1 read x [1,2] ok\n", Register, []string{"linearizable", "sequential"}, []guarantees.Verdict{holds, broken}, NotAsClaimed, 2, "p1 wrote x = 1 through n1 at 1.000 s and p1 found no x"},
	{"processes of large numbers", "p1 n1 write x 1 [0,1] ok\n p4294967297 n1 read x [2,3] ok\n", Register, []string{"sequential", "read your writes"}, []guarantees.Verdict{holds, isUnknown}, Undecided, 0, "no process"},
	{"written twice", stale + "p4 n1 write x 1 [0,9] ok\n", Register, []string{"sequential", "monotonic reads", "stale by at most 9s"}, []guarantees.Verdict{isUnknown, isUnknown, holds}, Undecided, 0, "written twice"},

	{"monotonic reads, and stale", stale, Register, []string{"monotonic reads"}, []guarantees.Verdict{holds}, AsClaimed, 0, ""},
	{"back in the order of another reader", back + swapped, Register, []string{"monotonic reads"}, []guarantees.Verdict{broken}, NotAsClaimed, 6,
		"no order of these writes gives monotonic reads"},
	{"back, if writes are in any order", back, Register, []string{"monotonic reads"}, []guarantees.Verdict{holds}, AsClaimed, 0, ""},
	{"back in the order of real time", back, Register, []string{"monotonic reads", "linearizable writes"}, []guarantees.Verdict{broken, holds}, NotAsClaimed, 4,
		"p1 wrote x = 1 through n1 at 1.000 s, before p1 wrote x = 2 through n1 at 3.000 s; p2 read x = 2 through n2 at 5.000 s, and then p2 read x = 1 through n2 at 7.000 s; no order of these writes gives monotonic reads."},
	{"back in the order of the writer", back, Register, []string{"monotonic reads", "monotonic writes"}, []guarantees.Verdict{broken, broken}, NotAsClaimed, 4,
		"no order of these writes gives monotonic reads and monotonic writes"},
	{"nothing again", "p1 n1 write x 1 [0,1] ok\n p2 n1 read x -> 1 [2,3] ok\n p2 n2 read x [4,5] ok\n", Register, []string{"monotonic reads"}, []guarantees.Verdict{broken}, NotAsClaimed, 3,
		"p2 read x = 1 through n1 at 3.000 s, and then p2 found no x through n2 at 5.000 s"},

	{"read your writes", "p1 n1 write x 1 [0,1] ok\n p1 n2 read x [2,3] ok\n", Register, []string{"read your writes"}, []guarantees.Verdict{broken}, NotAsClaimed, 2, "p1 wrote x = 1 through n1 at 1.000 s, and then p1 found no x"},
	{"read yours, and stale", "p1 n1 write x 1 [0,1] ok\n p1 n1 read x -> 1 [2,3] ok\n p2 n2 read x [2,3] ok\n", Register, []string{"read your writes"}, []guarantees.Verdict{holds}, AsClaimed, 0, ""},
	{"nobody reads his own", stale, Register, []string{"read your writes"}, []guarantees.Verdict{isUnknown}, Undecided, 0, "no process"},
	{"an overlap", "p1 n1 write x 1 [0,3] ok\n p1 n2 read x [2,3] ok\n", Register, []string{"read your writes"}, []guarantees.Verdict{isUnknown}, Undecided, 0, "p1 has operations that overlap"},
	{"on after an info", "p1 n1 write x 1 [0,3] info\n p1 n2 read x [4,5] ok\n p1 n2 write x 2 [6,7] ok\n p1 n2 read x [8,9] ok\n", Register, []string{"read your writes"}, []guarantees.Verdict{isUnknown}, Undecided, 0, "p1 goes on after"},

	{"monotonic writes, by versions", "p1 n1 write x 1 -> 7 [0,1] ok\n p1 n2 write x 2 -> 5 [2,3] ok\n", VersionedRegister, []string{"monotonic writes"}, []guarantees.Verdict{broken}, NotAsClaimed, 2, "and then p1 wrote x = 2"},
	{"monotonic writes, by versions, kept", "p1 n1 write x 1 -> 7 [0,1] ok\n p2 n2 write x 2 -> 5 [2,3] ok\n p1 n1 write x 3 -> 8 [4,5] ok\n", VersionedRegister, []string{"monotonic writes"}, []guarantees.Verdict{holds}, AsClaimed, 0, ""},
	{"writes follow reads, by versions", "p1 n1 write x 1 -> 7 [0,1] ok\n p2 n1 read x -> 7 1 [2,3] ok\n p2 n2 write x 2 -> 5 [4,5] ok\n", VersionedRegister, []string{"writes follow reads"}, []guarantees.Verdict{broken}, NotAsClaimed, 3, "p2 read x = 1 in version 7 through n1 at 3.000 s, and then p2 wrote x = 2 in version 5"},
	{"writes follow reads, by versions, kept", "p1 n1 write x 1 -> 7 [0,1] ok\n p2 n1 read x -> 7 1 [2,3] ok\n p2 n2 write x 2 -> 8 [4,5] ok\n p3 n2 read x -> 7 1 [6,7] ok\n", VersionedRegister, []string{"writes follow reads"}, []guarantees.Verdict{holds}, AsClaimed, 0, ""},

	{"linearizable writes", "p1 n1 write x 1 [0,1] ok\n p2 n1 cas x 1 2 [2,3] ok\n p3 n2 cas x 1 3 [2,3] ok\n", Register, []string{"linearizable writes"}, []guarantees.Verdict{broken}, NotAsClaimed, 3, "though reads are left out"},
	{"linearizable writes, stale reads", stale, Register, []string{"linearizable writes"}, []guarantees.Verdict{holds}, AsClaimed, 0, ""},

	{"too stale by time", stale, Register, []string{"stale by at most 900ms"}, []guarantees.Verdict{broken}, NotAsClaimed, 3, "though every read may be as stale as that"},
	{"stale by less", stale, Register, []string{"stale by at most 1s"}, []guarantees.Verdict{holds}, AsClaimed, 0, ""},
	{"too stale by versions", twoWrites + "p1 n1 write x 3 [4,5] ok\n p2 n1 read x -> 1 [6,7] ok\n", Register, []string{"stale by at most 1 version", "stale by at most 2 versions"}, []guarantees.Verdict{broken, holds}, NotAsClaimed, 4, "that p1 wrote x = 1"},

	{"a value twice, and a refusal", "p1 n1 write x 1 [0,1] ok\n p2 n1 write x 1 [0,1] ok\n p1 n1 cas x 1 2 [2,3] fail\n", Register, []string{"stale by at most 1 version", "stale by at most 2 versions"}, []guarantees.Verdict{broken, holds}, NotAsClaimed, 3, "though every read may be as stale as that"},

	{"diverged", twoWrites + "p2 n1 read x -> 2 [51,52] ok\n p3 n2 read x -> 1 [51,52] ok\n" + finally, Register, []string{"converges"}, []guarantees.Verdict{broken}, NotAsClaimed, 2,
		"10.000 s after what they differ in, the final reads do not agree: p2 read x = 2"},
	{"agreed on what is older", twoWrites + "p2 n1 read x -> 1 [51,52] ok\n p3 n2 read x -> 1 [51,52] ok\n" + finally, Register, []string{"converges"}, []guarantees.Verdict{holds}, AsClaimed, 0, ""},
	{"what nobody knows may come later", twoWrites + "p4 n1 write x 3 [4,5] info\n p2 n1 read x -> 3 [51,52] ok\n p3 n2 read x -> 2 [51,52] ok\n" + finally, Register, []string{"converges"}, []guarantees.Verdict{holds}, AsClaimed, 0, ""},
	{"diverged in what is new", twoWrites + "p4 n1 write x 3 [44,45] ok\n p2 n1 read x -> 3 [51,52] ok\n p3 n2 read x -> 2 [51,52] ok\n" + finally, Register, []string{"converges", "converges within 5s", "converges within 6s", "converges within 11s"}, []guarantees.Verdict{holds, broken, holds, unjudged}, NotAsClaimed, 2, "5.000 s after what they differ in"},
	{"one node alone", twoWrites + "p2 n1 read x -> 2 [51,52] ok\n p3 n1 read x -> 2 [51,52] ok\n" + finally, Register, []string{"converges"}, []guarantees.Verdict{isUnknown}, Undecided, 0, "no key was read through two nodes"},
	{"no final phase", stale, Register, []string{"converges"}, []guarantees.Verdict{isUnknown}, Undecided, 0, "no final phase"},
	{"sets diverged", "p1 n1 add s 1 [0,1] ok\n p1 n1 add s 2 [2,3] ok\n p2 n1 read-all s -> 2 1 [51,52] ok\n p3 n2 read-all s -> 1 [51,52] ok\n" + finally, Set, []string{"converges"}, []guarantees.Verdict{broken}, NotAsClaimed, 2, "do not agree"},
	{"counters diverged by more than nobody knows", "p1 n1 increment c 9 [0,1] ok\n p4 n1 increment c 1 [0,1] info\n p2 n1 read c -> 10 [51,52] ok\n p3 n2 read c -> 1 [51,52] ok\n" + finally, Counter, []string{"converges"}, []guarantees.Verdict{broken}, NotAsClaimed, 2, "do not agree"},
	{"counters diverged by what nobody knows", "p1 n1 increment c 9 [0,1] ok\n p4 n1 increment c 1 [0,1] info\n p2 n1 read c -> 10 [51,52] ok\n p3 n2 read c -> 9 [51,52] ok\n" + finally, Counter, []string{"converges"}, []guarantees.Verdict{holds}, AsClaimed, 0, ""},
	{"counters agree", "p1 n1 increment c 1 [0,1] ok\n p2 n1 read c -> 1 [51,52] ok\n p3 n2 read c -> 1 [51,52] ok\n" + finally, Counter, []string{"converges", "monotonic reads"}, []guarantees.Verdict{holds, unjudged}, AsClaimed, 0, "only registers"},

	{"not of locks", "p1 n1 acquire l [0,1] ok\n p1 n1 release l [2,3] ok\n", Lock, []string{"monotonic reads", "converges"}, []guarantees.Verdict{unjudged, unjudged}, Undecided, 0, "only registers"},
	{"but for linearizability", "p1 n1 acquire l [0,1] ok\n p1 n1 release l [2,3] ok\n", Lock, []string{"monotonic reads", "linearizable"}, []guarantees.Verdict{unjudged, holds}, AsClaimed, 0, "only registers"},
	{"a phantom is admitted by none", "p1 n1 read x -> 7 [0,1] ok\n p1 n1 read x -> 7 [2,3] ok\n", Register, []string{"monotonic reads"}, []guarantees.Verdict{isUnknown}, NotAsClaimed, 0, ""},
	{"no guarantee", stale, Register, []string{"monotonous reads"}, []guarantees.Verdict{isUnknown}, Undecided, 0, "there are: linearizable"},
}

// Each guarantee has a planted violation, a history that is not linearizable but keeps it,
// and what decides neither.
func TestGuarantees(t *testing.T) {
	for _, test := range guaranteeCases {
		run := script.Parse(t, test.history)
		run.Manifest.Claim.Guarantees = test.claim
		result := Check(t.Context(), run, test.model, Options{})
		var verdicts []guarantees.Verdict
		var reasons string
		first := anomaly.Violation{}
		for _, g := range result.Guarantees {
			verdicts = append(verdicts, g.Verdict)
			reasons += g.Reason + "\n"
			if v := g.Violation; v != nil && first.Sentence == "" {
				first = *v
				reasons = v.Sentence
			}
			if (g.Verdict == isUnknown || g.Verdict == unjudged) != (g.Reason != "") && g.Guarantee != "linearizable" {
				t.Errorf("%s: %+v", test.name, g)
			}
		}
		if !slices.Equal(verdicts, test.verdicts) || result.AsClaimed != test.want {
			t.Errorf("%s: %v, %s; want %v, %s\n%s", test.name, verdicts, result.AsClaimed, test.verdicts, test.want, reasons)
		}
		if len(first.Witness) != test.witness || !strings.Contains(reasons, test.says) {
			t.Errorf("%s: a witness of %d, want %d\n%s\nwant %s", test.name, len(first.Witness), test.witness, reasons, test.says)
		}
	}
}

// What is admitted by name stays so, and what is not is none of the guarantees' business.
func TestGuaranteesBesideAnomalies(t *testing.T) {
	const lost = "p1 n1 write x 1 [0,1] ok\n p1 n1 read x -> 1 [2,3] ok\n p1 n1 write x 2 [4,5] ok\n p2 n1 read x -> 1 [51,52] ok\n p3 n2 read x -> 1 [51,52] ok\n recovery at 40\n final at 50\n done at 60\n"
	for _, test := range []struct {
		expect, claim []string
		want          Conformance
	}{
		{nil, nil, NotAsClaimed},
		{[]string{"lost commit"}, nil, AsClaimed},
		{nil, []string{"converges"}, AsClaimed},
		{[]string{"lost commit"}, []string{"converges"}, AsClaimed},
		{[]string{"stale read"}, []string{"converges"}, NotAsClaimed},
		{[]string{"lost commit"}, []string{"linearizable writes", "monotonic reads"}, Undecided}, // no process reads twice
		{[]string{"lost commit"}, []string{"stale by at most 10s"}, NotAsClaimed},
	} {
		run := script.Parse(t, lost)
		run.Manifest.Claim = history.Claim{Expect: test.expect, Guarantees: test.claim}
		if got := Check(t.Context(), run, Register, Options{}); got.AsClaimed != test.want {
			t.Errorf("expects %q, guarantees %q: %s, %+v, %+v", test.expect, test.claim, got.AsClaimed, got.Guarantees, got.Violations)
		}
	}
}

// The broken guarantees are told first, whatever else is wrong.
func TestGuaranteesForemost(t *testing.T) {
	run := script.Parse(t, "p1 n1 write x 1 [0,1] ok\n p1 n1 read x [2,3] ok\n")
	run.Manifest.Claim.Guarantees = []string{"read your writes"}
	result := Check(t.Context(), run, Register, Options{})
	told := result.Foremost(run.Manifest.Claim)
	if len(told) != 2 || told[0].Anomaly != "broken: read your writes" || told[1].Anomaly != anomaly.StaleRead {
		t.Errorf("%+v", told)
	}
}

// A check that has no time left knows nothing.
func TestGuaranteesWithoutTime(t *testing.T) {
	var text strings.Builder
	for i := range 50 {
		fmt.Fprintf(&text, "p1 n1 write x %d [%d,%d] ok\n p2 n1 read x -> %d [%d,%d] ok\n", i+1, 4*i, 4*i+1, max(i-3, 1), 4*i+2, 4*i+3)
	}
	run := script.Parse(t, text.String())
	run.Manifest.Claim.Guarantees = []string{"sequential", "monotonic reads"}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	for _, g := range Check(ctx, run, Register, Options{}).Guarantees {
		if g.Verdict != guarantees.Unknown || g.Reason == "" {
			t.Errorf("%+v", g)
		}
	}
}

// Of a composed model, the guarantees are those of the one that can tell, wherever it
// stands, and a function says nothing of linearizability.
func TestGuaranteesOfComposed(t *testing.T) {
	function := ModelFunc("function", func(context.Context, *history.Run) ([]anomaly.Violation, error) { return nil, nil })
	for _, test := range []struct {
		model    Model
		verdicts []guarantees.Verdict
		want     Conformance
	}{
		{function, []guarantees.Verdict{unjudged, unjudged}, Undecided},
		{Compose(function, Register), []guarantees.Verdict{broken, holds}, NotAsClaimed},
		{Compose(function, Compose(function, Register)), []guarantees.Verdict{broken, holds}, NotAsClaimed},
		{Compose(Register, function), []guarantees.Verdict{broken, holds}, NotAsClaimed},
	} {
		run := script.Parse(t, stale)
		run.Manifest.Claim.Guarantees = []string{"linearizable", "monotonic reads"}
		result := Check(t.Context(), run, test.model, Options{})
		var verdicts []guarantees.Verdict
		for _, g := range result.Guarantees {
			verdicts = append(verdicts, g.Verdict)
		}
		if !slices.Equal(verdicts, test.verdicts) || result.AsClaimed != test.want {
			t.Errorf("%v: %+v, %s; want %v, %s", test.model, result.Guarantees, result.AsClaimed, test.verdicts, test.want)
		}
	}
}

// What a manifest says of a built-in kind does not change what a built-in model means by it.
func TestConvergesWhateverKindsSay(t *testing.T) {
	run := script.Parse(t, twoWrites+"p2 n1 read x -> 2 [51,52] ok\n p3 n2 read x -> 1 [51,52] ok\n"+finally)
	run.Manifest.Claim.Guarantees = []string{"converges"}
	run.Manifest.Kinds = history.Kinds{history.Read: {Updates: true}, history.Write: {Reads: true}}
	if got := Check(t.Context(), run, Register, Options{}).Guarantees[0]; got.Verdict != broken {
		t.Errorf("%+v", got)
	}
}
