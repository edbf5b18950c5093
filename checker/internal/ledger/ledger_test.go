package ledger

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/checker/internal/simulate"
	"github.com/rashomon-io/rashomon/harness/history"
)

// enumerate counts by the definitions of package anomaly, and by nothing
// else: it goes through every case.
func enumerate(operations []history.Operation, final time.Duration) (measured Counts, ages []time.Duration, versions []int) {
	type fact struct { // of an operation, over all cases
		cases, held int
		age         time.Duration
		versions    int
	}
	stale, lost := map[*history.Operation]*fact{}, map[*history.Operation]*fact{}
	var updates, observers, reads []*history.Operation
	value := map[*history.Operation]string{} // that an observer saw
	sources := map[*history.Operation][]*history.Operation{}
	writes := func(o *history.Operation) bool {
		return o.Outcome != history.Fail && (o.Kind == history.Write || o.Kind == history.CompareAndSet && o.Input.At(0) != o.Input.At(1))
	}
	wrote := func(o *history.Operation) string {
		return fmt.Sprint(history.Ints(o.Input.Ints()[o.Input.Len()-1:]...))
	}
	for i := range operations {
		o := &operations[i]
		if writes(o) {
			updates = append(updates, o)
		}
		if o.Outcome == history.OK && o.Kind != history.Write || o.Kind == history.CompareAndSet && o.Outcome == history.Fail && o.Output.Len() > 0 {
			saw := o.Output
			if o.Kind == history.CompareAndSet && o.Outcome == history.OK {
				saw = history.Ints(o.Input.Ints()[:1]...)
			}
			value[o] = fmt.Sprint(saw)
			observers = append(observers, o)
			if !writes(o) {
				reads = append(reads, o)
				stale[o] = &fact{age: history.Never, versions: len(operations)}
			}
		}
	}
	none := fmt.Sprint(history.Value{})
	for _, o := range observers {
		for _, u := range updates {
			if wrote(u) == value[o] && u.Invoke <= o.Complete {
				sources[o] = append(sources[o], u)
			}
		}
	}
	for _, w := range updates {
		if w.Outcome == history.OK {
			lost[w] = &fact{}
		}
	}

	saw := map[*history.Operation]*history.Operation{}
	chosen := map[*history.Operation]time.Duration{} // when an unknown was over, unless it was seen before
	judge := func() {
		shown, over := map[*history.Operation]time.Duration{}, map[*history.Operation]time.Duration{}
		for _, u := range updates {
			shown[u], over[u] = u.Complete, u.Complete
			if u.Outcome == history.Info {
				shown[u], over[u] = history.Never, chosen[u]
			}
			for o, source := range saw {
				if source == u {
					shown[u], over[u] = min(shown[u], o.Complete), min(over[u], o.Complete)
				}
			}
		}
		overBefore := func(o, w *history.Operation) bool {
			return value[o] == none || saw[o] != nil && over[saw[o]] < w.Invoke
		}
		older := func(o, w *history.Operation) bool {
			return value[o] != wrote(w) && (overBefore(o, w) || saw[o] != nil && saw[o] == saw[w])
		}
		for _, r := range reads {
			f := stale[r]
			f.cases++
			since, superseded := history.Never, 0
			for _, w := range updates {
				switch {
				case shown[w] < r.Invoke && value[r] != wrote(w) && overBefore(r, w):
					since = min(since, shown[w])
					superseded++
				case w.Outcome == history.OK && w.Complete < r.Invoke && older(r, w):
					since = min(since, w.Complete)
				}
			}
			if since != history.Never {
				f.held++
				f.age, f.versions = min(f.age, r.Invoke-since), min(f.versions, max(1, superseded))
			}
		}
		for w, f := range lost {
			f.cases++
			atEnd, old, swapped := 0, 0, false
			for _, o := range observers {
				switch {
				case writes(o):
					swapped = swapped || o.Invoke > w.Complete && older(o, w)
				case o.Invoke >= final:
					atEnd++
					if o.Invoke > w.Complete && older(o, w) {
						old++
					}
				}
			}
			if swapped || atEnd > 0 && old == atEnd {
				f.held++
			}
		}
	}
	var moments []time.Duration
	for _, o := range operations {
		moments = append(moments, o.Invoke, o.Complete)
	}
	moments = append(moments, history.Never)
	slices.Sort(moments)
	moments = slices.Compact(moments)
	var unknowns func(int)
	unknowns = func(i int) {
		if i == len(updates) {
			judge()
			return
		}
		if updates[i].Outcome != history.Info {
			unknowns(i + 1)
			return
		}
		for _, t := range moments {
			if t >= updates[i].Invoke {
				chosen[updates[i]] = t
				unknowns(i + 1)
			}
		}
	}
	var see func(int)
	see = func(i int) {
		if i == len(observers) {
			unknowns(0)
			return
		}
		delete(saw, observers[i])
		if len(sources[observers[i]]) == 0 {
			see(i + 1)
		}
		for _, u := range sources[observers[i]] {
			saw[observers[i]] = u
			see(i + 1)
		}
	}
	see(0)

	bound := func(b *counts.Bounds, f *fact) {
		if f.held == f.cases {
			b.Certain++
		}
		if f.held > 0 {
			b.Possible++
		}
	}
	for _, r := range reads {
		f := stale[r]
		bound(&measured.Stale, f)
		if f.held == f.cases {
			ages, versions = append(ages, f.age), append(versions, f.versions)
		}
	}
	for _, w := range updates {
		f := lost[w]
		if f == nil {
			continue
		}
		bound(&measured.Lost, f)
		if f.held > 0 {
			measured.Losses = append(measured.Losses, counts.Loss{Key: w.Key, Value: w.Input.At(w.Input.Len() - 1), Process: w.Process, Node: w.Node, At: w.Complete, Certain: f.held == f.cases})
		}
	}
	return measured, ages, versions
}

// anything is a history of which most make no sense.
func anything(r *rand.Rand, unique bool) []history.Operation {
	operations := make([]history.Operation, 1+r.IntN(7))
	unknown, span := 0, 4+r.IntN(10)
	for i := range operations {
		call := r.IntN(span)
		o := history.Operation{Process: i, Node: "n1", Key: "x", Invoke: time.Duration(call), Complete: time.Duration(call + r.IntN(3)), Outcome: history.OK}
		fresh := int64(i + 1)
		some := int64(1 + r.IntN(len(operations)))
		if !unique {
			fresh, some = int64(1+r.IntN(2)), int64(1+r.IntN(2))
		}
		if r.IntN(5) == 0 && unknown < 2 {
			unknown++
			o.Outcome = history.Info
		}
		switch r.IntN(5) {
		case 0, 1:
			o.Kind, o.Input = history.Write, history.Ints(fresh)
		case 2:
			o.Kind, o.Input = history.CompareAndSet, history.Ints(some, fresh)
			if o.Outcome == history.OK && r.IntN(3) == 0 {
				o.Outcome, o.Output = history.Fail, history.Ints(some)
				o.Input.Ints()[0] = 99
			}
		default:
			o.Kind = history.Read
			if r.IntN(6) > 0 {
				o.Output = history.Ints(some)
			}
		}
		if o.Outcome == history.Info {
			o.Output = history.Value{}
		}
		operations[i] = o
	}
	slices.SortStableFunc(operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return operations
}

// The bounds are those of all cases, and exact ones.
func TestMeasureRegister(t *testing.T) {
	for _, unique := range []bool{true, false} {
		t.Run(fmt.Sprintf("unique=%v", unique), func(t *testing.T) {
			t.Parallel()
			stale, lost, apart, linear := counts.Bounds{}, counts.Bounds{}, 0, 0
			for seed := range uint64(3 * script.Histories(t)) {
				r := rand.New(rand.NewPCG(seed, 11))
				operations := anything(r, unique)
				final := history.Never
				if seed%2 == 0 {
					final = operations[r.IntN(len(operations))].Invoke
				}
				got := measure(operations, final)
				want, ages, versions := enumerate(operations, final)
				if got.Stale != want.Stale || got.Lost != want.Lost {
					t.Fatalf("seed %d: stale %s, lost %s; want %s and %s of\n%s", seed, got.Stale, got.Lost, want.Stale, want.Lost, script.List(operations))
				}
				byProcess := func(a, b counts.Loss) int { return a.Process - b.Process }
				slices.SortFunc(got.Losses, byProcess)
				slices.SortFunc(want.Losses, byProcess)
				if diff := cmp.Diff(want.Losses, got.Losses); diff != "" {
					t.Fatalf("seed %d: %s\n%s", seed, diff, script.List(operations))
				}
				if !slices.Equal(got.Ages, ages) {
					t.Fatalf("seed %d: stale since %v, want %v\n%s", seed, got.Ages, ages, script.List(operations))
				}
				for i, n := range got.Versions {
					if n > versions[i] || n < versions[i] && unique {
						t.Fatalf("seed %d: stale by %d versions, but %d in some case\n%s", seed, n, versions[i], script.List(operations))
					}
				}
				if simulate.Linearizable(operations) {
					linear++
					if got.Stale.Certain > 0 || got.Lost.Certain > 0 {
						t.Fatalf("seed %d: stale %s and lost %s, of a linearizable history\n%s", seed, got.Stale, got.Lost, script.List(operations))
					}
				}
				stale.Add(got.Stale)
				lost.Add(got.Lost)
				if got.Stale.Certain != got.Stale.Possible || got.Lost.Certain != got.Lost.Possible {
					apart++
				}
			}
			t.Logf("stale %s, lost %s; the bounds are apart in %d histories; %d are linearizable", stale, lost, apart, linear)
			if stale.Certain == 0 || lost.Certain == 0 || apart == 0 || linear == 0 {
				t.Error("the histories are all alike")
			}
		})
	}
}

// measure is Measure, of operations rather than pointers.
func measure(operations []history.Operation, final time.Duration) Counts {
	all := make([]*history.Operation, len(operations))
	for i := range operations {
		all[i] = &operations[i]
	}
	return *Measure(all, final)
}

// Reads that are at odds are counted once, and not if one is stale by itself.
func TestAtOdds(t *testing.T) {
	reads := make([]*history.Operation, 5)
	for i := range reads {
		reads[i] = &history.Operation{Process: i}
	}
	measured := Counts{
		Stale:    counts.Bounds{Certain: 1, Possible: 2},
		certain:  map[*history.Operation]bool{reads[0]: true},
		possible: map[*history.Operation]bool{reads[0]: true, reads[1]: true},
	}
	for _, step := range []struct {
		reads []*history.Operation
		want  counts.Bounds
	}{
		{reads[0:2], counts.Bounds{Certain: 1, Possible: 2}},
		{reads[1:3], counts.Bounds{Certain: 2, Possible: 2}},
		{reads[2:4], counts.Bounds{Certain: 2, Possible: 2}},
		{reads[3:5], counts.Bounds{Certain: 3, Possible: 3}},
	} {
		if measured.AtOdds(step.reads); measured.Stale != step.want {
			t.Errorf("%s stale, want %s", measured.Stale, step.want)
		}
	}
}

// BenchmarkMeasureRegister is of one key.
func BenchmarkMeasureRegister(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		for _, share := range []int{0, 1, 20} {
			b.Run(fmt.Sprintf("operations=%d/stale=%d%%", n, share), func(b *testing.B) {
				operations := simulate.Valid(n, 1, 20)
				all := make([]*history.Operation, n)
				for i := range operations {
					o := &operations[i]
					if i > 2000 && i%100 < share {
						old := operations[i-1000-i%7]
						o.Kind, o.Input, o.Output = history.Read, history.Value{}, history.Ints(slices.Concat(old.Input.Ints(), old.Output.Ints())[old.Input.Len()+old.Output.Len()-1:]...)
					}
					all[i] = o
				}
				b.ResetTimer()
				for b.Loop() {
					measured := Measure(all, history.Never)
					if (measured.Stale.Certain > 0) != (share > 0) {
						b.Fatal(measured.Stale)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/operation")
			})
		}
	}
}
