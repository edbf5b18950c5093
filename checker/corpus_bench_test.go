package checker

import (
	"cmp"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/internal/corpus"
	"github.com/rashomon-io/rashomon/harness/history"
)

// corpusPatience is how long Porcupine, and we, may take for one history.
const corpusPatience = 5 * time.Second

// A rivalry is what one history took.
type rivalry struct {
	corpus.History
	theirs, ours time.Duration
	said         Verdict // by Porcupine
	found        Result
}

// ratio is ours to theirs; if Porcupine does not decide, it is to what it had.
func (r rivalry) ratio() float64 { return float64(r.ours) / float64(r.theirs) }

// within: ours is at most so many times theirs, and a millisecond.
func (r rivalry) within(times float64) bool {
	return r.ours <= time.Duration(times*float64(r.theirs))+time.Millisecond
}

// compete lets both decide a history, in turns, and takes the best of each.
func compete(b *testing.B, h corpus.History) rivalry {
	r := rivalry{History: h, theirs: history.Never, ours: history.Never}
	for began := time.Now(); r.ours == history.Never || time.Since(began) < 200*time.Millisecond; {
		runtime.GC()
		start := time.Now()
		said := porcupine.CheckOperationsTimeout(h.Model, h.Operations, corpusPatience)
		r.theirs = min(r.theirs, time.Since(start))
		r.said = map[porcupine.CheckResult]Verdict{porcupine.Ok: Valid, porcupine.Illegal: Invalid, porcupine.Unknown: Unknown}[said]
		runtime.GC()
		start = time.Now()
		r.found = CheckOperations(b.Context(), h.Model, h.Operations, Options{ReadOnly: h.ReadOnly, Unknown: h.Unknown, Budget: Budget{Time: corpusPatience, Witness: -1}})
		r.ours = min(r.ours, time.Since(start))
	}
	switch {
	case r.found.Verdict != r.said && r.found.Verdict != Unknown && r.said != Unknown:
		b.Fatalf("%s: %s, Porcupine says %s", h.Name, r.found.Verdict, r.said)
	case r.found.Verdict == Invalid && h.Legal:
		b.Fatalf("%s: invalid, and it is legal", h.Name)
	}
	return r
}

// BenchmarkCorpus compares with Porcupine on every history of the corpus, and tells for
// how many of those that one of the two decides the targets are met: at most 1.2 and 2
// times its time, and a millisecond; at most 0.2 times where it takes over a second.
// -v tells of each history.
func BenchmarkCorpus(b *testing.B) {
	all, err := corpus.Porcupine()
	if err != nil {
		b.Fatal(err)
	}
	for seed := uint64(1); seed <= corpus.Seeds; seed++ {
		all = append(all, corpus.OfSeed(seed).Make(seed, true), corpus.OfSeed(seed).Make(seed, false))
	}
	all = append(all, corpus.Shape{Object: "keys", Clients: 50, Operations: 2000, Busy: 1}.Make(51, false))
	for b.Loop() {
		var decided, hard []rivalry
		neither := 0
		for _, h := range all {
			r := compete(b, h)
			b.Logf("%-45s Porcupine %-8s %12s  we %-8s %12s  %8.3f", h.Name, r.said, r.theirs, r.found.Verdict, r.ours, r.ratio())
			if r.said == Unknown && r.found.Verdict == Unknown {
				neither++
				continue
			}
			decided = append(decided, r)
			if r.theirs > time.Second {
				hard = append(hard, r)
			}
		}
		slices.SortFunc(decided, func(a, b rivalry) int { return cmp.Compare(a.ratio(), b.ratio()) })
		share := func(of []rivalry, met func(rivalry) bool) float64 {
			count := 0
			for _, r := range of {
				if met(r) {
					count++
				}
			}
			return 100 * float64(count) / float64(len(of))
		}
		for name, q := range map[string]float64{"median": 0.5, "p95": 0.95, "max": 1} {
			b.ReportMetric(decided[int(q*float64(len(decided)-1))].ratio(), name)
		}
		b.ReportMetric(share(decided, func(r rivalry) bool { return r.within(1.2) }), "%≤1.2")
		b.ReportMetric(share(decided, func(r rivalry) bool { return r.within(2) }), "%≤2")
		b.ReportMetric(share(hard, func(r rivalry) bool { return r.ratio() <= 0.2 }), "%hard≤0.2")
		b.ReportMetric(float64(len(hard)), "hard")
		b.ReportMetric(float64(neither), "neither")
	}
}
