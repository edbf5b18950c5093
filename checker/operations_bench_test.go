package checker

import (
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/internal/simulate"
	"github.com/rashomon-io/rashomon/harness/history"
)

// aRegister is a model of registers whose operations are this module's.
var aRegister = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, _ any) (bool, any) {
		held, o := state.(int64), input.(*history.Operation)
		switch {
		case o.Kind == history.Read && o.Output.Len() == 0:
			return held == 0, held
		case o.Kind == history.Read:
			return held == o.Output.At(0), held
		case o.Kind == history.Write:
			return true, o.Input.At(0)
		case o.Outcome == history.Fail:
			return held != o.Input.At(0), held
		}
		return held == o.Input.At(0), o.Input.At(1)
	},
}

// BenchmarkCheckOperations compares with Porcupine, its peer, on one register with
// five values and ten clients. The invalid history is so by its last operation, so
// its witness is the whole of it, and takes Porcupine as long again.
func BenchmarkCheckOperations(b *testing.B) {
	for _, test := range []struct {
		count int
		want  Verdict
	}{{1_000, Valid}, {1_000, Invalid}, {10_000, Valid}} {
		b.Run(fmt.Sprintf("%d-%s", test.count, test.want), func(b *testing.B) {
			made := simulate.Workload{Operations: test.count, Keys: 1, Concurrency: 10, Distinct: 5, Seed: 1}.History()
			if test.want == Invalid {
				end := made[len(made)-1].Complete + time.Second
				made = append(made, history.Operation{Kind: history.Read, Output: history.Ints(99), Outcome: history.OK, Invoke: end, Complete: end + 1})
			}
			var operations []porcupine.Operation
			for i := range made {
				o := &made[i]
				operations = append(operations, porcupine.Operation{ClientId: o.Process, Input: o, Call: int64(o.Invoke), Return: int64(o.Complete)})
			}
			var ours, theirs time.Duration
			for b.Loop() {
				began := time.Now()
				if r := CheckOperations(b.Context(), aRegister, operations, Options{}); r.Verdict != test.want {
					b.Fatalf("%s: %s", r.Verdict, r.Reason)
				}
				ours += time.Since(began)
				began = time.Now()
				if porcupine.CheckOperations(aRegister, operations) != (test.want == Valid) {
					b.Fatal("Porcupine disagrees")
				}
				theirs += time.Since(began)
			}
			b.ReportMetric(float64(ours)/float64(b.N*len(operations)), "ns/operation")
			b.ReportMetric(float64(ours)/float64(theirs), "porcupines")
		})
	}
}
