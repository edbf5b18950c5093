package sessions

import "github.com/rashomon-io/rashomon/checker/internal/register"

// Explained decides by the definitions alone, operation by operation, whether there is an
// admissible order for which the guarantees hold. It is for small histories: it takes time
// that is quadratic in the operations, and in the values. Whatever Decide finds is put
// before it.
func Explained(h History, guarantees Guarantee) bool {
	writers, unique := h.writers()
	if !unique {
		return true
	}
	older := make([]map[register.Value]bool, h.Values) // of each value, those that must be
	for v := range older {
		older[v] = map[register.Value]bool{}
		if v > 0 {
			older[v][register.Nothing] = true
		}
	}
	for i := range h.Operations {
		for j := range h.Operations {
			a, b := &h.Operations[i], &h.Operations[j]
			if a.Value != b.Value && (h.precedes(i, j, guarantees, writers) || h.admissible(a, b, writers)) {
				older[b.Value][a.Value] = true
			}
		}
		if o := &h.Operations[i]; h.Order == RealTime && o.Write && o.Replaced > register.Nothing {
			older[o.Value][o.Replaced] = true
		}
	}
	placed := map[register.Value]bool{}
	for before := -1; before < len(placed); {
		before = len(placed)
		for v := range older {
			ready := true
			for o := range older[v] {
				ready = ready && placed[o]
			}
			if ready {
				placed[register.Value(v)] = true
			}
		}
	}
	return len(placed) == h.Values
}

// precedes: a guarantee asks that the value of operation i be older than that of j.
func (h *History) precedes(i, j int, guarantees Guarantee, writers []int32) bool {
	a, b := &h.Operations[i], &h.Operations[j]
	if a.Session != b.Session || i >= j || h.phantom(a, writers) || h.phantom(b, writers) {
		return false
	}
	switch {
	case !a.Write && !b.Write:
		return guarantees&MonotonicReads != 0
	case !a.Write:
		return guarantees&WritesFollowReads != 0
	case a.Ret == register.Never:
		return false
	case !b.Write:
		return guarantees&ReadYourWrites != 0
	}
	return guarantees&MonotonicWrites != 0
}

// admissible: every admissible order has the value of a before that of b.
func (h *History) admissible(a, b *Operation, writers []int32) bool {
	switch h.Order {
	case Versions:
		told := a.Version != NoVersion && b.Version != NoVersion && a.Value != register.Nothing && b.Value != register.Nothing
		return told && a.Version <= b.Version
	case RealTime:
		shown := a.Write || a.Value != register.Nothing && !h.phantom(a, writers)
		return shown && b.Write && a.Ret < b.Call
	}
	return false
}
