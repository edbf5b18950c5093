package register

// Writes: the step leaves To behind, if it takes effect.
func (s *Step) Writes() bool { return s.To != None }

// Observes: the register held From, if it takes effect.
func (s *Step) Observes() bool { return s.From != None && !s.Not }

// An Index finds the steps of each value of one register.
type Index struct{ writers, readers, swaps groups }

// NewIndex indexes steps whose values are less than values, in linear time. The
// groups keep the order of the steps.
func NewIndex(steps []Step, values int) *Index {
	return &Index{
		writers: group(steps, values, func(s *Step) Value { return s.To }),
		readers: group(steps, values, func(s *Step) Value {
			if s.Observes() && !s.Writes() {
				return s.From
			}
			return None
		}),
		swaps: group(steps, values, func(s *Step) Value {
			if s.Observes() && s.Writes() {
				return s.From
			}
			return None
		}),
	}
}

// Writers are the steps that write v.
func (x *Index) Writers(v Value) []int32 { return x.writers.of(v) }

// Readers are the steps that observe v and leave it.
func (x *Index) Readers(v Value) []int32 { return x.readers.of(v) }

// Swaps are the steps that replace v.
func (x *Index) Swaps(v Value) []int32 { return x.swaps.of(v) }

// groups holds the steps of each value side by side: those of v are from
// begin[v] to begin[v+1].
type groups struct{ begin, steps []int32 }

func (g *groups) of(v Value) []int32 { return g.steps[g.begin[v]:g.begin[v+1]:g.begin[v+1]] }

// group is a counting sort.
func group(steps []Step, values int, by func(*Step) Value) groups {
	g := groups{begin: make([]int32, values+2)}
	for i := range steps {
		g.begin[by(&steps[i])+2]++ // None goes to begin[1], and to the front
	}
	g.begin[1] = 0
	for v := 1; v < len(g.begin); v++ {
		g.begin[v] += g.begin[v-1]
	}
	g.steps = make([]int32, g.begin[len(g.begin)-1])
	for i := range steps {
		if v := by(&steps[i]); v != None {
			g.steps[g.begin[v+1]] = int32(i)
			g.begin[v+1]++
		}
	}
	g.begin = g.begin[:values+1]
	return g
}
