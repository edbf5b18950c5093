package registers

import (
	"cmp"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// sources finds what steps observed.
type sources struct {
	*object
	// last is for each write which of the value's writes, up to itself,
	// returned last.
	last []int32
}

func (h *object) sources() sources {
	last := make([]int32, len(h.steps))
	for v := range h.values {
		latest := int32(-1)
		for _, w := range h.index.Writers(register.Value(v)) {
			if latest < 0 || h.steps[w].Ret >= h.steps[latest].Ret {
				latest = w
			}
			last[w] = latest
		}
	}
	return sources{h, last}
}

// of returns the write of what step i observed that returned last, of those
// that it can have seen: -1 for nothing. It is certain if each of these writes
// was acknowledged, and there is one.
func (f sources) of(i int32) (last int32, certain bool) {
	s := &f.steps[i]
	if s.From == register.Nothing {
		return -1, true
	}
	writers := f.index.Writers(s.From)
	seen, _ := slices.BinarySearchFunc(writers, s.Ret, func(w int32, ret int64) int {
		if f.steps[w].Call <= ret {
			return -1
		}
		return 1
	})
	if seen == 0 {
		return -1, false
	}
	last = f.last[writers[seen-1]]
	return last, f.steps[last].Ret != register.Never
}

// An outdated step observed what source wrote, or nothing (-1), although newer
// had been acknowledged between source and it.
type outdated struct{ observer, newer, source int32 }

// A frontier tells which of some acknowledged writes was called last, of those
// that had returned at a time that only grows.
type frontier struct {
	steps  []register.Step
	writes []int32 // ordered by return
	done   int
	latest int32
}

func (h *object) frontier(writes []int32) frontier {
	slices.SortFunc(writes, func(i, j int32) int {
		return cmp.Or(cmp.Compare(h.steps[i].Ret, h.steps[j].Ret), cmp.Compare(i, j))
	})
	return frontier{h.steps, writes, 0, -1}
}

func (f *frontier) before(t int64) int32 {
	for ; f.done < len(f.writes) && f.steps[f.writes[f.done]].Ret < t; f.done++ {
		if w := f.writes[f.done]; f.latest < 0 || f.steps[w].Call >= f.steps[f.latest].Call {
			f.latest = w
		}
	}
	return f.latest
}

// outdated returns the stale reads, and the swaps of older values. Where there
// is a choice, newer is a plain write: it needs no others to be explained.
func (h *object) outdated(sources sources) []outdated {
	var writes, swaps []int32
	for i := range h.steps {
		switch s := &h.steps[i]; {
		case !s.Writes() || s.Ret == register.Never:
		case s.Observes():
			swaps = append(swaps, int32(i))
		default:
			writes = append(writes, int32(i))
		}
	}
	frontiers := []frontier{h.frontier(writes), h.frontier(swaps)}
	var found []outdated
	for i := range h.steps {
		s := &h.steps[i]
		if !s.Observes() || s.Ret == register.Never {
			continue
		}
		source, certain := sources.of(int32(i))
		if !certain {
			continue
		}
		for j := range frontiers {
			newer := frontiers[j].before(s.Call)
			if newer >= 0 && (source < 0 || h.steps[source].Ret < h.steps[newer].Call) {
				found = append(found, outdated{int32(i), newer, source})
				break
			}
		}
	}
	return found
}
