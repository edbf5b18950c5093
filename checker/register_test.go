package checker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/checker/internal/simulate"
	"github.com/rashomon-io/rashomon/harness/history"
)

func TestCheckRegister(t *testing.T) {
	for _, test := range []struct {
		name    string
		history string
		verdict Verdict
		anomaly anomaly.Name // of the first violation
		witness []string     // its operations, in short
		says    string       // its sentence
		stale   int
		lost    int
		// So many more may be.
		staleMore, lostMore int
		further             int // violations after the first
	}{
		{name: "nothing happened", verdict: Valid},
		{
			name: "one after the other",
			history: `p1 n1 read x [0,1] ok
			          p1 n1 write x 1 [2,3] ok
			          p2 n2 read x -> 1 [4,5] ok
			          p1 n1 cas x 1 2 [6,7] ok
			          p2 n2 read x -> 2 [8,9] ok`,
			verdict: Valid,
		},
		{
			name: "intervals are closed",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 2 [2,3] ok
			          p2 n2 read x -> 1 [3,4] ok`,
			verdict: Valid,
		},
		{
			name: "stale read",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 2 [2,3] ok
			          p2 n2 read x -> 2 [3,4] ok
			          p3 n3 read x -> 1 [5,6] ok
			          partition n3 from 2 to 9`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1,
			witness: []string{"write 1", "write 2", "read -> 1"},
			says:    "p3 read x = 1 through n3 at 5.000 s, 2.000 s after x = 2 had been acknowledged to p1 through n1; n3 had been cut off from n1 n2 since 2.000 s.",
		},
		{
			name: "stale nothing",
			history: `p1 n1 write x 1 [0,1] ok
			          p2 n2 read x [2,3] ok
			          partition n3 from 5 to 9`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1,
			witness: []string{"write 1", "read"},
			says:    "p2 found no x through n2 at 2.000 s, 1.000 s after x = 1 had been acknowledged to p1 through n1; no fault was in force.",
		},
		{
			name: "a failed compare-and-set saw something stale",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 2 [2,3] ok
			          p2 n2 cas x 7 8 -> 1 [4,5] fail`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1,
			witness: []string{"write 1", "write 2", "cas 7 8 -> 1"},
			says:    "a failed compare-and-set of p2 through n2 saw x = 1 at 4.000 s, 1.000 s after x = 2 had been acknowledged to p1 through n1.",
		},
		{
			name: "a stale read behind a chain of swaps",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 cas x 1 2 [2,3] ok
			          p1 n1 cas x 2 3 [4,5] ok
			          p2 n2 read x -> 2 [6,7] ok`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1,
			witness: []string{"write 1", "cas 1 2", "cas 2 3", "read -> 2"},
		},
		{
			name: "failed and unrecorded operations say nothing",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 2 [2,3] fail
			          p2 n2 cas x 5 6 [4,5] fail
			          p3 n3 read x -> 9 [4,5] info
			          p4 n3 read x -> 9 [4,5] fail
			          p2 n2 read x -> 1 [6,7] ok`,
			verdict: Valid,
		},
		{
			name: "an unknown write may come late, and only once",
			history: `p1 n1 write x 1 [0,1] ok
			          p2 n2 write x 2 [0,1] info
			          p3 n3 write x 3 [0,1] info
			          p1 n1 read x -> 1 [2,3] ok
			          p1 n1 read x -> 2 [4,5] ok`,
			verdict: Valid,
		},
		{
			name: "an unknown swap may have happened or not",
			history: `p1 n1 write x 1 [0,1] ok
			          p2 n2 cas x 1 2 [0,1] info
			          p3 n3 cas x 2 3 [0,1] info
			          p4 n3 cas x 9 10 [0,1] info
			          p1 n1 read x -> 3 [4,5] ok`,
			verdict: Valid,
		},
		{
			name: "final reads show an older value",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 2 [2,3] ok
			          p2 n2 read x -> 2 [4,5] ok
			          p1 n1 read x -> 1 [21,22] ok
			          p2 n2 read x -> 1 [22,23] ok
			          partition n1 from 1 to 9
			          final at 20`,
			verdict: Invalid, anomaly: anomaly.LostCommit, stale: 2, lost: 1,
			witness: []string{"write 1", "write 2", "read -> 1"},
			says:    "x = 2 had been acknowledged to p1 through n1 at 3.000 s, yet p1 read x = 1 through n1 at 21.000 s: a commit is lost; n1 had been cut off from n2 n3 from 1.000 s to 9.000 s.",
		},
		{
			name: "a read that misses what is read again is stale, though that is lost in the end",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 2 [2,3] ok
			          p2 n2 read x -> 1 [4,5] ok
			          p1 n1 read x -> 2 [6,7] ok
			          p1 n1 read x -> 1 [21,22] ok
			          final at 20`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 2, lost: 1, further: 1,
			witness: []string{"write 1", "write 2", "read -> 1"},
			says:    "p2 read x = 1 through n2 at 4.000 s, 1.000 s after x = 2 had been acknowledged to p1 through n1; no fault was in force.",
		},
		{
			name: "final reads show an older value, whose write is of unknown outcome",
			history: `p1 n1 write x 1 [0,1] info
			          p2 n2 read x -> 1 [1,2] ok
			          p3 n3 write x 2 [3,4] ok
			          p2 n2 read x -> 1 [21,22] ok
			          final at 20`,
			verdict: Invalid, anomaly: anomaly.LostCommit, stale: 1, lost: 1,
			witness: []string{"write 1", "read -> 1", "write 2", "read -> 1"},
			says:    "x = 2 had been acknowledged to p3 through n3 at 4.000 s, yet p2 read x = 1 through n2 at 21.000 s: a commit is lost; no fault was in force.",
		},
		{
			name: "one of the final reads shows the newer value",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 2 [2,3] ok
			          p1 n1 read x -> 1 [21,22] ok
			          p2 n2 read x -> 2 [22,23] ok
			          final at 20`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1, lost: 0,
			witness: []string{"write 1", "write 2", "read -> 1"},
		},
		{
			name: "a final read is of nothing ever written",
			history: `p1 n1 write x 2 [2,3] ok
			          p1 n1 read x -> 9 [21,22] ok
			          final at 20`,
			verdict: Invalid, anomaly: anomaly.PhantomRead, lost: 0,
			witness: []string{"read -> 9"},
		},
		{
			name: "a swap of an older value",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 2 [2,3] ok
			          p2 n2 cas x 1 5 [4,5] ok`,
			verdict: Invalid, anomaly: anomaly.LostCommit, lost: 1,
			witness: []string{"write 1", "write 2", "cas 1 5"},
			says:    "x = 2 had been acknowledged to p1 through n1 at 3.000 s, yet p2 swapped x from 1 to 5 through n2 at 4.000 s: a commit is lost.",
		},
		{
			name: "overwritten is not lost",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 cas x 1 2 [2,3] ok
			          p1 n1 write x 3 [4,5] ok
			          p2 n2 read x -> 3 [21,22] ok
			          final at 20`,
			verdict: Valid,
		},
		{
			name:    "phantom: never written",
			history: `p1 n1 read x -> 7 [0,1] ok`,
			verdict: Invalid, anomaly: anomaly.PhantomRead,
			witness: []string{"read -> 7"},
			says:    "p1 read x = 7 through n1 at 1.000 s, but nobody ever wrote 7.",
		},
		{
			name: "phantom: the write failed",
			history: `p1 n1 write x 7 [0,1] fail
			          p2 n2 read x -> 7 [2,3] ok`,
			verdict: Invalid, anomaly: anomaly.PhantomRead,
			witness: []string{"read -> 7"},
			says:    "p2 read x = 7 through n2 at 3.000 s, but p1's write of x = 7 through n1 had failed at 1.000 s.",
		},
		{
			name: "phantom: the write failed, but not yet",
			history: `p2 n2 read x -> 7 [2,3] ok
			          p1 n1 write x 7 [2,4] fail`,
			verdict: Invalid, anomaly: anomaly.PhantomRead,
			witness: []string{"read -> 7"},
			says:    "p2 read x = 7 through n2 at 3.000 s, but p1's write of x = 7 through n1 failed at 4.000 s.",
		},
		{
			name:    "phantom: the write failed with an error",
			history: "p1 n1 write x 7 [0,1] fail leadership \x1b[31m\"lost\" " + strings.Repeat("é", 500) + "\np2 n2 read x -> 7 [2,3] ok",
			verdict: Invalid, anomaly: anomaly.PhantomRead,
			witness: []string{"read -> 7"},
			says: `p2 read x = 7 through n2 at 3.000 s, but p1's write of x = 7 through n1 had failed at 1.000 s ("leadership \x1b[31m\"lost\" ` +
				strings.Repeat("é", (sentence.QuoteBytes-len("leadership \x1b[31m\"lost\" "))/2) + `", which its client called definite).`,
		},
		{
			name: "phantom: a later write failed",
			history: `p2 n2 read x -> 7 [2,3] ok
			          p1 n1 write x 7 [4,5] fail`,
			verdict: Invalid, anomaly: anomaly.PhantomRead,
			witness: []string{"read -> 7"},
			says:    "p2 read x = 7 through n2 at 3.000 s, but nobody ever wrote 7.",
		},
		{
			name: "phantom: read before it was written",
			history: `p2 n2 read x -> 7 [0,1] ok
			          p1 n1 write x 7 [3,4] ok`,
			verdict: Invalid, anomaly: anomaly.PhantomRead,
			witness: []string{"read -> 7", "write 7"},
			says:    "p2 read x = 7 through n2 at 1.000 s, 2.000 s before p1's write of x = 7 through n1 was invoked.",
		},
		{
			name: "double swap",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 cas x 1 2 [2,6] ok
			          p2 n2 cas x 1 3 [3,5] ok`,
			verdict: Invalid, anomaly: anomaly.DoubleSwap,
			witness: []string{"write 1", "cas 1 2", "cas 1 3"},
			says:    "p1 swapped x from 1 to 2 through n1 (invoked at 2.000 s, answered at 6.000 s) and p2 swapped x from 1 to 3 through n2 (invoked at 3.000 s, answered at 5.000 s): both replaced the one 1.",
		},
		{
			name: "double swap to one value",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 cas x 1 2 [2,6] ok
			          p2 n2 cas x 1 2 [7,8] ok
			          p3 n3 read x -> 2 [9,10] ok`,
			verdict: Invalid, anomaly: anomaly.DoubleSwap, lost: 1,
			witness: []string{"write 1", "cas 1 2", "cas 1 2"},
		},
		{
			name: "double swap, one unknown but seen",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 cas x 1 2 [2,6] info
			          p2 n2 cas x 1 3 [3,5] ok
			          p3 n3 read x -> 2 [4,7] ok`,
			verdict: Invalid, anomaly: anomaly.DoubleSwap,
			witness: []string{"write 1", "cas 1 2", "cas 1 3", "read -> 2"},
		},
		{
			name: "two writes, and a reader who sees the old again",
			history: `p1 n1 write x 1 [0,20] ok
			          p2 n2 write x 2 [0,20] ok
			          p3 n3 read x -> 1 [1,2] ok
			          p3 n3 read x -> 2 [3,4] ok
			          p3 n3 read x -> 1 [5,6] ok`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1,
			witness: []string{"write 1", "write 2", "read -> 1", "read -> 2", "read -> 1"},
			says:    "p3 read x = 1 through n3 at 6.000 s, after p3 read x = 2 through n3 at 4.000 s, and before that p3 read x = 1 through n3 at 2.000 s: an overwritten value came back.",
		},
		{
			name: "an overwritten value came back, and a write of its chain is unknown",
			history: `p1 n1 write x 1 [0,20] ok
			          p2 n2 cas x 1 2 [1,2] ok
			          p3 n3 write x 9 [4,5] ok
			          p4 n1 cas x 2 3 [3,6] info
			          p2 n2 cas x 3 4 [9,10] ok
			          partition n3 from 4 to 6`,
			verdict: Invalid, anomaly: anomaly.Resurrected, lostMore: 1,
			witness: []string{"write 1", "cas 1 2", "cas 2 3", "write 9", "cas 3 4"},
			says:    "p2 swapped x from 3 to 4 through n2 at 10.000 s, after p3 wrote x = 9 through n3 at 5.000 s, and before that p2 swapped x from 1 to 2 through n2 at 2.000 s: an overwritten value came back; n3 had been cut off from n1 n2 from 4.000 s to 6.000 s.",
		},
		{
			name: "a commit is lost to a value that was seen before its write was acknowledged",
			history: `p1 n1 write x 1 [0,20] ok
			          p2 n2 read x -> 1 [1,2] ok
			          p3 n3 write x 2 [3,4] ok
			          p2 n2 cas x 1 5 [6,7] ok`,
			verdict: Invalid, anomaly: anomaly.LostCommit, lost: 1,
			witness: []string{"write 1", "read -> 1", "write 2", "cas 1 5"},
			says:    "x = 2 had been acknowledged to p3 through n3 at 4.000 s, yet p2 swapped x from 1 to 5 through n2 at 6.000 s: a commit is lost.",
		},
		{
			name: "a stale read of a value that was seen before its write was acknowledged",
			history: `p1 n1 write x 1 [0,1] info
			          p2 n2 read x -> 1 [1,2] ok
			          p3 n3 write x 2 [3,4] ok
			          p2 n2 read x -> 1 [6,7] ok`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1,
			witness: []string{"write 1", "read -> 1", "write 2", "read -> 1"},
			says:    "p2 read x = 1 through n2 at 6.000 s, 2.000 s after x = 2 had been acknowledged to p3 through n3.",
		},
		{
			name: "nothing came back",
			history: `p1 n1 write x 1 [0,1] info
			          p3 n3 read x -> 1 [2,3] ok
			          p3 n3 read x [4,5] ok`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1,
			witness: []string{"write 1", "read -> 1", "read"},
			says:    "p3 found no x through n3 at 5.000 s, after p3 read x = 1 through n3 at 3.000 s: an overwritten value came back.",
		},
		{
			name: "two readers disagree",
			history: `p1 n1 write x 1 [0,20] ok
			          p2 n2 write x 2 [0,20] ok
			          p3 n3 read x -> 1 [1,3] ok
			          p4 n3 read x -> 2 [1,2] ok
			          p3 n3 read x -> 1 [4,6] ok
			          p4 n3 read x -> 2 [4,7] ok`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1,
			witness: []string{"write 1", "write 2", "read -> 2", "read -> 1", "read -> 1", "read -> 2"},
		},
		{
			name: "disorder: a cycle of swaps",
			history: `p1 n1 cas x 1 2 [0,9] ok
			          p2 n2 cas x 2 1 [0,9] ok`,
			verdict: Invalid, anomaly: anomaly.Disorder,
			witness: []string{"cas 1 2", "cas 2 1"},
			says:    "no order explains that p1 swapped x from 1 to 2 through n1 (invoked at 0.000 s, answered at 9.000 s), that p2 swapped x from 2 to 1 through n2 (invoked at 0.000 s, answered at 9.000 s).",
		},
		{
			name: "refused although the value was there",
			history: `p1 n1 write x 1 [0,1] ok
			          p4 n1 write x 7 [0,1] info
			          p2 n2 cas x 1 2 [4,5] fail
			          p3 n3 read x -> 1 [6,7] ok`,
			verdict: Invalid, anomaly: anomaly.Disorder,
			witness: []string{"write 1", "cas 1 2", "read -> 1"},
			says:    "a compare-and-set of p2 through n2 found that x was not 1 at 5.000 s, after p1 wrote x = 1 through n1 at 1.000 s, and after that p3 read x = 1 through n3 at 7.000 s: the value was there.",
		},
		{
			name: "refused although nothing had replaced the value",
			history: `p1 n1 write x 7 [0,1] ok
			          p1 n1 write x 1 [2,3] ok
			          p2 n2 cas x 1 2 [4,5] fail
			          p3 n3 write x 8 [6,7] info`,
			verdict: Invalid, anomaly: anomaly.Disorder,
			witness: []string{"write 1", "cas 1 2"},
			says:    "a compare-and-set of p2 through n2 found that x was not 1 at 5.000 s, after p1 wrote x = 1 through n1 at 3.000 s: nothing can have been written in between.",
		},
		{
			name: "refused between the swaps of a chain",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 cas x 1 2 [2,3] ok
			          p2 n2 cas x 2 9 [4,5] fail
			          p1 n1 cas x 2 3 [6,7] ok`,
			verdict: Invalid, anomaly: anomaly.Disorder,
			witness: []string{"write 1", "cas 1 2", "cas 2 9"},
		},
		{
			name: "refused as an unknown write or swap may have come between",
			history: `p1 n1 write x 1 [0,1] ok
			          p3 n3 write x 2 [0,1] info
			          p2 n2 cas x 1 5 [4,5] fail
			          p1 n1 write y 1 [0,1] ok
			          p4 n3 cas y 1 2 [0,1] info
			          p2 n2 cas y 1 5 [6,7] fail`,
			verdict: Valid,
		},
		{
			name: "refused at the last moment",
			history: `p1 n1 write x 1 [0,4] ok
			          p1 n1 write x 2 [5,9] ok
			          p2 n2 cas x 1 9 [1,4] fail
			          p3 n2 cas x 1 9 [4.5,5] fail
			          p4 n2 read x -> 1 [4,4] ok`,
			verdict: Valid,
		},
		{
			name: "refused with an error says nothing",
			history: `p1 n1 write x 1 [0,1] ok
			          p2 n2 cas x 1 2 [4,5] fail refused
			          p3 n3 read x -> 1 [6,7] ok`,
			verdict: Valid,
		},
		{
			name: "a swap of a value for itself is a read",
			history: `p1 n1 write x 1 [0,1] ok
			          p2 n2 cas x 1 1 [2,3] ok
			          p2 n2 cas x 1 1 [2,3] info
			          p1 n1 write x 2 [4,5] ok
			          p3 n3 cas x 1 1 [6,7] ok`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1,
			witness: []string{"write 1", "write 2", "cas 1 1"},
		},
		{
			name: "values written twice",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 2 [2,3] ok
			          p1 n1 write x 1 [4,5] ok
			          p2 n2 read x -> 1 [6,7] ok`,
			verdict: Valid, staleMore: 1,
		},
		{
			name: "values written twice, still stale",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 1 [2,3] ok
			          p1 n1 write x 2 [4,5] ok
			          p2 n2 read x -> 1 [6,7] ok`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1,
			witness: []string{"write 1", "write 2", "read -> 1"},
		},
		{
			name: "values written twice, for a search",
			history: `p1 n1 write x 1 [0,1] ok
			          p2 n1 write x 2 [2,9] ok
			          p3 n1 write x 1 [2,3] ok
			          p1 n1 read x -> 2 [4,5] ok
			          p2 n2 read x -> 1 [6,7] ok`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1,
			witness: []string{"write 1", "write 2", "read -> 2", "read -> 1"},
		},
		{
			name: "values written twice, swapped twice",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 2 [2,3] ok
			          p1 n1 write x 1 [4,5] ok
			          p2 n2 cas x 1 2 [6,8] ok
			          p3 n3 cas x 1 3 [7,9] ok`,
			verdict: Invalid, anomaly: anomaly.DoubleSwap, lostMore: 1,
			witness: []string{"write 1", "cas 1 2", "cas 1 3"},
		},
		{
			name: "values written twice, refused although nothing had replaced one",
			history: `p1 n1 write x 1 [0,1] ok
			          p1 n1 write x 2 [2,3] ok
			          p1 n1 write x 1 [4,5] ok
			          p2 n2 cas x 1 2 [6,7] fail`,
			verdict: Invalid, anomaly: anomaly.Disorder,
			witness: []string{"write 1", "cas 1 2"},
		},
		{
			name: "values written twice, two unknown for three that saw them",
			history: `p1 n1 write x 1 [0,1] info
			          p2 n1 write x 1 [0,1] info
			          p3 n1 write x 2 [2,3] ok
			          p4 n1 read x -> 1 [4,5] ok
			          p5 n1 write x 2 [6,7] ok
			          p4 n1 read x -> 1 [8,9] ok
			          p5 n1 write x 2 [10,11] ok
			          p6 n2 read x -> 1 [12,13] ok`,
			verdict: Invalid, anomaly: anomaly.StaleRead, stale: 1, staleMore: 2,
			witness: []string{"write 1", "write 1", "read -> 1", "write 2", "read -> 1", "write 2", "read -> 1"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := script.Parse(t, test.history)
			result := Check(t.Context(), run, Register, Options{})
			if result.Verdict != test.verdict || result.StaleReads != (counts.Bounds{Certain: test.stale, Possible: test.stale + test.staleMore}) || result.LostCommits != (counts.Bounds{Certain: test.lost, Possible: test.lost + test.lostMore}) {
				t.Errorf("%s, %s stale, %s lost; want %s, %d stale, %d lost", result.Verdict, result.StaleReads, result.LostCommits, test.verdict, test.stale, test.lost)
			}
			if test.verdict != Invalid {
				if len(result.Violations) > 0 || result.FirstViolation != 0 {
					t.Errorf("violations %v", result.Violations)
				}
				return
			}
			if len(result.Violations) == 0 {
				t.Fatal("no violation")
			}
			v := result.Violations[0]
			var witness []string
			for _, o := range v.Witness {
				witness = append(witness, script.Brief(o))
			}
			if diff := cmp.Diff(test.witness, witness); diff != "" || v.Anomaly != test.anomaly {
				t.Errorf("%s (want %s)\n%s", v.Anomaly, test.anomaly, diff)
			}
			if test.says != "" && v.Sentence != test.says {
				t.Errorf("it says\n%s\nwant\n%s", v.Sentence, test.says)
			}
			if simulate.Linearizable(v.Witness) {
				t.Error("Porcupine finds the witness linearizable")
			}
			if result.FirstViolation <= 0 || result.FirstViolation > v.At() {
				t.Errorf("first violation at %s, this one at %s", result.FirstViolation, v.At())
			}
			if len(result.Violations) != 1+test.further {
				t.Errorf("%d violations, want %d", len(result.Violations), 1+test.further)
			}
		})
	}
}

func TestEngines(t *testing.T) {
	const once = "p1 n1 write x 1 [0,1] ok\n p1 n1 read x -> 1 [2,3] ok\n"
	const stale = once + "p1 n1 write x 2 [4,5] ok\n p1 n1 read x -> 1 [6,7] ok"
	const twice = once + "p1 n1 write x 1 [4,5] ok\n"
	const open = `p1 n1 write x 1 [0,3] ok
	              p2 n2 write x 2 [0,3] ok
	              p3 n3 cas x 1 7 [4,5] fail
	              p4 n3 cas x 2 7 [4,5] fail`
	for _, test := range []struct {
		name    string
		history string
		asked   Engine
		verdict Verdict
		by      Engine
		why     string
		reason  string
	}{
		{"zones by itself", once, "", Valid, Zones, "no value is written twice", ""},
		{"zones finds a violation", stale, "", Invalid, Zones, "no value is written twice", ""},
		{"zones asked for", once, Zones, Valid, Zones, "it was asked for", ""},
		{"Porcupine asked for", once, Porcupine, Valid, Porcupine, "it was asked for", ""},
		{"search asked for", once, Search, Valid, Search, "it was asked for", ""},
		{"search asked for a violation", stale, Search, Invalid, Search, "it was asked for", ""},
		{"Porcupine asked for a violation", stale, Porcupine, Invalid, Porcupine, "it was asked for", ""},
		{"beyond zones by itself", twice, "", Valid, Search, "a value is written twice", ""},
		{"beyond zones, asked for", twice, Zones, Unknown, Zones, "it was asked for",
			`key "x": the value 1 is written twice, again by p1 at 4.000 s, which zones cannot decide; leave the choice of the engine to the check`},
		{"no place found by itself", open, "", Invalid, Search, "a compare-and-set failed without telling what it saw, and no place for it is obvious", ""},
		{"no place found, asked for", open, Zones, Unknown, Zones, "it was asked for",
			`key "x": zones finds no place for the failed compare-and-set of p4 at 4.000 s, and no proof that there is none; leave the choice of the engine to the check`},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := Check(t.Context(), script.Parse(t, test.history), Register, Options{Engine: test.asked})
			want := []Decision{{test.by, test.why, []string{"x"}}}
			if diff := cmp.Diff(want, result.Decisions); diff != "" || result.Verdict != test.verdict || result.Reason != test.reason {
				t.Errorf("%s: %s\n%s", result.Verdict, result.Reason, diff)
			}
		})
	}
}

// Witnesses stay small however long a chain of swaps is.
func TestLongChain(t *testing.T) {
	operations := []history.Operation{{Kind: history.Write, Input: history.Ints(1), Invoke: 1, Complete: 2, Outcome: history.OK}}
	const last = 100_000
	for i := int64(2); i <= last; i++ {
		operations = append(operations, history.Operation{Kind: history.CompareAndSet, Input: history.Ints(i-1, i), Invoke: time.Duration(10 * i), Complete: time.Duration(10*i + 1), Outcome: history.OK})
	}
	for _, test := range []struct {
		name    string
		read    history.Operation
		witness []string
	}{
		{"stale", history.Operation{Output: history.Ints(last - 5000), Invoke: 10*last + 5}, []string{"cas 94999 95000", "cas 99999 100000", "read -> 95000"}},
		{"too early", history.Operation{Output: history.Ints(last - 5000), Invoke: 10 * 90_000}, []string{"read -> 95000", "cas 94999 95000"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.read.Process, test.read.Kind, test.read.Outcome = 1, history.Read, history.OK
			test.read.Complete = test.read.Invoke + 1
			run := &history.Run{History: history.History{Operations: append(slices.Clip(operations), test.read)}}
			result := Check(t.Context(), run, Register, Options{})
			if result.Verdict != Invalid || len(result.Violations) != 1 {
				t.Fatalf("%s (%s), %d violations", result.Verdict, result.Reason, len(result.Violations))
			}
			var witness []string
			for _, o := range result.Violations[0].Witness {
				witness = append(witness, script.Brief(o))
			}
			if diff := cmp.Diff(test.witness, witness); diff != "" {
				t.Error(diff)
			}
		})
	}
}
