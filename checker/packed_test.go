package checker

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A packed history of registers is judged as the same one is whose operations are all in
// memory: with the same witnesses, counts and statistics.
func TestPackedIsJudgedTheSame(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 7))
		text := written(t, random, haphazard(random))
		run := &history.Run{History: read(t, text)}
		if seed%2 == 0 {
			faulty(random, run)
		}
		packed := *run
		packed.History = readPacked(t, text)
		options := Options{Engine: []Engine{"", "", "", Zones, Search}[seed%5]}
		want, got := Check(t.Context(), run, Register, options), Check(t.Context(), &packed, Register, options)
		want.Took, got.Took = 0, 0
		if a, b := asJSON(t, want), asJSON(t, got); a != b {
			t.Fatalf("seed %d: (-whole +packed)\n%s", seed, gocmp.Diff(a, b))
		}
		seen[string(want.Verdict)]++
		for _, v := range want.Violations {
			seen[string(v.Anomaly)]++
		}
		for _, d := range want.Decisions {
			seen[string(d.Engine)]++
		}
	}
	t.Log(seen)
	for _, what := range []string{"valid", "invalid", "unknown", "zones", "search", "stale read", "lost commit", "phantom read", "double swap"} {
		if seen[what] < 10 {
			t.Errorf("%q came about %d times", what, seen[what])
		}
	}
}

func asJSON(t *testing.T, result Result) string {
	text, err := json.MarshalIndent(result, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// written is a history's file, of which now and then the end is missing.
func written(t *testing.T, random *rand.Rand, operations []history.Operation) []byte {
	var file bytes.Buffer
	if err := history.WriteHistory(&file, history.History{Operations: operations}); err != nil {
		t.Fatal(err)
	}
	text := file.Bytes()
	if header := bytes.IndexByte(text, '\n') + 1; random.IntN(4) == 0 {
		text = text[:header+random.IntN(len(text)-header)]
	}
	return text
}

func read(t *testing.T, text []byte) history.History {
	h, err := history.ReadHistory(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func readPacked(t *testing.T, text []byte) history.History {
	h, err := history.ReadPacked(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if h.Packed == nil {
		t.Fatalf("the history was not packed:\n%s", text)
	}
	return h
}

// faulty makes a trial of a run, with faults at random times.
func faulty(random *rand.Rand, run *history.Run) {
	run.Manifest = history.Manifest{Version: history.Version, Nodes: []string{"n0", "n1", "n2"}, Nemesis: "kill,partition"}
	_, _, _, end := run.History.Span()
	at := func() time.Duration { return time.Duration(random.Int64N(int64(end) + 1)) }
	for i, phase := range []history.Phase{history.Quiet, history.Faults, history.Recovery, history.Final, history.Done} {
		run.Events = append(run.Events, history.Event{Type: history.PhaseBegins, Phase: phase, Time: end * time.Duration(i) / 4})
	}
	for fault := range random.IntN(5) {
		e := history.Event{Type: history.Inject, Fault: fault + 1, Family: "kill", Nodes: []string{"n1"}, Leader: "n1", Time: at()}
		if random.IntN(2) == 0 {
			e.Family, e.Links = "partition", []string{"n1>n0", "n1>n2", "n0>n1", "n2>n1"}
		}
		heal := history.Event{Type: history.Heal, Fault: fault + 1, Family: e.Family, Time: e.Time + at()}
		run.Events = append(run.Events, e, heal)
	}
	if random.IntN(3) == 0 {
		run.Events = append(run.Events, history.Event{Type: history.Unserved, Nodes: []string{"n2"}, Time: end, Took: end / 2})
	}
	slices.SortStableFunc(run.Events, func(a, b history.Event) int { return cmp.Compare(a.Time, b.Time) })
}

// haphazard is a history of a few registers by clients of which, now and then, one is
// told something wrong, or nothing.
func haphazard(random *rand.Rand) (operations []history.Operation) {
	type register struct {
		held  history.Value
		older history.Value
	}
	keys := 1 + random.IntN(4)
	registers := make([]register, keys)
	open := map[int]history.Operation{}
	processes, now, next := 1+random.IntN(6), time.Duration(0), int64(0)
	wrong, repeats := random.IntN(3) == 0, random.IntN(4) == 0
	for range random.IntN(150) {
		now += time.Duration(1 + random.IntN(int(40*time.Millisecond)))
		process := random.IntN(processes)
		o, busy := open[process]
		switch {
		case o.Outcome == history.Fail: // retired
			continue
		case !busy:
			o = history.Operation{Process: process, Node: fmt.Sprint("n", process%3), Kind: history.Read, Key: fmt.Sprint("k", random.IntN(keys)), Invoke: now}
			held := registers[int(o.Key[1]-'0')].held
			if next++; repeats && random.IntN(8) == 0 {
				next--
			}
			switch draw := random.IntN(10); {
			case draw < 3:
				o.Kind, o.Input = history.Write, history.Ints(next)
			case draw < 5 && held.Len() == 1:
				o.Kind, o.Input = history.CompareAndSet, history.Ints(held.At(0), next)
			}
			open[process] = o
			continue
		}
		delete(open, process)
		r := &registers[int(o.Key[1]-'0')]
		o.Complete, o.Outcome = now, history.OK
		lie := wrong && random.IntN(12) == 0
		switch {
		case o.Kind == history.Read:
			if o.Output = r.held; lie {
				o.Output = []history.Value{r.older, {}, history.Ints(999_999)}[random.IntN(3)]
			}
		case o.Kind == history.CompareAndSet && !r.held.Equal(history.Ints(o.Input.At(0))) && !lie:
			if o.Outcome = history.Fail; random.IntN(2) == 0 {
				o.Output = r.held
			}
		case !lie:
			r.older, r.held = r.held, history.Ints(o.Input.At(o.Input.Len()-1))
		}
		switch random.IntN(20) {
		case 0:
			o.Outcome, o.Output, o.Error = history.Info, history.Value{}, fmt.Sprintf("timeout %q of %d", "x", random.IntN(9))
			processes++
			open[process] = history.Operation{Outcome: history.Fail}
		case 1:
			if o.Kind == history.Read {
				o.Outcome, o.Output, o.Error = history.Fail, history.Value{}, "refused"
			}
		}
		operations = append(operations, o)
	}
	slices.SortFunc(operations, func(a, b history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })
	return operations
}
