package sessions

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// random returns a small history: sessions whose operations follow one another, some
// values that nobody wrote, writes of unknown outcome, and versions that are mostly right.
func random(r *rand.Rand) History {
	h := History{Order: Order(r.IntN(3))}
	type client struct {
		free int64
		over bool
	}
	clients := make([]client, 1+r.IntN(3))
	writes := 1 + r.IntN(4)
	h.Values = writes + 1
	next := register.Value(1)
	for range 2 + r.IntN(6) {
		s := r.IntN(len(clients))
		c := &clients[s]
		if c.over {
			continue
		}
		o := Operation{Session: int32(s), Call: c.free + r.Int64N(4), Replaced: register.None, Version: NoVersion}
		o.Ret = o.Call + r.Int64N(6)
		if o.Write = r.IntN(2) == 0 && int(next) < h.Values; o.Write {
			o.Value = next
			next++
			if r.IntN(4) == 0 {
				o.Ret, c.over = register.Never, true
			} else if r.IntN(3) == 0 {
				o.Replaced = register.Value(r.IntN(h.Values))
				if o.Replaced == o.Value {
					o.Replaced = register.None
				}
			}
		} else {
			o.Value = register.Value(r.IntN(h.Values))
		}
		if r.IntN(3) > 0 && o.Ret != register.Never {
			o.Version = int64(o.Value)
			if r.IntN(8) == 0 {
				o.Version = r.Int64N(5)
			}
		}
		c.free = o.Ret + r.Int64N(2)
		h.Operations = append(h.Operations, o)
	}
	return h
}

// explained goes through all orders of the writes, and asks of each what the definitions
// ask.
func explained(h History, guarantees Guarantee) bool {
	order := make([]register.Value, h.Values)
	for v := range order {
		order[v] = register.Value(v)
	}
	var permute func(n int) bool
	permute = func(n int) bool {
		if n == len(order) {
			return h.holds(order, guarantees)
		}
		for i := n; i < len(order); i++ {
			order[n], order[i] = order[i], order[n]
			if permute(n + 1) {
				return true
			}
			order[n], order[i] = order[i], order[n]
		}
		return false
	}
	return permute(1) // nothing is written before the first value
}

// holds judges one order of the values.
func (h History) holds(order []register.Value, guarantees Guarantee) bool {
	rank := map[register.Value]int{}
	for i, v := range order {
		rank[v] = i
	}
	called, over := map[register.Value]int64{}, map[register.Value]int64{}
	for _, o := range h.Operations {
		if o.Write {
			called[o.Value], over[o.Value] = o.Call, o.Ret
		}
	}
	real := func(o Operation) bool { // no phantom
		call, written := called[o.Value]
		return o.Write || o.Value == register.Nothing || written && call <= o.Ret
	}
	for _, o := range h.Operations {
		if !o.Write && o.Value != register.Nothing && real(o) {
			over[o.Value] = min(over[o.Value], o.Ret)
		}
	}
	for i, a := range h.Operations {
		if h.Order == RealTime && a.Write && a.Replaced > 0 && rank[a.Replaced] > rank[a.Value] {
			return false
		}
		for j, b := range h.Operations {
			newer := rank[a.Value] > rank[b.Value]
			switch {
			case h.Order == RealTime && a.Write && b.Write && over[a.Value] < b.Call && newer:
				return false
			case h.Order == Versions && a.Value != 0 && b.Value != 0 && a.Version != NoVersion && b.Version != NoVersion &&
				(a.Version < b.Version && newer || a.Version == b.Version && a.Value != b.Value):
				return false
			}
			if a.Session != b.Session || i >= j || !newer || !real(a) || !real(b) || a.Write && a.Ret == register.Never {
				continue
			}
			asked := map[[2]bool]Guarantee{
				{false, false}: MonotonicReads, {true, false}: ReadYourWrites, {true, true}: MonotonicWrites, {false, true}: WritesFollowReads,
			}[[2]bool{a.Write, b.Write}]
			if guarantees&asked != 0 {
				return false
			}
		}
	}
	return true
}

// part is the history of some operations.
func (h History) part(operations []int32) History {
	p := h
	p.Operations = nil
	for _, i := range operations {
		p.Operations = append(p.Operations, h.Operations[i])
	}
	return p
}

func judgeAll(t *testing.T, h History, broken map[Guarantee]int) {
	for _, claimed := range []Guarantee{
		MonotonicReads, ReadYourWrites, MonotonicWrites, WritesFollowReads,
		MonotonicReads | ReadYourWrites, MonotonicReads | MonotonicWrites | WritesFollowReads, 15,
	} {
		answer := Decide(h, claimed)
		if answer.Repeated || answer.Disordered != !explained(h, 0) {
			t.Fatalf("%+v: %+v", h, answer)
		}
		if answer.Disordered {
			continue
		}
		if want := explained(h, claimed); want != (len(answer.Broken) == 0) || Explained(h, claimed) != want {
			t.Fatalf("%+v claims %d: %+v, want %v", h, claimed, answer, want)
		}
		kept := claimed
		for _, c := range answer.Broken {
			if explained(h.part(c.Operations), c.Together) || Explained(h.part(c.Operations), c.Together) {
				t.Fatalf("%+v claims %d: no contradiction: %+v", h, claimed, c)
			}
			if c.Together&^claimed != 0 || c.Together == 0 {
				t.Fatalf("%+v claims %d: %+v", h, claimed, c)
			}
			broken[c.Together]++
			kept &^= c.Together
		}
		for _, g := range All {
			if claimed&g == 0 {
				continue
			}
			alone := slices.ContainsFunc(answer.Broken, func(c Contradiction) bool { return c.Together == g })
			if alone != !explained(h, g) {
				t.Fatalf("%+v: %d alone: %+v", h, g, answer)
			}
		}
		if !explained(h, kept) {
			t.Fatalf("%+v claims %d: %d do not hold: %+v", h, claimed, kept, answer)
		}
	}
}

func TestAgainstAllOrders(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 2_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	broken := map[Guarantee]int{}
	for range n {
		judgeAll(t, random(r), broken)
	}
	for g := Guarantee(1); g < 16; g++ {
		t.Logf("broken together %04b: %d", g, broken[g])
	}
	for _, g := range All {
		if broken[g] == 0 && g != WritesFollowReads {
			t.Errorf("no history broke %d alone", g)
		}
	}
}

func FuzzSessions(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		judgeAll(t, random(rand.New(rand.NewPCG(seed, 7))), map[Guarantee]int{})
	})
}

// A long history costs time that is near-linear: every session reads and writes in the
// order of the values, and the last read goes back.
func TestLong(t *testing.T) {
	const n, sessions = 200_000, 20
	h := History{Values: n + 1, Order: RealTime}
	for i := range int64(n) {
		v := register.Value(i + 1)
		h.Operations = append(h.Operations,
			Operation{Session: int32(i % sessions), Call: 2 * i, Ret: 2*i + 1, Write: true, Value: v, Replaced: register.None, Version: NoVersion},
			Operation{Session: int32((i + 1) % sessions), Call: 2 * i, Ret: 2*i + 1, Value: v, Version: NoVersion})
	}
	if answer := Decide(h, 15); len(answer.Broken) > 0 || answer.Tested != 15 {
		t.Fatalf("%+v", answer)
	}
	h.Operations = append(h.Operations, Operation{Session: 3, Call: 2 * n, Ret: 2 * n, Value: n / 2, Version: NoVersion})
	answer := Decide(h, 15)
	if len(answer.Broken) < 2 || answer.Broken[0].Together != MonotonicReads {
		t.Fatalf("broken: %d", len(answer.Broken))
	}
	if n := len(answer.Broken[0].Operations); n > 6 {
		t.Errorf("a witness of %d operations", n)
	}
}
