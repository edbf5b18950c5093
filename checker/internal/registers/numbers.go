package registers

import (
	"math/bits"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// numbers numbers values densely, from 1 in the order of their appearance. It is
// a hash table with linear probing, at most half full.
type numbers struct {
	slots []slot
	shift uint // of a hash, for a place in slots
	count register.Value
}

type slot struct {
	value  int64
	number register.Value // 0 if the slot is free
}

const (
	fewestBits = 4
	// neighbours values that follow one another share cache lines: most
	// values are drawn from counters.
	neighbours    = 1 << neighbourBits
	neighbourBits = 3
	// scatter is 2⁶⁴ over the golden ratio (Knuth, TAOCP 3, section 6.4).
	scatter = 0x9e3779b97f4a7c15
)

// newNumbers has room for half as many values as expected, and grows.
func newNumbers(expected int) *numbers {
	bits := max(fewestBits, bits.Len(uint(expected)))
	return &numbers{slots: make([]slot, 1<<bits), shift: uint(64 - bits + neighbourBits)}
}

// number returns the value's, giving it one if it has none.
func (n *numbers) number(value int64) register.Value {
	s := n.find(value)
	if s.number == 0 {
		if 2*int(n.count) >= len(n.slots) {
			n.grow()
			s = n.find(value)
		}
		n.count++
		*s = slot{value, n.count}
	}
	return s.number
}

// find returns the slot that holds the value, or the free one that it belongs in.
func (n *numbers) find(value int64) *slot {
	group := uint64(value) / neighbours * scatter >> n.shift
	mask := len(n.slots) - 1
	for i := int(group*neighbours) | int(uint64(value)%neighbours); ; i = (i + 1) & mask {
		if s := &n.slots[i]; s.number == 0 || s.value == value {
			return s
		}
	}
}

func (n *numbers) grow() {
	old := n.slots
	n.slots = make([]slot, 2*len(old))
	n.shift--
	for _, s := range old {
		if s.number != 0 {
			*n.find(s.value) = s
		}
	}
}
