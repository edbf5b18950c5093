package checker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/script"
)

func TestStaleness(t *testing.T) {
	second := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for _, test := range []struct {
		name        string
		history     string
		stale, lost counts.Bounds
		want        *counts.Staleness
		losses      []counts.Loss
	}{
		{
			name: "a read of what was written with unknown outcome, perhaps before, perhaps after",
			history: `p1 n1 write x 1 [0,1] info
			          p2 n2 write x 2 [2,3] ok
			          p3 n3 read x -> 1 [21,22] ok
			          final at 20`,
			stale: counts.Bounds{Certain: 0, Possible: 1}, lost: counts.Bounds{Certain: 0, Possible: 1},
			losses: []counts.Loss{{Key: "x", Value: 2, Process: 2, Node: "n2", At: second(3), Certain: false}},
		},
		{
			name: "it was seen before",
			history: `p1 n1 write x 1 [0,1] info
			          p3 n3 read x -> 1 [1,1.5] ok
			          p2 n2 write x 2 [2,3] ok
			          p3 n3 read x -> 1 [21,22] ok
			          final at 20`,
			stale: counts.Bounds{Certain: 1, Possible: 1}, lost: counts.Bounds{Certain: 1, Possible: 1},
			want: &counts.Staleness{
				Reads: 1, AgeP50: second(18), AgeP99: second(18), AgeMax: second(18), Ages: []int{15: 1},
				VersionsP50: 1, VersionsP99: 1, VersionsMax: 1, Versions: []int{1},
			},
			losses: []counts.Loss{{Key: "x", Value: 2, Process: 2, Node: "n2", At: second(3), Certain: true}},
		},
		{
			name: "it had been replaced",
			history: `p1 n1 write x 1 [0,1] info
			          p2 n2 cas x 1 2 [2,3] ok
			          p3 n3 read x -> 1 [3.0005,4] ok`,
			stale: counts.Bounds{Certain: 1, Possible: 1},
			want: &counts.Staleness{
				Reads: 1, AgeP50: second(0.0005), AgeP99: second(0.0005), AgeMax: second(0.0005), Ages: []int{1},
				VersionsP50: 1, VersionsP99: 1, VersionsMax: 1, Versions: []int{1},
			},
		},
		{
			name: "an unknown write that nobody saw was promised to nobody",
			history: `p1 n1 write x 1 [0,1] ok
			          p2 n2 write x 2 [2,3] info
			          p3 n3 read x -> 1 [21,22] ok
			          final at 20`,
		},
		{
			name: "several versions behind",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 2 [2,3] ok
			          p1 n1 cas x 2 3 [4,5] ok
			          p2 n1 write x 4 [4,9] ok
			          p1 n1 write x 5 [6,7] ok
			          p3 n3 read x -> 2 [8,9] ok
			          p3 n3 read x [10,11] ok`,
			stale: counts.Bounds{Certain: 2, Possible: 2},
			want: &counts.Staleness{
				Reads: 2, AgeP50: second(3), AgeP99: second(9), AgeMax: second(9), Ages: []int{12: 1, 14: 1},
				VersionsP50: 2, VersionsP99: 5, VersionsMax: 5, Versions: []int{1: 1, 2: 1},
			},
		},
		{
			name: "several keys",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write y 1 [2,3] ok
			          p2 n2 read x [2,3] ok
			          p2 n2 read y [5,6] ok`,
			stale: counts.Bounds{Certain: 2, Possible: 2},
			want: &counts.Staleness{
				Reads: 2, AgeP50: second(1), AgeP99: second(2), AgeMax: second(2), Ages: []int{10: 1, 11: 1},
				VersionsP50: 1, VersionsP99: 1, VersionsMax: 1, Versions: []int{2},
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := Check(t.Context(), script.Parse(t, test.history), Register, Options{})
			if result.StaleReads != test.stale || result.LostCommits != test.lost {
				t.Errorf("stale %s, lost %s; want %s and %s", result.StaleReads, result.LostCommits, test.stale, test.lost)
			}
			if diff := cmp.Diff(test.want, result.Staleness); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.losses, result.Lost); diff != "" {
				t.Error(diff)
			}
		})
	}
}
