package checker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Between what a sentence tells first and last, all faults count, however long ago
// they were over.
func TestFaultsInBetween(t *testing.T) {
	all := []string{"n3", "n1", "n2"}
	run := script.Parse(t, `
		p1 n1 write x 1 [0,0.5] ok
		p1 n1 write x 2 [1,1.5] ok
		p2 n2 write y 1 [41,41.5] ok
		p2 n2 write y 2 [42,42.5] ok
		p3 n3 read x -> 1 [60.2,60.7] ok
		p3 n3 read y -> 1 [61,61.5] ok
		final at 60`)
	for i, at := range []time.Duration{2, 3} {
		run.Events = append(run.Events,
			history.Event{Type: history.Inject, Fault: i + 1, Family: "kill", Nodes: all, Time: at * time.Second},
			history.Event{Type: history.Heal, Fault: i + 1, Family: "kill", Time: at*time.Second + time.Second/2})
	}
	run.Events = append(run.Events,
		history.Event{Type: history.Inject, Fault: 3, Family: "pause", Nodes: []string{"n3"}, Time: 58 * time.Second},
		history.Event{Type: history.Heal, Fault: 3, Family: "pause", Time: 60*time.Second + time.Second/2})
	expectSentences(t, run, Register,
		"x = 2 had been acknowledged to p1 through n1 at 1.500 s, yet p3 read x = 1 through n3 (invoked at 60.200 s, answered at 60.700 s): a commit is lost; "+
			"n1 n2 n3 had been killed twice, last at 3.000 s and restarted at 3.500 s, n3 had been paused from 58.000 s to 60.500 s.",
		"y = 2 had been acknowledged to p2 through n2 at 42.500 s, yet p3 read y = 1 through n3 at 61.000 s: a commit is lost; n3 had been paused from 58.000 s to 60.500 s.")

	run = script.Parse(t, `
		p1 n1 write x 1 [0,0.5] ok
		p1 n1 write x 2 [1,1.5] ok
		p3 n3 read x -> 1 [60.2,60.7] ok`)
	run.Events = []history.Event{{Type: history.Crash, Nodes: []string{"n2"}, Time: 3 * time.Second, Detail: "exit status 2"}}
	expectSentences(t, run, Register,
		"p3 read x = 1 through n3 at 60.200 s, 58.700 s after x = 2 had been acknowledged to p1 through n1; elsewhere n2 had crashed (exit status 2) at 3.000 s.")
}

// Where the operations have an order only, no sentence tells a time.
func TestSentencesWithoutTimes(t *testing.T) {
	for _, test := range []struct {
		model   Model
		history string
		says    []string
	}{
		{Register, `p1 n1 write 0 1 [0,1] ok
		            p1 n1 write 0 2 [2,3] ok
		            p2 n2 read 0 -> 1 [4,5] ok
		            p3 n3 read 0 -> 9 [6,7] ok
		            partition n1 from 0 to 9`, []string{
			"p2 read key 0 = 1 through n2 after key 0 = 2 had been acknowledged to p1 through n1; n1 had been cut off from n2 n3.",
			"p3 read key 0 = 9 through n3, but nobody ever wrote 9; n3 had been cut off from n1."}},
		{Register, `p1 n1 write x 1 [0,1] ok
		            p2 n2 cas x 1 2 [2,9] ok
		            p3 n3 cas x 1 3 [2,9] ok`, []string{
			"p2 swapped x from 1 to 2 through n2 and p3 swapped x from 1 to 3 through n3: both replaced the one 1."}},
		{Set, `p1 n1 add s 1 [0,1] ok
		       p2 n2 read-all s [2,3] ok`, []string{
			"element 1 had been acknowledged to p1 through n1, yet p2 read set s without 1 through n2: the element is lost."}},
		{Counter, `p1 n1 increment c 1 [0,1] ok
		           p2 n2 read c -> 2 [2,3] ok
		           p3 n2 read c [4,5] ok
		           p4 n2 read c -> 1 [6,7] ok`, []string{
			"p2 read c = 2 through n2, but the increments invoked by then come to 1 at most.",
			"p3 read c = 0 through n2 after 1 increment by 1 in all had been acknowledged."}},
		{Queue, `p1 n1 enqueue q 1 [0,1] ok
		         p1 n1 enqueue q 2 [2,3] ok
		         p2 n2 dequeue q -> 2 [4,5] ok
		         p3 n3 dequeue q [5,6] ok
		         p3 n3 dequeue q -> 1 [7,8] ok`, []string{
			"p3 found queue q empty through n3, although it was never empty meanwhile: it held 1.",
			"p2 dequeued 2 from queue q through n2, although the enqueue of 1 had been acknowledged to p1 through n1, before the enqueue of 2 was invoked, and p3 dequeued 1 through n3 only later."}},
		{Lock, `p1 n1 acquire l [0,1] ok
		        p2 n2 acquire l [2,3] ok
		        p1 n1 release l [4,5] ok`, []string{
			"p2 acquired lock l through n2, while p1 held it."}},
		{IDs, `p1 n1 generate g -> 7 [0,1] ok
		       p2 n2 generate g -> 7 [2,3] ok`, []string{
			"p2 got the id 7 through n2 after p1 had got it through n1."}},
		{Bank(2, 10), `p1 n1 read-all b -> 9 10 [0,1] ok`, []string{
			"p1 read balances through n1 that sum up to 19, and not to 20."}},
	} {
		run := script.Parse(t, test.history)
		run.History.Untimed = true
		expectSentences(t, run, test.model, test.says...)
	}
}

func expectSentences(t *testing.T, run *history.Run, model Model, says ...string) {
	t.Helper()
	var got []string
	for _, v := range Check(t.Context(), run, model, Options{}).Violations {
		got = append(got, v.Sentence)
	}
	if diff := cmp.Diff(says, got); diff != "" {
		t.Errorf("%s says something else (-want +got):\n%s", model, diff)
	}
}
