package model

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/harness/history"
)

// anything can be done.
type anything struct{ *history.Operation }

func (a anything) Interval() (call, ret time.Duration) { return a.Invoke, Returns(a.Operation) }

func (a anything) Apply(state bool) (bool, bool) { return state, true }

// A candidate that Porcupine does not confirm is no verdict, in either direction.
func TestUnconfirmedIsUnknown(t *testing.T) {
	run := script.Parse(t, "p1 n1 enqueue q 1 [0,1] ok")
	for bytes, reason := range map[uint64]string{1 << 30: "Porcupine does not agree", 1: "memory budget"} {
		a := NewAnswer()
		a.EachKey(t.Context(), run, court.Budget{Time: time.Minute, MemoryBytes: bytes}, "queue",
			func(ctx context.Context, memory *court.Memory, _ string, operations []*history.Operation) (Confirmed, error) {
				c := Candidate{Anomaly: anomaly.LostCommit, Witness: Copies(operations...), Text: func(sentence.Teller) string { return "lost" }}
				return Confirm(ctx, memory, []Candidate{ByWitness[bool](c, func(witness []history.Operation) (steps []anything) {
					for _, o := range Pointers(witness) {
						steps = append(steps, anything{o})
					}
					return steps
				})})
			})
		if a.KeysUnknown != 1 || a.KeysInvalid != 0 || len(a.Violations) > 0 || !strings.Contains(a.Reason, reason) {
			t.Errorf("%+v", a)
		}
	}
}
