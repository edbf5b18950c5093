package zones

import (
	"cmp"
	"container/heap"
	"math"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// A refusal of v needs a moment of its interval at which the register does not
// hold v: before v is written, or after v is replaced.
//
// It is contradicted if v was there before it (a step of v's cluster returned
// before it was called) and nothing can have replaced v when it returned: a
// later step observed v, or the swap that did replace v was called later, or v's
// chain had not ended; or v's chain ends with v, and every other write was
// called later, or has to precede v's chain.
//
// Conversely, an order of the chains, with times, proves the history possible if
// every refusal has its moment. place builds one, lazily: it sweeps over the
// refusals by their returns, and lets a chain begin as late as it may, or when
// a refusal that is about to return needs another value. Chains whose time has
// come go first; then those whose time would come later, if no other chain
// becomes impossible by it; then writes that nobody needs, as they may take
// effect once at any time. If there is none, the last chains are moved to
// before an earlier one, which is then the one that is there.
//
// Between the two lies what neither proves: a refusal that finds no place in
// this order, and may in another. That is left undecided.

// refuse judges the refusals; the chains do not contradict each other.
func (a *analysis) refuse() {
	a.refusals = slices.DeleteFunc(a.refusals, func(i int32) bool {
		return a.clusters[a.steps[i].From].writer == none && a.clusters[a.steps[i].From].unneeded == none
	})
	for _, i := range a.refusals {
		s := &a.steps[i]
		c := &a.clusters[s.From]
		after := c.last
		if c.swap != none {
			after = max(after, a.steps[c.swap].Call)
		}
		if c.writer != none && c.first < s.Call && s.Ret < after {
			if !a.contradicts() {
				return
			}
			a.details.refused(i)
		}
	}
	if a.contradicted || len(a.refusals) == 0 {
		return
	}
	slices.SortFunc(a.refusals, func(i, j int32) int { return cmp.Compare(a.steps[i].Ret, a.steps[j].Ret) })
	p := newPlacement(a)
	tries := 0
	for _, i := range a.refusals {
		if p.place(i) {
			continue
		}
		if tries++; tries > mostUnplaced {
			return
		}
		if p.irreplaceable(i) {
			if !a.contradicts() {
				return
			}
			a.details.refused(i)
			continue
		}
		a.unplaced = int(i)
	}
}

// mostUnplaced bounds the refusals for which a proof is looked for.
const mostUnplaced = 16

// A block is a chain as placement sees it.
type block struct {
	zone
	call   int64 // of its first step
	latest int64 // when it may begin, at last
	placed bool
}

// A stretch is a block that has begun, or a value that nobody needs.
type stretch struct {
	begin int64
	last  int64 // the greatest call of its steps
	root  register.Value
	end   register.Value // the value that it leaves
	tied  bool           // it swapped out what the one before it leaves
}

type placement struct {
	*analysis
	blocks  []block // in the order of latest
	waiting int     // blocks before it are placed

	byCall []int32 // blocks, by call
	called int     // byCall before it is called
	open   byLast  // those called that are not placed, by last

	swaps  map[register.Value]int32 // unneeded, of each value
	writes []int32                  // unneeded, by call
	spare  []int32                  // those of writes that are called, and not used

	latest  []int64 // when each value's cluster may begin, at last
	soonest []int64 // and at first
	begun   []int64 // and did; Never if it did not
	refused []int64 // the return of the last refusal that needed it replaced

	order   []stretch
	held    register.Value
	chained []register.Value // the chain at hand, while blocks are made
}

// byLast is a heap of blocks.
type byLast struct {
	blocks []block
	heap   []int32
}

func (h *byLast) Len() int           { return len(h.heap) }
func (h *byLast) Less(i, j int) bool { return h.blocks[h.heap[i]].last < h.blocks[h.heap[j]].last }
func (h *byLast) Swap(i, j int)      { h.heap[i], h.heap[j] = h.heap[j], h.heap[i] }
func (h *byLast) Push(x any)         { h.heap = append(h.heap, x.(int32)) }
func (h *byLast) Pop() any {
	top := h.heap[len(h.heap)-1]
	h.heap = h.heap[:len(h.heap)-1]
	return top
}

func newPlacement(a *analysis) *placement {
	p := &placement{
		analysis: a,
		swaps:    map[register.Value]int32{},
		latest:   make([]int64, len(a.clusters)),
		soonest:  make([]int64, len(a.clusters)),
		begun:    make([]int64, len(a.clusters)),
		refused:  make([]int64, len(a.clusters)),
	}
	for v := range p.begun {
		p.begun[v] = register.Never
		p.refused[v] = math.MinInt64
	}
	for _, zones := range [][]zone{a.forward, a.backward} {
		for _, z := range zones {
			p.blocks = append(p.blocks, p.block(z))
		}
	}
	// Backward blocks come before the forward one in whose zone they end.
	slices.SortFunc(p.blocks, func(x, y block) int {
		switch order := cmp.Compare(x.latest, y.latest); {
		case order != 0 || x.forward() == y.forward():
			return order
		case y.forward():
			return -1
		}
		return 1
	})
	p.byCall = make([]int32, len(p.blocks))
	for i := range p.byCall {
		p.byCall[i] = int32(i)
	}
	slices.SortFunc(p.byCall, func(i, j int32) int { return cmp.Compare(p.blocks[i].call, p.blocks[j].call) })
	p.open.blocks = p.blocks
	for _, i := range a.unknown {
		if c := &a.clusters[a.steps[i].To]; c.unneeded != i || c.writer != none || c.again {
			continue
		}
		if from := a.steps[i].From; from == register.None {
			p.writes = append(p.writes, i)
		} else if _, has := p.swaps[from]; !has {
			p.swaps[from] = i
		}
	}
	slices.SortFunc(p.writes, func(i, j int32) int { return cmp.Compare(a.steps[i].Call, a.steps[j].Call) })
	return p
}

func (p *placement) block(z zone) block {
	b := block{zone: z, call: math.MinInt64, latest: z.first}
	if w := p.clusters[z.root].writer; w >= 0 {
		b.call = p.steps[w].Call
	}
	if begun := p.begunBefore(z.first, 0); begun > 0 {
		if f := p.forward[begun-1]; f.root != z.root && z.first < f.last {
			b.latest = f.first
		}
	}
	soonest := int64(math.MinInt64)
	p.chained = p.chained[:0]
	for v := z.root; v != register.None; v = p.after(v) {
		c := &p.clusters[v]
		if c.writer >= 0 {
			soonest = max(soonest, p.steps[c.writer].Call)
		}
		p.soonest[v] = soonest
		soonest = max(soonest, c.last)
		p.chained = append(p.chained, v)
	}
	latest := register.Never
	for _, v := range slices.Backward(p.chained) {
		latest = min(latest, p.clusters[v].first)
		p.latest[v] = latest
	}
	return b
}

// place finds a moment for refusal i, those that return earlier having theirs.
func (p *placement) place(i int32) bool {
	s := &p.steps[i]
	v, now := s.From, s.Ret
	p.advance(now)
	if p.begun[v] >= s.Call {
		return true
	}
	if p.held == v && !p.replace(now) {
		return false
	}
	p.refused[v] = now
	return true
}

// advance begins everything that may not wait any longer.
func (p *placement) advance(now int64) {
	for {
		for p.waiting < len(p.blocks) && p.blocks[p.waiting].placed {
			p.waiting++
		}
		due := register.Never
		if p.waiting < len(p.blocks) {
			due = p.blocks[p.waiting].latest
		}
		switch v := p.successor(); {
		case v != register.None && p.latest[v] <= min(now, due):
			p.step(v, p.latest[v])
		case due <= now && due != register.Never:
			p.begin(p.waiting, due)
		default:
			return
		}
	}
}

// successor is what the chain of the held value goes on with, or None.
func (p *placement) successor() register.Value {
	if len(p.order) == 0 {
		return register.None
	}
	return p.after(p.held)
}

// step goes on in a chain.
func (p *placement) step(v register.Value, now int64) {
	p.begun[v] = now
	p.held = v
	p.order[len(p.order)-1].end = v
}

// begin ends a chain, and begins a block.
func (p *placement) begin(i int, now int64) {
	for v := p.successor(); v != register.None; v = p.successor() {
		p.step(v, now)
	}
	b := &p.blocks[i]
	b.placed = true
	p.hold(stretch{begin: now, last: b.last, root: b.root, end: b.root})
}

func (p *placement) hold(s stretch) {
	p.begun[s.root] = s.begin
	p.held = s.root
	p.order = append(p.order, s)
}

// replace puts something else in the place of the held value, now.
func (p *placement) replace(now int64) bool {
	if v := p.successor(); v != register.None {
		if p.soonest[v] > now {
			return false
		}
		p.step(v, now)
		return true
	}
	if p.order[len(p.order)-1].last > now {
		return false
	}
	if p.waiting < len(p.blocks) && p.blocks[p.waiting].call <= now {
		p.begin(p.waiting, now)
		return true
	}
	if i, has := p.swaps[p.held]; has && p.steps[i].Call <= now {
		p.unneeded(i, now)
		return true
	}
	for ; p.called < len(p.byCall) && p.blocks[p.byCall[p.called]].call <= now; p.called++ {
		heap.Push(&p.open, p.byCall[p.called])
	}
	for p.open.Len() > 0 && p.blocks[p.open.heap[0]].placed {
		heap.Pop(&p.open)
	}
	// Another block that has to precede this one would return before its last
	// call. The first return of any other is not before the next one's latest.
	if p.open.Len() > 0 && p.blocks[p.open.heap[0]].last <= p.blocks[p.waiting].latest {
		p.begin(int(heap.Pop(&p.open).(int32)), now)
		return true
	}
	for ; len(p.writes) > 0 && p.steps[p.writes[0]].Call <= now; p.writes = p.writes[1:] {
		p.spare = append(p.spare, p.writes[0])
	}
	if p.rearrange() {
		return true
	}
	if last := len(p.spare) - 1; last >= 0 {
		p.unneeded(p.spare[last], now)
		p.spare = p.spare[:last]
		return true
	}
	return false
}

// unneeded lets a step take effect that may or may not.
func (p *placement) unneeded(i int32, now int64) {
	s := &p.steps[i]
	p.hold(stretch{begin: now, last: s.Call, root: s.To, end: s.To, tied: s.From != register.None})
}

// mostRearranged bounds how far back rearrange goes.
const mostRearranged = 64

// rearrange moves the last stretches to before an earlier one, which is then
// the one that is there until now. It may be if their steps were called by then,
// and nobody was refused what it leaves after they had begun. They take no time
// any more, so nobody can have been refused theirs.
func (p *placement) rearrange() bool {
	var last int64 = math.MinInt64
	for i := len(p.order) - 1; i > 0 && i >= len(p.order)-mostRearranged; i-- {
		last = max(last, p.order[i].last)
		y := p.order[i-1]
		if last > y.begin {
			return false
		}
		if p.refused[y.end] >= p.order[i].begin || p.order[i].tied || y.tied {
			continue
		}
		moved := p.order[i:]
		for j := range moved {
			moved[j].begin = y.begin
			for v := moved[j].root; v != register.None; v = p.after(v) {
				p.begun[v] = y.begin
			}
		}
		copy(p.order[i-1:], moved)
		p.order[len(p.order)-1] = y
		p.held = y.end
		return true
	}
	return false
}

// irreplaceable tells that nothing can have replaced what refusal i is about by
// the time that it returned.
func (p *placement) irreplaceable(i int32) bool {
	s := &p.steps[i]
	c := &p.clusters[s.From]
	if c.writer == none || c.first >= s.Call || c.swap != none {
		return false
	}
	root := s.From
	for p.clusters[root].swappedIn {
		root = p.steps[p.clusters[root].writer].From
	}
	var own block
	for _, b := range p.blocks {
		if b.root == root {
			own = b
		}
	}
	for _, b := range p.blocks {
		if b.root != root && b.call <= s.Ret && b.first >= own.last {
			return false
		}
	}
	return !slices.ContainsFunc(p.unknown, func(j int32) bool {
		w := &p.steps[j]
		return p.clusters[w.To].writer != j && w.To != s.From && w.Call <= s.Ret
	})
}

// refused reports refusal i, with the steps that show the value before and
// after it, if there is one.
func (d *details) refused(i int32) {
	s := &d.steps[i]
	before, after := none, none
	for _, j := range d.members(s.From) {
		if before == none && d.steps[j].Ret < s.Call {
			before = j
		}
	}
	for _, j := range append(d.needed(d.index.Swaps(s.From)), d.index.Readers(s.From)...) {
		if m := &d.steps[j]; m.Call > s.Ret && (after == none || m.Ret < d.steps[after].Ret) {
			after = j
		}
	}
	d.report(Refused, i, before, after)
}
