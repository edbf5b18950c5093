package checker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/harness/history"
)

// whole are the phases of a trial that went on to its end; its operations after
// 300 s belong to the final phase.
const whole = "recovery at 0\n final at 300\n done at 400\n"

// served is a load that is neither vacuous nor uncovered: twelve writes of x, each read.
func served() string {
	text := ""
	for i := range 12 {
		text += fmt.Sprintf("p1 n1 write x %d [%d,%d] ok\n p1 n1 read x -> %d [%d,%d] ok\n", i+1, 4*i, 4*i+1, i+1, 4*i+2, 4*i+3)
	}
	return text
}

func TestTrial(t *testing.T) {
	const healed = "recovery at 100\n final at 300\n done at 400\n"
	lastRead := "p1 n2 read x -> 12 [310,311] ok\n"
	for _, test := range []struct {
		name    string
		history string
		nemesis string
		model   Model
		expect  []string
		verdict Verdict
		want    Conformance
		says    string // of a violation or reason
	}{
		{name: "whole", history: served() + lastRead + healed, verdict: Valid, want: AsClaimed},
		{name: "nothing was read after the faults", history: served() + "p1 n2 read x [310,311] fail stream not found\n" + healed, verdict: Unknown, want: Undecided,
			says: "12 of 12 acknowledged updates were not looked for after the faults, such as 12 of x"},
		{name: "one key was not read", history: served() + lastRead + "p2 n1 write y 1 [50,51] ok\n" + healed, verdict: Unknown, want: Undecided, says: "1 of 13 acknowledged updates"},
		{name: "acknowledged after the last read", history: served() + lastRead + "p2 n1 write x 99 [310.5,312] ok\n" + healed, verdict: Unknown, want: Undecided, says: "1 of 13"},
		{name: "a swap reads", history: served() + "p1 n2 cas x 12 13 [310,311] ok\n p1 n2 read x -> 13 [312,313] ok\n" + healed, verdict: Valid, want: AsClaimed},
		{name: "a violation, and the rest is open", history: served() + "p2 n2 read x -> 3 [60,61] ok\n" + healed, expect: []string{"stale read"}, verdict: Invalid, want: Undecided, says: "not looked for"},
		{name: "a violation that is not admitted", history: served() + "p2 n2 read x -> 3 [60,61] ok\n" + healed, verdict: Invalid, want: NotAsClaimed, says: "stale"},
		{name: "cut off", history: served() + lastRead + "recovery at 100\n final at 300\n", verdict: Unknown, want: Undecided, says: "cut off before its final phase ended"},
		{name: "cut off, yet broken", history: served() + "p2 n2 read x -> 3 [60,61] ok\n recovery at 100\n", verdict: Invalid, want: NotAsClaimed, says: "cut off"},

		{name: "a crash", history: served() + lastRead + "crash n2 at 30: exit status 2\n" + healed, verdict: Invalid, want: NotAsClaimed, says: "n2 ended by itself at 30.000 s with exit status 2"},
		{name: "crashes", history: served() + lastRead + "crash n2 at 30: exit status 2\n crash n2 at 40: exit status 3\n" + healed, verdict: Invalid, want: NotAsClaimed,
			says: "n2 ended by itself 2 times, first at 30.000 s with exit status 2"},
		{name: "a crash that is admitted", history: served() + lastRead + "crash n2 at 30: exit status 2\n" + healed, expect: []string{"node crashed"}, verdict: Invalid, want: AsClaimed},

		{name: "never again", history: served() + "p1 n1 read x [120,121] fail stream not found\n p1 n1 write x 77 [122,123] info EOF\n unserved n1 n2 n3 at 215 after 115\n" + healed,
			verdict: Invalid, want: NotAsClaimed, says: "no read and no update was acknowledged (2 were tried), such as with stream not found; nothing was served by n1 n2 n3"},
		{name: "never again, admitted", history: served() + "p1 n1 read x [120,121] fail stream not found\n unserved n1 n2 n3 at 215 after 115\n" + healed,
			expect: []string{"no recovery"}, verdict: Invalid, want: AsClaimed},
		{name: "reads alone", history: served() + lastRead + "p1 n1 write x 77 [122,123] info EOF\n unserved at 215 after 115\n" + healed, verdict: Invalid, want: NotAsClaimed, says: "no update was acknowledged (1 were tried), such as with EOF"},
		{name: "swaps that are refused are no updates", history: served() + lastRead + "p1 n1 cas x 5 77 -> 12 [122,123] fail\n unserved at 215 after 115\n" + healed, verdict: Invalid, want: NotAsClaimed, says: "no update was acknowledged"},
		{name: "updates alone", history: served() + "p1 n1 write x 77 [122,123] ok\n unserved at 215 after 115\n" + healed, verdict: Invalid, want: NotAsClaimed, says: "no read was acknowledged (0 were tried)"},
		{name: "one node", history: served() + "p1 n1 write x 77 [122,123] ok\n p1 n1 read x -> 77 [320,321] ok\n unserved n3 at 215 after 115\n" + healed, verdict: Unknown, want: Undecided,
			says: "n3 served nothing in the 115.000 s after the faults were healed, although all nodes ran and all links were whole"},
		{name: "one node, late", history: served() + "p1 n3 write x 77 [222,223] ok\n p1 n1 read x -> 77 [320,321] ok\n unserved n3 at 215 after 115\n" + healed, verdict: Valid, want: AsClaimed},
		{name: "one node, when the load has ended", history: served() + lastRead + strings.Repeat("p2 n3 read x [310,311] fail refused\n", 3) + healed, verdict: Unknown, want: Undecided,
			says: "n3 served nothing from 100.000 s on, though it was asked 3 times."},
		{name: "one node, once", history: served() + lastRead + "p2 n3 read x [310,311] fail refused\n" + healed, verdict: Valid, want: AsClaimed},
		{name: "one node, without faults", nemesis: "none", history: served() + "p1 n1 write x 77 [122,123] ok\n p1 n1 read x -> 77 [320,321] ok\n unserved n3 at 215 after 115\n" + healed, verdict: Unknown, want: Undecided,
			says: "n3 served nothing in the 115.000 s from 100.000 s on, although"},
		{name: "no more, without faults", nemesis: "none", history: served() + lastRead + "p1 n1 write x 77 [122,123] info EOF\n unserved at 215 after 115\n" + healed, verdict: Invalid, want: NotAsClaimed,
			says: "The cluster does not serve any more: there was no fault, all nodes ran and all links were whole, yet in the 115.000 s from 100.000 s on no update was acknowledged (1 were tried) through any node, such as with EOF."},
		{name: "not read, without faults", nemesis: "none", history: served() + healed, verdict: Unknown, want: Undecided, says: "12 of 12 acknowledged updates were not looked for in the end, such as"},
		{name: "not all nodes run", history: served() + lastRead + "unserved n3 at 215 after 115: n3 is paused\n" + healed, verdict: Unknown, want: Undecided, says: "n3 served nothing in the 115.000 s after the faults were healed, n3 is paused"},
		{name: "not all nodes run, and nothing is written", history: served() + lastRead + "p1 n1 write x 77 [122,123] info EOF\n unserved n3 at 215 after 115: n3 is exited\n" + healed, verdict: Unknown, want: Undecided,
			says: "No update was acknowledged in the 115.000 s after the faults were healed (1 were tried), n3 is exited."},
		{name: "locks are only refused", model: Lock, history: sixHolds() + "p2 n1 acquire l [90,91] ok\n p2 n1 use l [101,102] ok\n p1 n1 acquire l [122,123] fail\n unserved at 215 after 115\n" + healed, verdict: Unknown, want: Undecided,
			says: "No update was acknowledged in the 115.000 s after the faults were healed (1 were tried), although all nodes ran"},
		{name: "locks are refused, for one is held", model: Lock, history: sixHolds() + "p2 n1 acquire l [90,91] ok\n p2 n1 use l [190,191] ok\n p1 n1 acquire l [122,123] fail\n unserved at 215 after 115\n" + healed, verdict: Valid, want: AsClaimed},

		{name: "a set", model: Set, history: strings.Repeat("p1 n1 add s 1 [0,1] ok\n", 1) + strings.Repeat("p1 n1 read-all s -> 1 [2,3] ok\n", 10) + healed, verdict: Unknown, want: Undecided, says: "1 of 1 acknowledged updates"},
		{name: "a queue, drained", model: Queue, history: strings.Repeat("p1 n1 dequeue q [2,3] ok\n", 10) + "p1 n1 enqueue q 7 [4,5] ok\n p1 n1 dequeue q -> 7 [6,7] ok\n" + healed, verdict: Valid, want: AsClaimed},
		{name: "a queue, not drained", model: Queue, history: strings.Repeat("p1 n1 dequeue q [2,3] ok\n", 10) + "p1 n1 enqueue q 7 [4,5] ok\n p1 n1 enqueue q 8 [5,6] ok\n p1 n1 dequeue q -> 7 [6,7] ok\n" + healed, verdict: Unknown, want: Undecided,
			says: "1 of 2 acknowledged updates were not looked for after the faults, such as 1 of q: nobody dequeued them, and no later dequeue found the queue empty"},
		{name: "nothing reads ids", model: IDs, history: twelveIDs() + healed, verdict: Valid, want: AsClaimed},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := script.Parse(t, test.history)
			run.Manifest.Version = history.Version
			run.Manifest.Nemesis = test.nemesis
			run.Manifest.Claim.Expect = test.expect
			if test.model.judge == nil {
				test.model = Register
			}
			result := Check(t.Context(), run, test.model, Options{})
			if result.Verdict != test.verdict || result.AsClaimed != test.want || result.Vacuous != "" {
				t.Errorf("%s, %s, vacuous %q, reason %q", result.Verdict, result.AsClaimed, result.Vacuous, result.Reason)
			}
			told := result.Reason
			for _, v := range result.Violations {
				told += "\n" + string(v.Anomaly) + ": " + v.Sentence
			}
			if !strings.Contains(told, test.says) {
				t.Errorf("says %s", told)
			}
			run.Manifest = history.Manifest{Nodes: run.Manifest.Nodes} // from elsewhere, nothing of this holds
			if r := Check(t.Context(), run, test.model, Options{}); len(r.Gaps) > 0 || slices.ContainsFunc(r.Violations, func(v anomaly.Violation) bool { return len(v.Witness) == 0 }) {
				t.Errorf("from elsewhere: %q %v", r.Gaps, r.Violations)
			}
		})
	}
}

func sixHolds() string {
	text := ""
	for i := range 6 {
		text += fmt.Sprintf("p1 n1 acquire l [%d,%d] ok\n p1 n1 release l [%d,%d] ok\n", 4*i, 4*i+1, 4*i+2, 4*i+3)
	}
	return text
}

func twelveIDs() string {
	text := ""
	for i := range 12 {
		text += fmt.Sprintf("p1 n1 generate g -> %d [%d,%d] ok\n", i, 2*i, 2*i+1)
	}
	return text
}

// A node may end with a process of it that a fault killed.
func TestAKilledProcessExplainsTheEnd(t *testing.T) {
	run := script.Parse(t, served()+"p1 n2 read x -> 12 [310,311] ok\n crash n2 at 30.1: exit status 1\n recovery at 100\n final at 300\n done at 400\n")
	run.Manifest.Version = history.Version
	kill := history.Event{Time: 31 * time.Second, Took: time.Second, Type: history.Inject, Fault: 1, Family: "kill", Nodes: []string{"n2"}, Processes: "redis-server"}
	heal := history.Event{Time: 40 * time.Second, Type: history.Heal, Fault: 1, Family: "kill"}
	run.Events = append([]history.Event{kill, heal}, run.Events...)
	if result := Check(t.Context(), run, Register, Options{}); result.Verdict != Valid {
		t.Errorf("%s: %v", result.Verdict, result.Violations)
	}
	run.Events[0].Nodes = []string{"n1"}
	if result := Check(t.Context(), run, Register, Options{}); result.Verdict != Invalid {
		t.Errorf("another node's process was killed, and yet: %s", result.Verdict)
	}
	for exits, want := range map[bool]Verdict{true: Valid, false: Invalid} {
		run.Events[0] = history.Event{Time: 30 * time.Second, Type: history.Inject, Fault: 1, Family: "failpoint", Nodes: []string{"n2"}, Own: &history.Family{Exits: exits, Ends: true}}
		if result := Check(t.Context(), run, Register, Options{}); result.Verdict != want {
			t.Errorf("with a failpoint at which nodes may exit (%v): %s", exits, result.Verdict)
		}
	}
}

func TestForbiddenLines(t *testing.T) {
	run := script.Parse(t, served()+"p1 n2 read x -> 12 [310,311] ok\n recovery at 100\n final at 300\n done at 400\n")
	run.Manifest.Version = history.Version
	run.Events = append(run.Events, history.Event{Time: 399 * time.Second, Type: history.Logged, Nodes: []string{"n1"}, Detail: "stderr.log", Reason: "WARNING: DATA RACE"})
	result := Check(t.Context(), run, Register, Options{})
	if result.AsClaimed != NotAsClaimed || len(result.Violations) != 1 || result.Violations[0].Anomaly != anomaly.LogPattern ||
		result.Violations[0].Sentence != "n1 logged what no log may hold, in stderr.log: WARNING: DATA RACE" || result.Violations[0].At() != 399*time.Second {
		t.Errorf("%s: %v", result.AsClaimed, result.Violations)
	}
	run.Manifest.Claim.Expect = []string{"log pattern"}
	if result := Check(t.Context(), run, Register, Options{}); result.AsClaimed != AsClaimed {
		t.Errorf("admitted, and yet %s", result.AsClaimed)
	}
}

func TestFewAnswersDuringTheFaults(t *testing.T) {
	for _, test := range []struct {
		name            string
		answered, tried int // during the faults
		landed          bool
		want            []string
	}{
		{"hardly any", 3, 35, true, []string{"Only 8.6 % of the operations during the faults were answered, so little was tested then: use a longer interval (--interval, Schedule.Interval), or another fault."}},
		{"none", 0, 7, true, []string{"Only 0.0 % of the operations during the faults were answered, so little was tested then: use a longer interval (--interval, Schedule.Interval), or another fault."}},
		{"a tenth", 1, 10, true, nil},
		{"no fault landed", 3, 35, false, nil},
		{"nothing was tried", 0, 0, true, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := served()
			for i := range test.tried {
				outcome := "ok"
				if i >= test.answered {
					outcome = "fail connection refused"
				}
				text += fmt.Sprintf("p%d n1 read x -> 12 [%d,%d.5] %s\n", i+2, 100+i, 100+i, outcome)
			}
			if test.landed {
				text += "partition n1 from 101 to 140\n"
			}
			run := script.Parse(t, text+"p1 n2 read x -> 12 [310,311] ok\n faults at 100\n recovery at 150\n final at 300\n done at 400\n")
			run.Manifest.Version = history.Version
			if result := Check(t.Context(), run, Register, Options{}); result.Verdict != Valid || !slices.Equal(result.Warnings, test.want) {
				t.Errorf("%s, warns %q, want %q", result.Verdict, result.Warnings, test.want)
			}
		})
	}
}

func TestFaultsTooShort(t *testing.T) {
	text := served() + "p1 n2 read x -> 12 [310,311] ok\n recovery at 100\n final at 300\n done at 400\n"
	for _, test := range []struct {
		name, history, leader string
		warns                 bool
	}{
		{name: "nobody else led", history: text, leader: "n1", warns: true},
		{name: "nobody knows who led", history: text, warns: true},
		{name: "another led", history: text, leader: "n2"},
		{name: "another served", history: text + "p7 n2 write x 50 [50.5,51] ok\n p7 n1 read x -> 50 [320,321] ok\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := script.Parse(t, test.history)
			run.Manifest.Version = history.Version
			run.Events = append([]history.Event{
				{Time: 50 * time.Second, Type: history.Inject, Fault: 1, Family: "kill", Shape: "leader", Nodes: []string{"n1"}, Leader: "n1"},
				{Time: 52 * time.Second, Type: history.Heal, Fault: 1, Family: "kill", Leader: test.leader},
			}, run.Events...)
			result := Check(t.Context(), run, Register, Options{})
			want := "In 1 fault at the leader, the longest of 2.000 s, no other node came to lead. If this system elects leaders, its elections take longer: use an interval of 8s (--interval, Schedule.Interval), and a longer trial."
			if test.warns != (len(result.Warnings) == 1 && result.Warnings[0] == want) || len(result.Warnings) > 1 {
				t.Errorf("warns %q", result.Warnings)
			}
			if result.AsClaimed == Undecided {
				t.Errorf("a warning changed the verdict: %s", result.Reason)
			}
		})
	}
}

// That nodes never met over links is no matter to a fault of links of clients.
func TestUnlinkedAndCutOffFromClients(t *testing.T) {
	run := script.Parse(t, served()+"partition n1 from 100 to 200\n recovery at 201\n final at 300\n done at 400\n")
	run.Manifest.Version, run.Manifest.Nemesis = history.Version, "partition"
	run.Events = append(run.Events, history.Event{Time: 399 * time.Second, Type: history.Unlinked, Reason: "no node met another"})
	if result := Check(t.Context(), run, Register, Options{}); !strings.Contains(result.Vacuous, "separated nothing") {
		t.Errorf("of nodes: vacuous %q", result.Vacuous)
	}
	for i, e := range run.Events {
		if e.Type == history.Inject {
			run.Events[i].Links = []string{"clients>n1", "n1>clients"}
		}
	}
	if result := Check(t.Context(), run, Register, Options{}); strings.Contains(result.Vacuous, "separated nothing") {
		t.Errorf("of clients: vacuous %q", result.Vacuous)
	}
}

// A partition that nodes bypass is vacuous if the minority is answered as the majority is,
// and else a warning.
func TestBypassedPartitions(t *testing.T) {
	whole := served() + "p1 n2 read x -> 12 [310,311] ok\n partition n1 from 100 to 200\n recovery at 201\n final at 300\n done at 400\n"
	majority := "p5 n2 write x 50 [120,121] ok\n p5 n2 read x -> 50 [122,123] ok\n"
	for _, test := range []struct {
		name, history string
		links         []string
		vacuous       bool
	}{
		{"the minority is answered", strings.Replace(whole, "-> 12 [310", "-> 50 [310", 1) + majority + "p6 n1 read x -> 50 [130,131] ok\n", []string{"n1>n2"}, true},
		{"it is not", strings.Replace(whole, "-> 12 [310", "-> 50 [310", 1) + majority + "p6 n1 read x [130,131] info\n", []string{"n1>n2"}, false},
		{"no link was ever used", whole, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := script.Parse(t, test.history)
			run.Manifest.Version, run.Manifest.Nemesis = history.Version, "partition"
			run.Events = append(run.Events, history.Event{Time: 399 * time.Second, Type: history.Unlinked, Reason: "n1 was connected to n2", Links: test.links})
			result := Check(t.Context(), run, Register, Options{})
			if test.vacuous != strings.Contains(result.Vacuous, "separated nothing: n1 was connected to n2") ||
				test.vacuous == slices.ContainsFunc(result.Warnings, func(w string) bool { return strings.Contains(w, "did not separate all nodes: n1 was connected to n2") }) {
				t.Errorf("vacuous %q, warnings %q, %s %s", result.Vacuous, result.Warnings, result.Verdict, result.Reason)
			}
		})
	}
}

// Clients that are cut off from a node through which none of them goes miss nothing.
func TestCutOffFromNobody(t *testing.T) {
	for node, want := range map[string]string{"n1": "", "n9": `The nemesis "partition:clients" was asked for, and no fault landed.`} {
		run := script.Parse(t, served()+"recovery at 201\n final at 300\n done at 400\n")
		run.Manifest.Version, run.Manifest.Nemesis = history.Version, "partition:clients"
		run.Events = append([]history.Event{
			{Time: 100 * time.Second, Type: history.Inject, Fault: 1, Family: "partition", Nodes: []string{node}, Links: []string{"clients>" + node}},
			{Time: 200 * time.Second, Type: history.Heal, Fault: 1, Family: "partition"},
		}, run.Events...)
		if result := Check(t.Context(), run, Register, Options{}); result.Vacuous != want {
			t.Errorf("%s: vacuous %q, want %q", node, result.Vacuous, want)
		}
	}
}
