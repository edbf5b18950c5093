package registers

import (
	"testing"

	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// Memory is counted once a configuration.
func TestMemory(t *testing.T) {
	var steps []step
	for range 12 { // 4,096 configurations are reached in 24,576 steps
		steps = append(steps, step{Ret: 1, From: register.None, To: 1})
	}
	steps = append(steps, step{Call: 2, Ret: 3, From: 2, To: register.None})
	explained, err := court.Linearizable[register.Value](t.Context(), court.NewMemory(4<<20), steps)
	if err != nil || explained {
		t.Errorf("explained: %t, %v", explained, err)
	}
}
