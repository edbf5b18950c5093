package sessions

import (
	"cmp"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// outgoing are the edges of each node side by side: those of n are from begin[n] to
// begin[n+1].
type outgoing struct{ begin, edges []int32 }

func (g *graph) outgoing() outgoing {
	out := outgoing{make([]int32, g.nodes+1), make([]int32, len(g.edges))}
	for _, e := range g.edges {
		out.begin[e.from+1]++
	}
	for n := range g.nodes {
		out.begin[n+1] += out.begin[n]
	}
	next := slices.Clone(out.begin)
	for i, e := range g.edges {
		out.edges[next[e.from]] = int32(i)
		next[e.from]++
	}
	return out
}

func (o outgoing) of(node int32) []int32 { return o.edges[o.begin[node]:o.begin[node+1]] }

// components numbers the strongly connected components (Tarjan, "Depth-first search and
// linear graph algorithms", SIAM J. Comput. 1(2), 1972).
func (g *graph) components(out outgoing) []int32 {
	const unseen = -1
	component, low, order := make([]int32, g.nodes), make([]int32, g.nodes), make([]int32, g.nodes)
	next := make([]int32, g.nodes) // of each node's edges
	for n := range order {
		order[n], component[n] = unseen, unseen
	}
	var seen, components int32
	var path, open []int32
	for root := range int32(g.nodes) {
		if order[root] != unseen {
			continue
		}
		path = append(path, root)
		for len(path) > 0 {
			n := path[len(path)-1]
			if order[n] == unseen {
				order[n], low[n], next[n] = seen, seen, out.begin[n]
				seen++
				open = append(open, n)
			}
			if next[n] < out.begin[n+1] {
				to := g.edges[out.edges[next[n]]].to
				next[n]++
				switch {
				case order[to] == unseen:
					path = append(path, to)
				case component[to] == unseen:
					low[n] = min(low[n], order[to])
				}
				continue
			}
			path = path[:len(path)-1]
			if len(path) > 0 {
				parent := path[len(path)-1]
				low[parent] = min(low[parent], low[n])
			}
			if low[n] != order[n] {
				continue
			}
			for closed := false; !closed; {
				member := open[len(open)-1]
				open = open[:len(open)-1]
				component[member] = components
				closed = member == n
			}
			components++
		}
	}
	return component
}

// The search for a short cycle begins at no more values than mostStarts, and at no other
// one once it has looked at mostEdges.
const (
	mostStarts = 64
	mostEdges  = 1 << 22
)

// contradiction returns a cycle of two values or more, as few as were found.
func (g *graph) contradiction() (Contradiction, bool) {
	finder := finder{graph: g, out: g.outgoing()}
	finder.component = g.components(finder.out)
	values := make([]int32, g.nodes) // of each component
	for v := range g.Values {
		values[finder.component[v]]++
	}
	var fewest []int32
	least, starts := 0, 0
	for v := range int32(g.Values) {
		if values[finder.component[v]] < 2 {
			continue
		}
		cycle, values := finder.cycle(v)
		if fewest == nil || values < least {
			fewest, least = cycle, values
		}
		if starts++; least == 2 || starts == mostStarts || finder.looked > mostEdges {
			break
		}
	}
	if fewest == nil {
		return Contradiction{}, false
	}
	return g.tell(fewest), true
}

// A finder looks for cycles within a component.
type finder struct {
	*graph
	out       outgoing
	component []int32
	came      []arrival // at each place
	round     int32
	looked    int // at edges
}

// A place is twice a node, and one more if there is another value behind it than that
// which the cycle begins with.
type place = int32

// An arrival is how a place was reached in a round.
type arrival struct {
	round int32
	edge  int32
	from  place
}

// cycle returns the edges of a cycle from the value to another one and back, of the fewest
// values, and how many these are. The value is in a component with another one.
func (f *finder) cycle(value int32) (cycle []int32, values int) {
	if f.came == nil {
		f.came = make([]arrival, 2*f.nodes)
	}
	f.round++
	start, end := 2*value, 2*value+1
	f.came[start].round = f.round
	for now, next := []place{start}, []place(nil); ; now, next = next, nil {
		values++
		for len(now) > 0 {
			p := now[len(now)-1]
			now = now[:len(now)-1]
			for _, i := range f.out.of(p / 2) {
				f.looked++
				to := f.edges[i].to
				isValue := int(to) < f.Values
				at := 2*to + p%2
				if isValue && to != value {
					at = 2*to + 1
				}
				if f.came[at].round == f.round || f.component[to] != f.component[value] {
					continue
				}
				f.came[at] = arrival{f.round, i, p}
				switch {
				case at == end:
					for ; at != start; at = f.came[at].from {
						cycle = append(cycle, f.came[at].edge)
					}
					slices.Reverse(cycle)
					return cycle, values
				case isValue:
					next = append(next, at)
				default:
					now = append(now, at)
				}
			}
		}
	}
}

// tell makes a contradiction of the edges of a cycle that begins at a value.
func (g *graph) tell(cycle []int32) Contradiction {
	var c Contradiction
	step := Step{}
	for _, i := range cycle {
		e := g.edges[i]
		if int(e.from) < g.Values {
			step = Step{Older: e.from}
		}
		for _, o := range e.because {
			if o >= 0 && !slices.Contains(step.Operations, o) {
				step.Operations = append(step.Operations, o)
			}
		}
		step.By |= e.by
		if int(e.to) < g.Values && e.to != step.Older {
			step.Newer = e.to
			c.Cycle = append(c.Cycle, step)
		}
	}
	shown := map[int32]bool{}
	for _, step := range c.Cycle {
		c.Together |= step.By
		for _, o := range step.Operations {
			shown[o] = true
		}
		if w := g.writers[step.Older]; step.Older != register.Nothing && w >= 0 {
			shown[w] = true
		}
	}
	for o := range shown {
		c.Operations = append(c.Operations, o)
	}
	slices.SortFunc(c.Operations, cmp.Compare)
	return c
}
