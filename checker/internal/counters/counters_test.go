package counters

import (
	"testing"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/harness/history"
)

// What bounds find wrongly, Porcupine does not confirm, and then there is no verdict.
func TestWrongBoundsAreNotConfirmed(t *testing.T) {
	run := script.Parse(t, `p1 n1 increment c 2 [0,1] info
	                 p2 n1 increment c -1 [0,1] info
	                 p3 n2 read c -> 5 [2,3] ok
	                 p3 n2 read c -> 7 [4,5] ok`)
	c, err := newCounter("c", history.Never, model.Pointers(run.History.Operations))
	if err != nil {
		t.Fatal(err)
	}
	memory := court.NewMemory(1 << 30)
	help := evidence{anchor: c.reads[0], read: c.reads[1], may: c.additions[:1], fits: atMost}
	if found, err := model.Confirm(t.Context(), memory, []model.Candidate{c.candidate(help, anomaly.StaleRead, nil)}); len(found.Candidates) > 0 || err != court.ErrDisagree {
		t.Errorf("with help: %v, %v", found, err)
	}
	help.may = nil
	if found, err := model.Confirm(t.Context(), memory, []model.Candidate{c.candidate(help, anomaly.StaleRead, nil)}); len(found.Candidates) != 1 || err != nil {
		t.Errorf("without help: %v, %v", found, err)
	}
}
