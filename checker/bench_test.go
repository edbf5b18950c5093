//go:build unix

package checker

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/registers"
	"github.com/rashomon-io/rashomon/checker/internal/simulate"
	"github.com/rashomon-io/rashomon/checker/internal/zones"
	"github.com/rashomon-io/rashomon/harness/history"
)

// decide is what these benchmarks time: from operations to a verdict, by zones or
// by the engine that is asked for. Witnesses and statistics come on top: see
// "with-statistics".
func decide(b *testing.B, operations []history.Operation, engine Engine) Result {
	b.Helper()
	run := &history.Run{History: history.History{Operations: operations}}
	if reason := Register.malformed(operations); reason != "" {
		b.Fatal(reason)
	}
	result := Result{Verdict: Valid}
	if engine != "" {
		result.take(registers.Decide(b.Context(), run, court.Budget{Time: time.Hour, MemoryBytes: 16 << 30}, string(engine)))
		return result
	}
	_, answers := registers.ByZones(run)
	for _, answer := range answers {
		switch answer.Verdict {
		case zones.Valid:
		case zones.Invalid:
			result.Verdict = Invalid
		default:
			b.Fatal("zones cannot decide")
		}
	}
	return result
}

// A stopwatch measures what a benchmark's loop took, an iteration: the time, and
// that of all processors together, which another's load does not prolong.
type stopwatch struct{ wall, processor time.Duration }

func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// timed runs the benchmark's loop, and reports it by operation.
func timed(b *testing.B, operations int, body func()) stopwatch {
	b.Helper()
	began := processorTime()
	for b.Loop() {
		body()
	}
	s := stopwatch{b.Elapsed() / time.Duration(b.N), (processorTime() - began) / time.Duration(b.N)}
	b.ReportMetric(float64(s.wall)/float64(operations), "ns/operation")
	b.ReportMetric(float64(s.processor)/float64(operations), "cpu-ns/operation")
	return s
}

func expect(b *testing.B, got Result, want Verdict) {
	b.Helper()
	if got.Verdict != want {
		b.Fatalf("%s (%s), want %s", got.Verdict, got.Reason, want)
	}
}

// BenchmarkRegister goes through all sizes, numbers of keys, concurrencies and
// shares of unknown outcomes, valid and with one stale read near the end, and
// sums up at last: the longest check, and how the time grows from 100 thousand
// to a million operations. Use -benchtime 3x.
func BenchmarkRegister(b *testing.B) {
	type kase struct {
		simulate.Workload
		stale bool
	}
	took := map[kase]stopwatch{}
	for _, operations := range []int{10_000, 100_000, 1_000_000} {
		for _, keys := range []int{1, 10, 100, 1000} {
			for _, concurrency := range []int{5, 20, 100} {
				for _, unknown := range []int{0, 1, 5} {
					w := simulate.Workload{Operations: operations, Keys: keys, Concurrency: concurrency, Unknown: unknown}
					var all []history.Operation
					for _, verdict := range []Verdict{Valid, Invalid} {
						b.Run(fmt.Sprintf("operations=%d/keys=%d/concurrency=%d/unknown=%d%%/%s", operations, keys, concurrency, unknown, verdict), func(b *testing.B) {
							if all == nil {
								all = w.History()
							}
							if verdict == Invalid {
								all = slices.Clone(all)
								simulate.Stale(all)
							}
							took[kase{w, verdict == Invalid}] = timed(b, operations, func() { expect(b, decide(b, all, ""), verdict) })
						})
					}
				}
			}
		}
	}
	b.Run("summary", func(b *testing.B) {
		var longest stopwatch
		growth := 0.0
		for k, s := range took {
			longest = stopwatch{max(longest.wall, s.wall), max(longest.processor, s.processor)}
			smaller := k
			smaller.Operations /= 10
			if t, ok := took[smaller]; ok && k.Operations == 1_000_000 {
				growth = max(growth, float64(s.processor)/float64(t.processor))
			}
		}
		for b.Loop() {
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(len(took)), "cases")
		b.ReportMetric(longest.wall.Seconds(), "max-s")
		b.ReportMetric(longest.processor.Seconds(), "max-cpu-s")
		b.ReportMetric(growth, "max-growth")
	})
}

// BenchmarkRegisterOrder compares operations in the order of their invocation
// with the same in none.
func BenchmarkRegisterOrder(b *testing.B) {
	w := simulate.Workload{Operations: 1_000_000, Keys: 1, Concurrency: 20, Unknown: 1}
	all := w.History()
	b.Run("sorted", func(b *testing.B) { timed(b, len(all), func() { expect(b, decide(b, all, ""), Valid) }) })
	shuffled := slices.Clone(all)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(all), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	b.Run("shuffled", func(b *testing.B) { timed(b, len(all), func() { expect(b, decide(b, shuffled, ""), Valid) }) })
}

// BenchmarkRegisterHard goes through what costs more than a plain history.
func BenchmarkRegisterHard(b *testing.B) {
	const operations = 1_000_000
	plain := simulate.Workload{Operations: operations, Keys: 1, Concurrency: 20, Unknown: 1}
	b.Run("refusals", func(b *testing.B) {
		w := plain
		w.Refusals = true
		all := w.History()
		timed(b, operations, func() { expect(b, decide(b, all, Zones), Valid) })
	})
	b.Run("every-third-read-stale", func(b *testing.B) {
		all := plain.History()
		var written []history.Value
		for i := range all {
			switch o := &all[i]; {
			case o.Kind == history.Write && o.Outcome == history.OK:
				written = append(written, o.Input)
			case o.Kind == history.Read && i%3 == 0 && len(written) > 100:
				o.Output = written[len(written)-100]
			}
		}
		timed(b, operations, func() { expect(b, decide(b, all, ""), Invalid) })
	})
	for _, verdict := range []Verdict{Valid, Invalid} {
		b.Run("with-witness-and-statistics/"+string(verdict), func(b *testing.B) {
			run := &history.Run{History: history.History{Operations: plain.History()}}
			if verdict == Invalid {
				simulate.Stale(run.History.Operations)
			}
			timed(b, operations, func() { expect(b, Check(b.Context(), run, Register, Options{}), verdict) })
		})
	}
	b.Run("100000-keys", func(b *testing.B) {
		w := plain
		w.Keys = 100_000
		all := w.History()
		timed(b, operations, func() { expect(b, decide(b, all, ""), Valid) })
	})
}

// BenchmarkRegisterPorcupine compares with Porcupine, on the same history. It
// needs memory as the square of the operations: set RASHOMON_PORCUPINE=100000
// for as many of them, which takes some 3 GB.
func BenchmarkRegisterPorcupine(b *testing.B) {
	sizes := []int{3_000, 10_000}
	if n, err := strconv.Atoi(os.Getenv("RASHOMON_PORCUPINE")); err == nil {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		w := simulate.Workload{Operations: n, Keys: 1, Concurrency: 5}
		valid := w.History()
		b.Run(fmt.Sprintf("operations=%d", n), func(b *testing.B) {
			var theirs, ours time.Duration
			for b.Loop() {
				began := processorTime()
				if !simulate.Linearizable(valid) {
					b.Fatal("Porcupine says that it is not linearizable")
				}
				theirs += processorTime() - began
				const repeat = 10
				began = processorTime()
				for range repeat {
					expect(b, decide(b, valid, ""), Valid)
				}
				ours += (processorTime() - began) / repeat
			}
			b.ReportMetric(theirs.Seconds()/float64(b.N), "porcupine-cpu-s")
			b.ReportMetric(ours.Seconds()/float64(b.N), "zones-cpu-s")
			b.ReportMetric(float64(theirs)/float64(ours), "times-faster")
		})
	}
}

// BenchmarkRegisterUnknowns adds up to 24 writes of unknown outcome, half of
// which somebody read, to a history with a stale read.
func BenchmarkRegisterUnknowns(b *testing.B) {
	w := simulate.Workload{Operations: 1000, Keys: 1, Concurrency: 5}
	base := w.History()
	simulate.Stale(base)
	var first stopwatch
	for k := range 25 {
		b.Run(fmt.Sprintf("unknown=%d", k), func(b *testing.B) {
			all := slices.Clone(base)
			for i := range k {
				value := history.Ints(int64(-1 - i))
				all = append(all, history.Operation{Process: 10_000 + i, Key: base[0].Key, Kind: history.Write, Input: value, Invoke: base[i].Invoke, Complete: base[i].Complete})
				if i%2 == 0 {
					at := base[len(base)-1].Complete + time.Duration(i+1)*time.Second
					all = append(all, history.Operation{Process: 20_000, Key: base[0].Key, Kind: history.Read, Output: value, Invoke: at, Complete: at + 1, Outcome: history.OK})
				}
			}
			s := timed(b, len(all), func() { expect(b, decide(b, all, ""), Invalid) })
			if k == 0 {
				first = s
			}
			b.ReportMetric(float64(s.processor)/float64(first.processor), "times-none")
		})
	}
}

// BenchmarkFiveValues goes through the whole check, with witness and statistics,
// of every size, valid and with a stale read, and sums up at last. Use
// -benchtime 1x.
func BenchmarkFiveValues(b *testing.B) {
	var longest stopwatch
	slowest := ""
	decided, cases, largest := 0, 0, 0
	for _, operations := range []int{10_000, 100_000} {
		for _, keys := range []int{1, 10, 100} {
			for _, concurrency := range []int{5, 20, 100} {
				for _, unknown := range []int{0, 1, 5} {
					for _, verdict := range []Verdict{Valid, Invalid} {
						w := simulate.Workload{Operations: operations, Keys: keys, Concurrency: concurrency, Unknown: unknown, Distinct: 5}
						b.Run(fmt.Sprintf("operations=%d/keys=%d/concurrency=%d/unknown=%d%%/%s", operations, keys, concurrency, unknown, verdict), func(b *testing.B) {
							run := &history.Run{History: history.History{Operations: w.Repeated(verdict == Invalid)}}
							var result Result
							s := timed(b, operations, func() { result = Check(b.Context(), run, Register, Options{}) })
							cases++
							if result.Verdict == verdict {
								decided++
							} else if result.Verdict != Unknown {
								b.Errorf("%s, want %s", result.Verdict, verdict)
							}
							if s.processor > longest.processor {
								longest, slowest = s, b.Name()
							}
							for _, v := range result.Violations {
								b.ReportMetric(float64(len(v.Witness)), "witness")
								largest = max(largest, len(v.Witness))
							}
						})
					}
				}
			}
		}
	}
	b.Run("summary", func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(cases), "cases")
		b.ReportMetric(float64(decided), "decided")
		b.ReportMetric(float64(largest), "max-witness")
		b.ReportMetric(longest.wall.Seconds(), "max-s")
		b.ReportMetric(longest.processor.Seconds(), "max-cpu-s")
		b.Log("the slowest:", slowest)
	})
}
