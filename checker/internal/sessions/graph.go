package sessions

import (
	"cmp"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// A graph has an edge from one value to another that is no older. The first nodes
// are the values; the others stand for sets of them.
type graph struct {
	*History
	writers []int32
	nodes   int
	edges   []edge
	asked   Guarantee // those that asked anything
}

// An edge is there because of up to two operations, -1 where there is none.
type edge struct {
	from, to int32
	by       Guarantee
	because  [2]int32
}

func newGraph(h *History, writers []int32) *graph {
	return &graph{History: h, writers: writers, nodes: h.Values}
}

func (g *graph) add(from, to int32, by Guarantee, first, second int32) {
	if from != to {
		g.edges = append(g.edges, edge{from, to, by, [2]int32{first, second}})
	}
}

func (g *graph) node() int32 {
	g.nodes++
	return int32(g.nodes - 1)
}

// order adds what all admissible orders have in common.
func (g *graph) order() {
	for v := 1; v < g.Values; v++ {
		g.add(int32(register.Nothing), int32(v), 0, g.writers[v], -1)
	}
	switch g.Order {
	case RealTime:
		g.realTime()
	case Versions:
		g.versions()
	}
}

// realTime links writes to those that were called when they were over, by a node for
// each write that stands for all that were over by then.
func (g *graph) realTime() {
	type end struct {
		at           int64
		write, shown int32 // shown is the read that proves it, or -1
	}
	ends := make([]end, g.Values)
	for v, w := range g.writers {
		ends[v] = end{register.Never, w, -1}
		if w >= 0 {
			ends[v].at = g.Operations[w].Ret
		}
	}
	var calls []int32
	for i := range g.Operations {
		o := &g.Operations[i]
		switch {
		case o.Write:
			calls = append(calls, int32(i))
			if o.Replaced > register.Nothing {
				g.add(o.Replaced, o.Value, 0, int32(i), -1)
			}
		case g.phantom(o, g.writers):
		case o.Ret < ends[o.Value].at:
			ends[o.Value].at, ends[o.Value].shown = o.Ret, int32(i)
		}
	}
	ends = slices.DeleteFunc(ends, func(e end) bool { return e.write < 0 || e.at == register.Never })
	slices.SortFunc(ends, func(a, b end) int { return cmp.Compare(a.at, b.at) })
	slices.SortFunc(calls, func(a, b int32) int { return cmp.Compare(g.Operations[a].Call, g.Operations[b].Call) })
	past, done := int32(-1), 0
	for _, w := range calls {
		o := &g.Operations[w]
		for ; done < len(ends) && ends[done].at < o.Call; done++ {
			e, before := ends[done], past
			past = g.node()
			if before >= 0 {
				g.add(before, past, 0, -1, -1)
			}
			g.add(g.Operations[e.write].Value, past, 0, e.write, e.shown)
		}
		if past >= 0 {
			g.add(past, o.Value, 0, w, -1)
		}
	}
}

// versions links values in the order of their versions.
func (g *graph) versions() {
	var told []int32
	for i := range g.Operations {
		if o := &g.Operations[i]; o.Version != NoVersion && o.Value != register.Nothing {
			told = append(told, int32(i))
		}
	}
	slices.SortStableFunc(told, func(a, b int32) int { return cmp.Compare(g.Operations[a].Version, g.Operations[b].Version) })
	for i := 1; i < len(told); i++ {
		older, newer := &g.Operations[told[i-1]], &g.Operations[told[i]]
		g.add(older.Value, newer.Value, 0, told[i-1], told[i])
		if older.Version == newer.Version { // one version is one value
			g.add(newer.Value, older.Value, 0, told[i-1], told[i])
		}
	}
}

// with returns the graph with what guarantees ask. All that a session wrote so far is one
// node, and so is all that it read.
func (g *graph) with(guarantees Guarantee) *graph {
	more := *g
	more.edges = slices.Clip(more.edges)
	type session struct{ last, wrote, read int32 } // the last read, and nodes; -1 for none
	sessions := map[int32]*session{}
	for i := range g.Operations {
		o := &g.Operations[i]
		if g.phantom(o, g.writers) {
			continue
		}
		s := sessions[o.Session]
		if s == nil {
			s = &session{-1, -1, -1}
			sessions[o.Session] = s
		}
		ask := func(by Guarantee, from, because int32) {
			if guarantees&by != 0 && from >= 0 {
				more.asked |= by
				more.add(from, o.Value, by, int32(i), because)
			}
		}
		switch {
		case o.Write:
			ask(MonotonicWrites, s.wrote, -1)
			ask(WritesFollowReads, s.read, -1)
			if o.Ret != register.Never && guarantees&(ReadYourWrites|MonotonicWrites) != 0 {
				s.wrote = more.gather(s.wrote, int32(i))
			}
		default:
			if s.last >= 0 {
				ask(MonotonicReads, g.Operations[s.last].Value, s.last)
			}
			ask(ReadYourWrites, s.wrote, -1)
			s.last = int32(i)
			if guarantees&WritesFollowReads != 0 {
				s.read = more.gather(s.read, int32(i))
			}
		}
	}
	return &more
}

// gather returns a node for the values of an operation and of those before it.
func (g *graph) gather(before, operation int32) int32 {
	all := g.node()
	if before >= 0 {
		g.add(before, all, 0, -1, -1)
	}
	g.add(g.Operations[operation].Value, all, 0, operation, -1)
	return all
}
