package checker

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/checker/internal/simulate"
	"github.com/rashomon-io/rashomon/harness/history"
)

// An occurrence is an invocation or a completion.
type occurrence struct {
	at        time.Duration
	complete  bool
	operation *history.Operation
}

// occurrences are in the order in which a Stream wants to be told.
func occurrences(operations []history.Operation) []occurrence {
	var all []occurrence
	for i := range operations {
		o := &operations[i]
		all = append(all, occurrence{o.Invoke, false, o}, occurrence{o.Complete, true, o})
	}
	slices.SortStableFunc(all, func(a, b occurrence) int {
		if c := cmp.Compare(a.at, b.at); c != 0 || a.complete == b.complete {
			return c
		}
		if a.complete {
			return 1
		}
		return -1
	})
	return all
}

// follow tells a stream until it raises an alarm, and returns of how many
// occurrences it was told.
func follow(s *Stream, all []occurrence) int {
	for i, e := range all {
		if e.complete {
			s.Complete(e.operation)
		} else {
			s.Invoke(e.operation)
		}
		if s.Alarm() != nil {
			return i + 1
		}
	}
	return len(all)
}

// prefix is what is known after some occurrences; what is under way is info.
func prefix(all []occurrence) []history.Operation {
	returned := map[*history.Operation]bool{}
	for _, e := range all {
		if e.complete {
			returned[e.operation] = true
		}
	}
	var known []history.Operation
	for _, e := range all {
		if !e.complete {
			o := *e.operation
			if !returned[e.operation] {
				o.Outcome, o.Output = history.Info, history.Value{}
			}
			known = append(known, o)
		}
	}
	return known
}

// disagreement holds a stream against Porcupine: it must raise an alarm with
// the very occurrence that makes the history so far not linearizable.
func disagreement(operations []history.Operation) (alarm *Alarm, off, problem string) {
	all := occurrences(operations)
	s := NewStream()
	told := follow(s, all)
	switch {
	case s.Alarm() == nil && s.Off() == "" && !simulate.Linearizable(operations):
		problem = "no alarm, but Porcupine finds no order"
	case s.Alarm() != nil && simulate.Linearizable(prefix(all[:told])):
		problem = fmt.Sprintf("%s at event %d, but Porcupine finds an order of what was told so far", s.Alarm(), told)
	case s.Alarm() != nil && !simulate.Linearizable(prefix(all[:told-1])):
		problem = fmt.Sprintf("%s at event %d comes late: Porcupine finds no order before", s.Alarm(), told)
	}
	return s.Alarm(), s.Off(), problem
}

// told makes failed compare-and-sets that do not tell what they saw, of which a
// stream can make nothing, say nothing to anybody.
func told(operations []history.Operation) []history.Operation {
	for i := range operations {
		if o := &operations[i]; o.Kind == history.CompareAndSet && o.Outcome == history.Fail && o.Output.Len() == 0 {
			o.Error = "refused"
		}
	}
	return operations
}

// More histories than for the other engines, since a stream is fast.
func TestStreamAgreesWithPorcupine(t *testing.T) {
	const each = 3
	var mu sync.Mutex
	alarms, offs, anomalies := 0, 0, map[anomaly.Name]int{}
	n := uint64(script.Histories(t)) * each
	var workers sync.WaitGroup
	for worker := range uint64(runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for seed := worker; seed < n && !t.Failed(); seed += uint64(runtime.GOMAXPROCS(0)) {
				operations := told(simulate.Universe{Unique: true, Size: 14}.Draw(rand.New(rand.NewPCG(seed, 11))))
				alarm, off, problem := disagreement(operations)
				if problem != "" {
					t.Errorf("seed %d: %s\n%s", seed, problem, script.List(operations))
				}
				mu.Lock()
				if alarm != nil {
					alarms++
					anomalies[alarm.Anomaly]++
				}
				if off != "" {
					offs++
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	if alarms == 0 || alarms+offs > int(n)/2 {
		t.Error("the histories are all alike")
	}
	t.Logf("%d alarms in %d histories, %d times off: %v", alarms, n, offs, anomalies)
}

// Longer histories, in which more is forgotten, are too hard for Porcupine alone.
func TestStreamAgreesWithCheck(t *testing.T) {
	alarms, decided := 0, 0
	for seed := range uint64(2000) {
		operations := told(simulate.Universe{Unique: true, Size: 60}.Draw(rand.New(rand.NewPCG(seed, 13))))
		s := NewStream()
		follow(s, occurrences(operations))
		run := &history.Run{History: history.History{Operations: operations}}
		result := Check(t.Context(), run, Register, Options{Budget: Budget{Time: 20 * time.Millisecond}})
		if s.Off() != "" || result.Verdict == Unknown {
			continue
		}
		decided++
		if s.Alarm() != nil {
			alarms++
		}
		if (s.Alarm() != nil) != (result.Verdict == Invalid) {
			t.Fatalf("seed %d: alarm %v, but the verdict is %s\n%s", seed, s.Alarm(), result.Verdict, script.List(operations))
		}
	}
	t.Logf("%d alarms in %d histories", alarms, decided)
	if decided < 1000 || alarms < 100 || alarms > decided-100 {
		t.Error("the histories are too hard, or all alike")
	}
}

// The bytes of a fuzz input draw the history, so that mutating them mutates it.
func FuzzStream(f *testing.F) {
	for seed := range uint64(20) {
		bytes := make([]byte, 400)
		r := rand.New(rand.NewPCG(seed, 12))
		for i := range bytes {
			bytes[i] = byte(r.Uint32())
		}
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		operations := told(simulate.Universe{Unique: true, Size: 14}.Draw(rand.New(&tape{input})))
		if _, _, problem := disagreement(operations); problem != "" {
			t.Errorf("%s\n%s", problem, script.List(operations))
		}
	})
}

// A tape is a source of randomness that ends in a constant sequence.
type tape struct{ left []byte }

func (t *tape) Uint64() uint64 {
	n := min(2, len(t.left))
	var draw uint64 = 0x5bd1
	for _, b := range t.left[:n] {
		draw = draw<<8 | uint64(b)
	}
	t.left = t.left[n:]
	return draw * 0x9e3779b97f4a7c15 // into the high bits, which are used first
}

func TestStream(t *testing.T) {
	for _, test := range []struct {
		name, history string
		alarm         string // its words and how many operations are at odds; empty for none
		off           string
	}{
		{
			name: "fresh reads",
			history: `
				p1 n1 write x 1 [0,1] ok
				p2 n1 read x -> 1 [2,3] ok
				p3 n1 cas x 1 2 [4,5] ok
				p4 n1 read x -> 2 [6,7] ok
				p5 n1 cas x 1 3 -> 2 [8,9] fail`,
		}, {
			name: "stale read",
			history: `
				p1 n1 write x 1 [0,1] ok
				p2 n1 write x 2 [2,3] ok
				p3 n2 read x -> 1 [4,5] ok`,
			alarm: `stale read of "x" by p3 at 5.000 s, 3`,
		}, {
			name: "stale read of what is forgotten",
			history: `
				p1 n1 write x 1 [0,1] ok
				p2 n1 write x 2 [2,3] ok
				p4 n1 read x -> 2 [4,5] ok
				p4 n1 read x -> 2 [6,7] ok
				p3 n2 read x -> 1 [8,9] ok`,
			alarm: `stale read of "x" by p3 at 9.000 s, 1`,
		}, {
			name: "stale read while all is remembered, as a read is under way",
			history: `
				p9 n1 read y [0,100] ok
				p1 n1 write x 1 [0,1] ok
				p8 n3 read x -> 2 [0.5,90] ok
				p2 n1 write x 2 [2,3] ok
				p3 n2 read x -> 1 [4,5] ok`,
			alarm: `stale read of "x" by p3 at 5.000 s, 3`,
		}, {
			name: "nothing was read of what had been written",
			history: `
				p1 n1 write x 1 [0,1] ok
				p3 n2 read x [4,5] ok`,
			alarm: `stale read of "x" by p3 at 5.000 s, 2`,
		}, {
			name: "keys are apart",
			history: `
				p1 n1 write x 1 [0,1] ok
				p3 n2 read y [4,5] ok`,
		}, {
			name: "a write of unknown outcome is observed, much later, and not a second time",
			history: `
				p1 n1 write x 1 [0,1] info
				p2 n1 write x 2 [2,3] ok
				p3 n1 write x 3 [4,5] ok
				p4 n2 read x -> 1 [6,7] ok
				p5 n2 read x -> 1 [8,9] ok
				p6 n2 write x 4 [10,11] ok
				p7 n2 read x -> 1 [12,13] ok`,
			alarm: `stale read of "x" by p7 at 13.000 s, 3`,
		}, {
			name: "a value is observed before its write has returned, which then fails",
			history: `
				p1 n1 write x 1 [0,10] fail
				p4 n2 read x -> 1 [6,7] ok`,
			alarm: `phantom read of "x" by p1 at 10.000 s, 2`,
		}, {
			name: "swaps of unknown outcome follow from what is observed",
			history: `
				p1 n1 write x 1 [0,1] ok
				p2 n1 cas x 1 2 [2,3] info
				p3 n1 cas x 2 3 [2,3] info
				p4 n2 read x -> 3 [6,7] ok
				p5 n2 read x -> 2 [8,9] ok`,
			alarm: `stale read of "x" by p5 at 9.000 s, 3`,
		}, {
			name: "two swaps of one value, both of unknown outcome",
			history: `
				p1 n1 write x 1 [0,1] ok
				p2 n1 cas x 1 2 [2,20] ok
				p3 n1 cas x 1 3 [2,3] info
				p4 n2 read x -> 3 [6,7] ok
				p5 n2 read x -> 2 [8,9] ok`,
			alarm: `double swap of "x" by p5 at 9.000 s, 3`,
		}, {
			name: "a swap of an old value",
			history: `
				p1 n1 write x 1 [0,1] ok
				p2 n1 write x 2 [2,3] ok
				p3 n1 cas x 1 3 [4,5] ok`,
			alarm: `lost commit of "x" by p3 at 5.000 s, 3`,
		}, {
			name: "swaps that lead to each other",
			history: `
				p1 n1 cas x 1 2 [0,1] info
				p2 n1 cas x 2 1 [2,3] info
				p3 n1 read x -> 1 [4,5] ok`,
			alarm: `disorder of "x" by p3 at 5.000 s, 3`,
		}, {
			name: "a swap that leads to itself",
			history: `
				p1 n1 cas x 1 1 [0,1] ok`,
			alarm: `disorder of "x" by p1 at 1.000 s, 1`,
		}, {
			name: "a refused value may be written again",
			history: `
				p1 n1 write x 1 [0,1] fail
				p2 n1 write x 1 [2,3] ok
				p3 n1 read x -> 1 [4,5] ok`,
		}, {
			name: "a repeated value turns the stream off for its key alone",
			history: `
				p1 n1 write x 1 [0,1] ok
				p2 n1 write x 1 [2,3] ok
				p3 n1 read x [4,5] ok
				p4 n1 write y 1 [6,7] ok
				p5 n1 read y [8,9] ok`,
			alarm: `stale read of "y" by p5 at 9.000 s, 2`,
			off:   `off for key "x": 1 is written twice`,
		}, {
			name:    "an operation of another model",
			history: `p1 n1 add s 1 [0,1] ok`,
			off:     `off: p1 invokes "add" with 1 values, which is no operation of a register`,
		}, {
			name:    "two operations of a process",
			history: "p1 n1 read x [0,2] ok\np1 n1 read x [1,3] ok",
			off:     `off: p1 invokes "read" while another operation of it is under way`,
		}, {
			name:    "two outputs",
			history: "p1 n1 read x -> 1 2 [0,2] ok",
			off:     `off: p1 completes "read" with 2 values and the outcome ok, which is no operation of a register`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := NewStream()
			follow(s, occurrences(script.Parse(t, test.history).History.Operations))
			got := ""
			if a := s.Alarm(); a != nil {
				got = fmt.Sprintf("%s, %d", a, len(a.Operations))
				if last := a.Operations[0]; last.Complete != a.At {
					t.Errorf("the alarm is at %v, and its first operation completed at %v", a.At, last.Complete)
				}
			}
			if got != test.alarm || s.Off() != test.off {
				t.Errorf("got %q, %q; want %q, %q", got, s.Off(), test.alarm, test.off)
			}
		})
	}
}

func TestStreamNeedsOrder(t *testing.T) {
	write := history.Operation{Kind: history.Write, Key: "x", Input: history.Ints(1), Invoke: 5, Complete: 7, Outcome: history.OK}
	read := history.Operation{Process: 1, Kind: history.Read, Key: "x", Invoke: 7, Complete: 8, Outcome: history.OK}
	for _, test := range []struct {
		name string
		tell func(*Stream)
	}{
		{"an invocation after a completion at the same moment", func(s *Stream) { s.Invoke(&write); s.Complete(&write); s.Invoke(&read) }},
		{"an invocation before what was told", func(s *Stream) { s.Invoke(&read); s.Invoke(&write) }},
		{"a completion before what was told", func(s *Stream) { s.Invoke(&write); read.Invoke = 9; s.Invoke(&read); s.Complete(&write) }},
		{"a completion alone", func(s *Stream) { s.Complete(&write) }},
	} {
		s := NewStream()
		test.tell(s)
		if s.Off() == "" || s.Alarm() != nil {
			t.Errorf("%s: off %q, alarm %v", test.name, s.Off(), s.Alarm())
		}
	}
}

// Writes that nobody observes may be observed at any time. A stream does not
// remember them without limit, and then says nothing more.
func TestStreamLimit(t *testing.T) {
	s := NewStream()
	at := time.Duration(0)
	for i := range 2 * StreamLimit {
		at += 2
		write := history.Operation{Process: i, Kind: history.Write, Key: "x", Input: history.Ints(int64(i)), Invoke: at, Complete: at + 1}
		s.Invoke(&write)
		s.Complete(&write)
		if s.Off() != "" {
			if i < StreamLimit-10 {
				t.Errorf("off after %d writes: %s", i, s.Off())
			}
			break
		}
	}
	const want = "off: too many values may still be observed: 1 keys, 1 operations under way and 99999 writes are more than 100000 together"
	if s.Off() != want {
		t.Errorf("off: %q, want %q", s.Off(), want)
	}
	s.Invoke(&history.Operation{Process: -1, Kind: history.Read, Key: "x", Invoke: at + 2})
	s.Complete(&history.Operation{Process: -1, Kind: history.Read, Key: "x", Output: history.Ints(-5), Outcome: history.OK, Complete: at + 3})
	if s.Alarm() != nil {
		t.Errorf("off, and yet: %s", s.Alarm())
	}
}

// A violation that comes before any fault is no less of one.
func TestAStoppedRunIsNotVacuous(t *testing.T) {
	text := "p1 n1 write x 1 [0,1] ok\n p1 n1 write x 2 [2,3] ok\n p2 n2 read x -> 1 [4,5] ok\n"
	for i := range 10 {
		text += fmt.Sprintf("p1 n1 read x -> 2 [%d,%d] ok\n", 6+2*i, 7+2*i)
	}
	run := script.Parse(t, text+whole)
	run.Manifest.Version = history.Version
	run.Manifest.Nemesis, run.Manifest.Claim.Expect = "partition", []string{string(anomaly.StaleRead)}
	run.Events = append(run.Events, history.Event{Time: 6 * time.Second, Type: history.Stop, Reason: "first violation"})
	if result := Check(t.Context(), run, Register, Options{}); result.Vacuous != "" || result.AsClaimed != AsClaimed {
		t.Errorf("vacuous %q, %s", result.Vacuous, result.AsClaimed)
	}
}
