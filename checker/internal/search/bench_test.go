//go:build unix

package search

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// decideAll decides keys on as many goroutines as there are processors.
func decideAll(b *testing.B, keys [][]register.Step) []Answer {
	ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
	defer cancel()
	answers := make([]Answer, len(keys))
	memory := NewMemory(2 << 30)
	next := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				answers[i] = Register(ctx, keys[i], memory)
			}
		})
	}
	for i := range keys {
		next <- i
	}
	close(next)
	wg.Wait()
	return answers
}

// processorTime is what the process has used so far, of all processors.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkTable decides five values of every size, and prints a table: all keys
// together, in milliseconds of time and, as the machine may be busy, of
// processors' time, and the greatest width that was needed at last.
func BenchmarkTable(b *testing.B) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer table.Flush()
	fmt.Fprintln(table, "operations\tkeys\tclients\tunknown\tvalid\tprocessors\twidth\tviolation\tprocessors\twidth\t")
	for _, operations := range []int{10_000, 100_000} {
		for _, keys := range []int{1, 10, 100} {
			for _, clients := range []int{5, 20, 100} {
				for _, unknown := range []float64{0, 0.01, 0.05} {
					fmt.Fprintf(table, "%d\t%d\t%d\t%g %%\t", operations, keys, clients, 100*unknown)
					for _, stale := range []bool{false, true} {
						t := traffic{operations / keys, clients, 5, unknown, stale}
						b.Run(fmt.Sprintf("operations=%d/keys=%d/clients=%d/unknown=%g/stale=%t", operations, keys, clients, unknown, stale), func(b *testing.B) {
							t.decide(b, keys, table)
						})
					}
					fmt.Fprintln(table)
				}
			}
		}
	}
}

// BenchmarkFiftyValues is harder: of each value, few writes are open at a time.
// With 100 clients it is not decided in 20 s.
func BenchmarkFiftyValues(b *testing.B) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer table.Flush()
	for _, clients := range []int{5, 20, 100} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			traffic{10_000, clients, 50, 0, false}.decide(b, 1, table)
		})
		fmt.Fprintln(table)
	}
}

// BenchmarkUnknownWrites decides an illegal history to which unknown writes are
// added, at the beginning or evenly, of one value or of four. The ratio is to the
// time without any.
func BenchmarkUnknownWrites(b *testing.B) {
	steps := traffic{10_000, 10, 5, 0, true}.draw(1)
	for _, values := range []int{1, 4} {
		for _, evenly := range []bool{false, true} {
			base := 0.0
			for k := 0; k <= 24; k += 4 {
				more := slices.Clone(steps)
				for i := range k {
					call := int64(0)
					if evenly {
						call = steps[len(steps)/2*i/k].Call
					}
					more = append(more, register.Step{Call: call, Ret: register.Never, From: register.None, To: register.Value(1 + i%values)})
				}
				slices.SortStableFunc(more, func(a, b register.Step) int { return cmp.Compare(a.Call, b.Call) })
				b.Run(fmt.Sprintf("values=%d/evenly=%t/k=%d", values, evenly, k), func(b *testing.B) {
					before := processorTime(b)
					for b.Loop() {
						if a := Register(b.Context(), more, NewMemory(2<<30)); a.Verdict != Invalid {
							b.Fatal(a)
						}
					}
					used := float64(processorTime(b)-before) / float64(b.N)
					if k == 0 {
						base = used
					}
					b.ReportMetric(used/base, "ratio")
				})
			}
		}
	}
}

// decide draws histories of as many keys, and decides them.
func (t traffic) decide(b *testing.B, keys int, table *tabwriter.Writer) {
	want := Valid
	if t.stale {
		want = Invalid
	}
	histories := make([][]register.Step, keys)
	for k := range histories {
		histories[k] = t.draw(uint64(k))
	}
	width, undecided := 0, 0
	began, before := time.Now(), processorTime(b)
	for b.Loop() {
		for _, a := range decideAll(b, histories) {
			switch a.Verdict {
			case want:
			case Unknown:
				undecided++
			default:
				b.Error(a)
			}
			width = max(width, a.Width)
		}
	}
	took, used := time.Since(began)/time.Duration(b.N), (processorTime(b)-before)/time.Duration(b.N)
	b.ReportMetric(float64(used.Milliseconds()), "processor-ms/op")
	b.ReportMetric(float64(undecided)/float64(b.N), "undecided/op")
	fmt.Fprintf(table, "%d ms\t%d ms\t%d\t", took.Milliseconds(), used.Milliseconds(), width)
}
