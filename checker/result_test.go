package checker

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/script"
)

func TestAnomaliesBySide(t *testing.T) {
	run := script.Parse(t, `
		p1 n2 write x 1 [1,2] ok
		p1 n2 write x 2 [11,12] ok
		p2 n1 write x 3 [13,14] ok
		p2 n1 read x -> 1 [15,16] ok
		p3 n3 read x -> 1 [17,18] ok
		p3 n3 read x -> 1 [21,22] ok
		p1 n2 read x -> 2 [31,32] ok
		final at 30
		partition n1 from 10 to 20`)
	result := Check(t.Context(), run, Register, Options{})
	want := []counts.Sides{{StaleReads: 1}, {StaleReads: 1, LostCommits: 1}}
	if diff := cmp.Diff(want, []counts.Sides{result.Majority, result.Minority}); diff != "" {
		t.Errorf("%s\n%v stale, %v lost", diff, result.StaleReads, result.LostCommits)
	}
	set := script.Parse(t, `
		p1 n2 add s 1 [1,2] ok
		p2 n1 add s 2 [11,12] ok
		p3 n2 read-all s -> 2 [13,14] ok
		p3 n2 read-all s -> 1 [31,32] ok
		final at 30
		partition n1 from 10 to 20`)
	result = Check(t.Context(), set, Set, Options{})
	want = []counts.Sides{{StaleReads: 1}, {LostCommits: 1}}
	if diff := cmp.Diff(want, []counts.Sides{result.Majority, result.Minority}); diff != "" {
		t.Errorf("set: %s", diff)
	}
}

// The elements of two sets are lost once each.
func TestLostOfTwoSets(t *testing.T) {
	result := Check(t.Context(), script.Parse(t, `
		p1 n1 add a 1 [1,2] ok
		p1 n1 add b 1 [3,4] ok
		p2 n2 read-all a [31,32] ok
		p2 n2 read-all b [33,34] ok
		final at 30`), Set, Options{})
	if want := (counts.Bounds{Certain: 2, Possible: 2}); result.LostCommits != want {
		t.Errorf("%v lost, want %v", result.LostCommits, want)
	}
}

func TestForemostLosses(t *testing.T) {
	var all []counts.Loss
	for i := range 3 * maxLosses {
		all = append(all, counts.Loss{At: time.Duration(3*maxLosses - i), Certain: i%6 == 0})
	}
	got := foremostLosses(all)
	certain := 0
	for _, loss := range got {
		if loss.Certain {
			certain++
		}
	}
	if len(got) != maxLosses || certain != maxLosses/2 || !slices.IsSortedFunc(got, func(a, b counts.Loss) int { return int(a.At - b.At) }) {
		t.Errorf("%d losses, %d certain: %v", len(got), certain, got)
	}
}
