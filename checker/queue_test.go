package checker

import (
	"context"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/queues"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/harness/history"
)

func TestCheckQueue(t *testing.T) {
	for _, test := range []struct {
		name       string
		history    string
		verdict    Verdict
		queue      counts.Queue
		anomaly    anomaly.Name
		witness    []string
		says       string
		violations int // 0: any number
	}{
		{
			name: "first in, first out",
			history: `p1 n1 dequeue q [0,1] ok
			          p1 n1 enqueue q 1 [2,3] ok
			          p2 n1 enqueue q 2 [4,5] ok
			          p1 n1 dequeue q -> 1 [6,7] ok
			          p2 n1 dequeue q -> 2 [8,9] ok
			          p1 n1 dequeue q [10,11] ok`,
			verdict: Valid,
			queue:   counts.Queue{Attempted: 2, Acknowledged: 2, Dequeued: 2},
		},
		{
			name: "concurrent, failed and unknown",
			history: `p1 n1 enqueue q 1 [0,9] ok
			          p2 n1 enqueue q 2 [0,9] ok
			          p3 n1 enqueue q 3 [0,1] info
			          p4 n1 enqueue q 4 [0,1] info
			          p5 n1 enqueue q 5 [0,1] fail
			          p6 n1 dequeue q -> 2 [2,3] ok
			          p6 n1 dequeue q -> 3 [4,5] ok
			          p7 n1 dequeue q [0,1] fail
			          p6 n1 dequeue q -> 1 [6,7] ok
			          p6 n1 dequeue q [10,11] ok`,
			verdict: Valid,
			queue:   counts.Queue{Attempted: 4, Acknowledged: 2, Dequeued: 3, Recovered: 1},
		},
		{
			name: "an unknown dequeue may have taken it",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p2 n1 dequeue q [2,3] info
			          p3 n1 dequeue q [4,5] ok`,
			verdict: Valid,
			queue:   counts.Queue{Attempted: 1, Acknowledged: 1, Lost: counts.Bounds{Certain: 0, Possible: 1}},
		},
		{
			name: "empty at the one moment that there is",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p2 n1 dequeue q -> 1 [5,9] ok
			          p1 n1 enqueue q 2 [2,5] ok
			          p2 n1 dequeue q -> 2 [10,11] ok
			          p3 n1 dequeue q [3,7] ok`,
			verdict: Valid,
			queue:   counts.Queue{Attempted: 2, Acknowledged: 2, Dequeued: 2},
		},
		{
			name: "never enqueued",
			history: `p1 n1 enqueue q 1 [0,1] fail
			          p2 n2 dequeue q -> 1 [2,3] ok
			          p2 n2 dequeue q -> 9 [4,5] ok`,
			verdict: Invalid,
			queue:   counts.Queue{Dequeued: 2, Unexpected: 2},
			anomaly: anomaly.PhantomRead,
			witness: []string{"dequeue -> 1"},
			says:    "p2 dequeued 1 from queue q through n2 at 3.000 s, but p1's enqueue of 1 to queue q through n1 had failed at 1.000 s.",
		},
		{
			name: "dequeued before it was enqueued",
			history: `p2 n2 dequeue q -> 1 [2,3] ok
			          p1 n1 enqueue q 1 [4,5] ok`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 1, Acknowledged: 1, Dequeued: 1, Unexpected: 1},
			anomaly: anomaly.PhantomRead,
			witness: []string{"dequeue -> 1", "enqueue 1"},
			says:    "p2 dequeued 1 from queue q through n2 at 3.000 s, 1.000 s before p1's enqueue of 1 to queue q through n1 was invoked.",
		},
		{
			name: "dequeued twice",
			history: `p1 n1 enqueue q 1 [0,1] info
			          p2 n2 dequeue q -> 1 [2,3] ok
			          p3 n3 dequeue q -> 1 [2,4] ok
			          partition n1 from 0 to 8`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 1, Dequeued: 1, Recovered: 1, Duplicated: 1},
			anomaly: anomaly.DequeuedTwice,
			witness: []string{"enqueue 1", "dequeue -> 1", "dequeue -> 1"},
			says:    "p2 dequeued 1 from queue q through n2 at 3.000 s and p3 dequeued 1 from queue q through n3 (invoked at 2.000 s, answered at 4.000 s): one element was given to two; n2 had been cut off from n1 since 0.000 s.",
		},
		{
			name: "out of order",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p1 n1 enqueue q 2 [2,3] ok
			          p2 n2 dequeue q -> 2 [4,5] ok
			          p3 n3 dequeue q -> 1 [6,7] ok`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 2, Acknowledged: 2, Dequeued: 2, OutOfOrder: 1},
			anomaly: anomaly.OutOfOrder,
			witness: []string{"enqueue 1", "enqueue 2", "dequeue -> 2", "dequeue -> 1"},
			says:    "p2 dequeued 2 from queue q through n2 at 5.000 s, although the enqueue of 1 had been acknowledged to p1 through n1 at 1.000 s, before the enqueue of 2 was invoked at 2.000 s, and p3 dequeued 1 through n3 only later at 6.000 s.",
		},
		{
			name: "out of order, and never dequeued",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p1 n1 enqueue q 2 [2,3] ok
			          p1 n1 enqueue q 3 [4,5] ok
			          p4 n1 dequeue q [6,7] info
			          p2 n2 dequeue q -> 3 [8,9] ok`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 3, Acknowledged: 3, Dequeued: 1, OutOfOrder: 1},
			anomaly: anomaly.OutOfOrder,
			witness: []string{"enqueue 1", "enqueue 2", "enqueue 3", "dequeue", "dequeue -> 3"},
			says:    "p2 dequeued 3 from queue q through n2 at 9.000 s, although the enqueue of 1 had been acknowledged to p1 through n1 at 1.000 s, before the enqueue of 3 was invoked at 4.000 s, and nobody dequeued 1; of 2 elements that nobody dequeued, dequeues of unknown outcome can have taken 1.",
		},
		{
			name: "lost",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p1 n1 enqueue q 2 [2,3] ok
			          p2 n2 dequeue q -> 2 [4,5] ok
			          p3 n3 dequeue q [6,7] ok`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 2, Acknowledged: 2, Dequeued: 1, Lost: counts.Bounds{Certain: 1, Possible: 1}, OutOfOrder: 1, NotEmpty: 1},
			anomaly: anomaly.LostCommit,
			witness: []string{"enqueue 1", "dequeue"},
			says:    "the enqueue of 1 had been acknowledged to p1 through n1 at 1.000 s, yet p3 found queue q empty through n3 at 6.000 s, and nobody ever dequeued 1: the element is lost.",
		},
		{
			name: "lost, one of two",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p1 n1 enqueue q 2 [2,3] ok
			          p2 n2 dequeue q [4,5] info
			          p3 n3 dequeue q [6,7] ok`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 2, Acknowledged: 2, Lost: counts.Bounds{Certain: 1, Possible: 2}, NotEmpty: 1},
			anomaly: anomaly.LostCommit,
			witness: []string{"enqueue 1", "enqueue 2", "dequeue", "dequeue"},
			says:    "p3 found queue q empty through n3 at 6.000 s, although the enqueues of 2 elements had been acknowledged that nobody is known to have dequeued, 1 and 2, and only 1 dequeue of unknown outcome may have taken one: at least 1 of 2 is lost.",
		},
		{
			name: "lost, two of three",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p1 n1 enqueue q 2 [2,3] ok
			          p1 n1 enqueue q 3 [3,4] ok
			          p2 n2 dequeue q [4,5] info
			          p3 n3 dequeue q [6,7] ok`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 3, Acknowledged: 3, Lost: counts.Bounds{Certain: 2, Possible: 3}, NotEmpty: 1},
			anomaly: anomaly.LostCommit,
			witness: []string{"enqueue 1", "enqueue 2", "dequeue", "dequeue"},
			says:    "p3 found queue q empty through n3 at 6.000 s, although the enqueues of 3 elements had been acknowledged that nobody is known to have dequeued, 1, 2 and 3, and only 1 dequeue of unknown outcome may have taken one: at least 2 of 3 are lost.",
		},
		{
			name: "two of which dequeues before and after may have taken one each",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p1 n1 enqueue q 2 [2,3] ok
			          p2 n2 dequeue q [4,5] info
			          p3 n3 dequeue q [6,7] ok
			          p4 n3 dequeue q [8,9] info`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 2, Acknowledged: 2, Lost: counts.Bounds{Certain: 0, Possible: 2}, NotEmpty: 1},
			anomaly: anomaly.OutOfOrder,
			witness: []string{"enqueue 1", "enqueue 2", "dequeue", "dequeue"},
			says:    "p3 found queue q empty through n3 at 6.000 s, although the enqueues of 2 elements had been acknowledged that nobody is known to have dequeued, 1 and 2, and only 1 can have been taken by then; whether any is lost is not known, for there are 2 dequeues of unknown outcome.",
		},
		{
			name: "one that two later dequeues may have taken",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p3 n3 dequeue q [2,3] ok
			          p2 n2 dequeue q [4,5] info
			          p4 n3 dequeue q [8,9] info`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 1, Acknowledged: 1, Lost: counts.Bounds{Certain: 0, Possible: 1}, NotEmpty: 1},
			anomaly: anomaly.OutOfOrder,
			witness: []string{"enqueue 1", "dequeue"},
			says:    "the enqueue of 1 had been acknowledged to p1 through n1 at 1.000 s, yet p3 found queue q empty through n3 at 2.000 s, when nobody can have dequeued 1; whether it is lost is not known, for 2 dequeues of unknown outcome came later.",
		},
		{
			name: "many lost, told once",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p1 n1 enqueue q 2 [1,2] ok
			          p1 n1 enqueue q 3 [2,3] ok
			          p1 n1 enqueue q 4 [3,4] ok
			          p3 n3 dequeue q [6,7] ok
			          p3 n3 dequeue q [8,9] ok`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 4, Acknowledged: 4, Lost: counts.Bounds{Certain: 4, Possible: 4}, NotEmpty: 2},
			anomaly: anomaly.LostCommit, violations: 1,
			witness: []string{"enqueue 1", "dequeue"},
			says:    "p3 found queue q empty through n3 at 6.000 s, although the enqueues of 4 elements had been acknowledged that nobody is known to have dequeued, such as 1, 2 and 3: they are lost.",
		},
		{
			name: "not empty",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p1 n1 enqueue q 2 [2,4] ok
			          p3 n3 dequeue q [3,7] ok
			          p2 n2 dequeue q -> 1 [5,6] ok
			          p2 n2 dequeue q -> 2 [8,9] ok`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 2, Acknowledged: 2, Dequeued: 2, NotEmpty: 1},
			anomaly: anomaly.OutOfOrder,
			witness: []string{"enqueue 1", "enqueue 2", "dequeue", "dequeue -> 1", "dequeue -> 2"},
			says:    "p3 found queue q empty through n3 (invoked at 3.000 s, answered at 7.000 s), although it was never empty meanwhile: it held 1 from 1.000 s to 5.000 s, 2 from 4.000 s to 8.000 s.",
		},
		{
			name: "out of order with the later of two, of which either could come first",
			history: `p1 n1 enqueue q 1 [0,2] ok
			          p2 n1 enqueue q 2 [0,3] ok
			          p1 n1 enqueue q 3 [4,5] ok
			          p3 n3 dequeue q -> 2 [6,7] ok
			          p3 n3 dequeue q -> 3 [8,9] ok
			          p3 n3 dequeue q -> 1 [10,11] ok`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 3, Acknowledged: 3, Dequeued: 3, OutOfOrder: 1},
			anomaly: anomaly.OutOfOrder,
			witness: []string{"enqueue 1", "enqueue 3", "dequeue -> 3", "dequeue -> 1"},
			says:    "p3 dequeued 3 from queue q through n3 at 9.000 s, although the enqueue of 1 had been acknowledged to p1 through n1 at 2.000 s, before the enqueue of 3 was invoked at 4.000 s, and p3 dequeued 1 through n3 only later at 10.000 s.",
		},
		{
			name: "not empty, and one may have been inside for no time at all",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p2 n2 enqueue q 2 [4,5] ok
			          p3 n3 dequeue q [5,6] ok
			          p4 n1 dequeue q -> 2 [5,9] ok
			          p5 n2 dequeue q -> 1 [7,8] ok`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 2, Acknowledged: 2, Dequeued: 2, NotEmpty: 1},
			anomaly: anomaly.OutOfOrder,
			witness: []string{"enqueue 1", "dequeue", "dequeue -> 1"},
			says:    "p3 found queue q empty through n3 at 6.000 s, although it was never empty meanwhile: it held 1 from 1.000 s to 7.000 s.",
		},
		{
			name: "not empty, thanks to one that may be lost",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p1 n1 enqueue q 2 [2,4] ok
			          p3 n3 dequeue q [3,9] ok
			          p2 n2 dequeue q -> 1 [5,6] ok
			          p4 n2 dequeue q [10,11] info`,
			verdict: Invalid,
			queue:   counts.Queue{Attempted: 2, Acknowledged: 2, Dequeued: 1, NotEmpty: 1},
			anomaly: anomaly.OutOfOrder,
			witness: []string{"enqueue 1", "enqueue 2", "dequeue", "dequeue -> 1"},
			says:    "p3 found queue q empty through n3 (invoked at 3.000 s, answered at 9.000 s), although it was never empty meanwhile: it held 1 from 1.000 s to 5.000 s, 2 from 4.000 s.",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := Check(t.Context(), script.Parse(t, test.history), Queue, Options{})
			if result.Verdict != test.verdict || result.LostCommits != test.queue.Lost {
				t.Errorf("%s: %s, %d lost", result.Verdict, result.Reason, result.LostCommits)
			}
			if diff := cmp.Diff(&test.queue, result.Queue); diff != "" {
				t.Error(diff)
			}
			compareFirst(t, result, test.anomaly, test.witness, test.says)
			if test.violations > 0 && len(result.Violations) != test.violations {
				t.Errorf("%d violations, want %d", len(result.Violations), test.violations)
			}
		})
	}
}

// lostOf returns how many elements are lost at least and at most, by trying every
// choice of what the dequeues of unknown outcome took.
func lostOf(operations []history.Operation) counts.Bounds {
	dequeued := map[int64]bool{}
	unsure := 0
	emptied := -history.Never // invocation of the last dequeue that found nothing
	for _, o := range operations {
		switch {
		case o.Kind != history.Dequeue || o.Outcome == history.Fail:
		case o.Outcome == history.Info:
			unsure++
		case o.Output.Len() == 0:
			emptied = max(emptied, o.Invoke)
		default:
			dequeued[o.Output.At(0)] = true
		}
	}
	var gone []bool // of each element that nobody is known to have taken: whether the queue was empty later
	for _, o := range operations {
		if o.Kind == history.Enqueue && o.Outcome == history.OK && !dequeued[o.Input.At(0)] {
			gone = append(gone, o.Complete < emptied)
		}
	}
	lost := counts.Bounds{Certain: len(operations), Possible: 0}
	for taken := range 1 << len(gone) {
		if bits.OnesCount(uint(taken)) > unsure {
			continue
		}
		count := 0
		for i, empty := range gone {
			if empty && taken>>i&1 == 0 {
				count++
			}
		}
		lost = counts.Bounds{Certain: min(lost.Certain, count), Possible: max(lost.Possible, count)}
	}
	return lost
}

// compareFirst compares a result's first violation with what is wanted: none if
// there is no anomaly.
func compareFirst(t *testing.T, result Result, name anomaly.Name, witness []string, says string) {
	t.Helper()
	if len(result.Violations) == 0 || name == "" {
		if len(result.Violations) > 0 || name != "" {
			t.Errorf("violations %v, want %q", result.Violations, name)
		}
		return
	}
	v := result.Violations[0]
	var got []string
	for _, o := range v.Witness {
		got = append(got, script.Brief(o))
	}
	if diff := cmp.Diff(witness, got); diff != "" || v.Anomaly != name {
		t.Errorf("%s (want %s)\n%s", v.Anomaly, name, diff)
	}
	if v.Sentence != says {
		t.Errorf("it says\n%s\nwant\n%s", v.Sentence, says)
	}
	if result.FirstViolation <= 0 || result.FirstViolation > v.At() {
		t.Errorf("first violation at %s, this one at %s", result.FirstViolation, v.At())
	}
}

func TestQueueUnknown(t *testing.T) {
	for _, test := range []struct{ history, reason string }{
		{"p1 n1 enqueue q 1 [0,1] ok\n p1 n1 enqueue q 1 [2,3] info", `queue "q": element 1 is enqueued twice, at 0.000 s and at 2.000 s`},
		{"p1 n1 enqueue q 1 2 [0,1] ok", "has 2 input values (want 1)"},
		{"p1 n1 add q 1 [0,1] ok", "a kind that the model does not know"},
	} {
		if r := Check(t.Context(), script.Parse(t, test.history), Queue, Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, test.reason) {
			t.Errorf("%s: %s", r.Verdict, r.Reason)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fine := script.Parse(t, "p1 n1 enqueue q 1 [0,1] ok")
	if r := Check(ctx, fine, Queue, Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, "cancelled") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
}

// plainPorcupineQueue judges one queue with a model of its own and no
// preprocessing: an unknown operation takes effect at any time after its call,
// or at infinity, where it harms nobody.
func plainPorcupineQueue(operations []history.Operation) bool {
	var entries []porcupine.Operation
	for _, o := range operations {
		ret := int64(o.Complete)
		if o.Outcome == history.Info {
			ret = math.MaxInt64
		}
		entries = append(entries, porcupine.Operation{Input: o, Call: int64(o.Invoke), Return: ret})
	}
	return porcupine.CheckOperations(porcupine.Model{
		Init: func() any { return []int64(nil) },
		Step: func(state, input, _ any) (bool, any) {
			inside, o := state.([]int64), input.(history.Operation)
			switch {
			case o.Outcome == history.Fail:
				return true, inside
			case o.Kind == history.Enqueue:
				return true, append(slices.Clip(inside), o.Input.At(0))
			case o.Outcome == history.Info && len(inside) == 0:
				return true, inside
			case o.Outcome == history.Info:
				return true, inside[1:]
			case o.Output.Len() == 0:
				return len(inside) == 0, inside
			}
			if len(inside) == 0 || inside[0] != o.Output.At(0) {
				return false, inside
			}
			return true, inside[1:]
		},
		Equal: func(a, b any) bool { return slices.Equal(a.([]int64), b.([]int64)) },
	}, entries)
}

// drawQueue returns a random history of one queue, as simulate.Universe does.
func drawQueue(r *rand.Rand, ordered bool) []history.Operation {
	n := 2 + r.IntN(8)
	span := 2 + r.IntN(3*n) // a small span makes for ties
	width := 1 + r.IntN(span)
	spoil := []float64{0, 0.2, 0.5}[r.IntN(3)]
	unknown := []float64{0, 0.15, 0.4}[r.IntN(3)]
	enqueues := 0.4 + 0.3*r.Float64()
	type effect struct {
		at int
		*history.Operation
	}
	operations := make([]history.Operation, n)
	effects := make([]effect, n)
	for i := range operations {
		call := r.IntN(span)
		ret := call + r.IntN(width)
		o := history.Operation{Process: i, Key: "q", Kind: history.Dequeue, Outcome: history.OK, Invoke: time.Duration(call), Complete: time.Duration(ret)}
		if r.Float64() < enqueues {
			o.Kind, o.Input = history.Enqueue, history.Ints(int64(i))
		}
		at := call + r.IntN(1+ret-call)
		switch {
		case r.Float64() < unknown:
			o.Outcome, at = history.Info, call+r.IntN(2*span)
		case r.IntN(30) == 0:
			o.Outcome = history.Fail
		}
		operations[i] = o
		effects[i] = effect{at, &operations[i]}
	}
	slices.SortStableFunc(effects, func(a, b effect) int { return a.at - b.at })
	var inside []int64
	for _, o := range effects {
		happens := o.Outcome == history.OK || o.Outcome == history.Info && r.IntN(2) == 0
		spoilt := r.Float64() < spoil
		switch {
		case !happens:
		case o.Kind == history.Enqueue && !spoilt:
			inside = append(inside, o.Input.At(0))
		case o.Kind == history.Enqueue && r.IntN(2) == 0: // at the wrong end
			inside = slices.Insert(inside, 0, o.Input.At(0))
		case o.Kind == history.Enqueue: // lost
		case spoilt && o.Outcome == history.OK && r.IntN(20) == 0:
			o.Output = history.Ints(int64(r.IntN(n)))
		case spoilt && o.Outcome == history.OK && r.IntN(2) == 0: // wrongly empty
		case len(inside) > 0:
			first := 0
			if !ordered {
				first = r.IntN(len(inside))
			}
			if o.Outcome == history.OK {
				o.Output = history.Ints(inside[first])
			}
			if !spoilt { // else it is given again
				inside = slices.Delete(inside, first, first+1)
			}
		}
	}
	slices.SortStableFunc(operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return operations
}

func drawOrderedQueue(r *rand.Rand) []history.Operation { return drawQueue(r, true) }

func TestQueueAgreesWithPorcupine(t *testing.T) {
	t.Parallel()
	anomalies := map[anomaly.Name]int{}
	invalid, outnumbered := 0, 0
	for seed := range uint64(script.Histories(t)) {
		operations := drawOrderedQueue(rand.New(rand.NewPCG(seed, 13)))
		want := Valid
		if !plainPorcupineQueue(operations) {
			want = Invalid
			invalid++
		}
		got := Check(t.Context(), &history.Run{History: history.History{Operations: operations}}, Queue, Options{})
		if got.Verdict != want {
			t.Fatalf("seed %d: verdict %s (%s), but Porcupine says %s, of\n%s", seed, got.Verdict, got.Reason, want, script.List(operations))
		}
		if c := got.Queue; want == Valid && c.Lost.Certain+c.Duplicated+c.Unexpected+c.OutOfOrder+c.NotEmpty > 0 {
			t.Fatalf("seed %d: %+v in a valid history\n%s", seed, c, script.List(operations))
		}
		// Every candidate must be one, not only those that are shown.
		candidates, _ := queues.Candidates("q", true, model.Pointers(operations), &counts.Queue{})
		for _, c := range candidates {
			if plainPorcupineQueue(c.Witness) || c.Violation(&history.Run{}).Sentence == "" {
				t.Fatalf("seed %d: %s is no witness:\n%s\nof\n%s", seed, c.Anomaly, script.List(c.Witness), script.List(operations))
			}
			if slices.ContainsFunc(c.Witness, func(o history.Operation) bool { return o.Kind == history.Dequeue && o.Outcome == history.Info }) {
				outnumbered++
			}
		}
		if lost := lostOf(operations); got.LostCommits != lost {
			t.Fatalf("seed %d: %d lost, want %d, of\n%s", seed, got.LostCommits, lost, script.List(operations))
		}
		for _, v := range got.Violations {
			if v.Anomaly == anomaly.LostCommit && got.LostCommits.Certain == 0 {
				t.Fatalf("seed %d: %s, and none is counted for certain", seed, v.Sentence)
			}
			anomalies[v.Anomaly]++
		}
	}
	t.Logf("%d of %d invalid: %v; %d candidates by counting unknown dequeues", invalid, script.Histories(t), anomalies, outnumbered)
	if invalid == 0 || invalid == script.Histories(t) || len(anomalies) < 4 || outnumbered == 0 {
		t.Error("the histories are all alike")
	}
}

// A long history with many unknown dequeues is no harder than a short one.
func TestQueueOfManyUnknowns(t *testing.T) {
	var operations []history.Operation
	at := time.Duration(0)
	add := func(o history.Operation) {
		o.Process, o.Key, o.Invoke, o.Complete = len(operations), "q", at, at+1
		operations = append(operations, o)
		at += 2
	}
	const missing = 50
	for i := range int64(20_000) {
		add(history.Operation{Kind: history.Enqueue, Input: history.Ints(i), Outcome: history.OK})
		if i%(20_000/missing) == 0 {
			add(history.Operation{Kind: history.Dequeue, Outcome: history.Info})
			continue
		}
		add(history.Operation{Kind: history.Dequeue, Output: history.Ints(i), Outcome: history.OK})
	}
	add(history.Operation{Kind: history.Dequeue, Outcome: history.OK})
	run := &history.Run{History: history.History{Operations: operations}}
	if r := Check(t.Context(), run, Queue, Options{}); r.Verdict != Valid {
		t.Errorf("%s: %s %v", r.Verdict, r.Reason, r.Violations)
	}
	run.History.Operations = slices.DeleteFunc(operations, func(o history.Operation) bool { return o.Process == 1 })
	r := Check(t.Context(), run, Queue, Options{})
	if r.Verdict != Invalid || r.Queue.Lost != (counts.Bounds{Certain: 1, Possible: missing}) {
		t.Errorf("%s: %s, %+v", r.Verdict, r.Reason, r.Queue)
	}
}
