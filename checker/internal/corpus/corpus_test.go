package corpus

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// What is made to be legal is, and most of what is made to be illegal is not; each is
// the same again.
func TestMake(t *testing.T) {
	illegal := 0
	for i, object := range Objects {
		for _, unknown := range []float64{0, 0.01} {
			shape := Shape{Object: object, Clients: 3, Operations: 200, Busy: 0.3, Unknown: unknown}
			h := shape.Make(uint64(i), true)
			if len(h.Operations) != shape.Operations || !reflect.DeepEqual(h.Operations, shape.Make(uint64(i), true).Operations) {
				t.Errorf("%s: %d operations, want the same %d again", h.Name, len(h.Operations), shape.Operations)
			}
			if got := porcupine.CheckOperationsTimeout(h.Model, h.Operations, 10*time.Second); got == porcupine.Illegal {
				t.Errorf("%s: %s", h.Name, got)
			}
			if h = shape.Make(uint64(i), false); porcupine.CheckOperationsTimeout(h.Model, h.Operations, time.Second) == porcupine.Illegal {
				illegal++
			}
		}
	}
	if illegal < len(Objects) {
		t.Errorf("%d of %d are illegal that should be", illegal, 2*len(Objects))
	}
}

func TestPorcupine(t *testing.T) {
	all, err := Porcupine()
	if err != nil {
		t.Skip(err)
	}
	for _, h := range all {
		if strings.HasSuffix(h.Name, "-whole") {
			continue // takes minutes
		}
		got := porcupine.CheckOperationsTimeout(h.Model, h.Operations, time.Second)
		if h.Legal && got == porcupine.Illegal || strings.HasSuffix(h.Name, "-bad") && got == porcupine.Ok {
			t.Errorf("%s: %s", h.Name, got)
		}
	}
}
