package sequential

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// random returns a small history: sessions of reads, writes, compare-and-sets and refusals,
// some of whose writes have an unknown outcome, on up to three registers.
func random(r *rand.Rand) History {
	registers := 1 + r.IntN(3)
	h := History{Values: make([]int, registers)}
	for x := range h.Values {
		h.Values[x] = 1
	}
	clients, operations := 1+r.IntN(4), 2+r.IntN(6)
	over := make([]bool, clients)
	most := int32(1 + r.IntN(4))
	for i := range operations {
		s := r.IntN(clients)
		if over[s] {
			continue
		}
		x := r.IntN(registers)
		o := Operation{Session: int32(s), Register: int32(x), Step: register.Step{Call: int64(i), Ret: int64(i), From: register.None, To: register.None}}
		kind := r.IntN(8)
		if kind < 4 && h.Values[x] <= int(most) {
			o.To = register.Value(h.Values[x])
			h.Values[x]++
			if over[s] = r.IntN(5) == 0; over[s] {
				o.Ret = register.Never
			}
		}
		if kind >= 4 || kind == 0 || o.To == register.None {
			if o.From = r.Int32N(most + 1); o.From == o.To {
				o.From = 0
			}
			o.Not = o.To == register.None && kind == 7
		}
		h.Operations = append(h.Operations, o)
	}
	for x := range h.Values {
		h.Values[x] = int(most) + 2
	}
	return h
}

// explained goes through all orders of the operations.
func explained(operations []Operation) bool {
	done := make([]bool, len(operations))
	held := map[int32]register.Value{}
	var next func() bool
	next = func() bool {
		finished := true
		for i, o := range operations {
			if done[i] {
				continue
			}
			finished = finished && o.Ret == register.Never
			first := !slices.ContainsFunc(operations[:i], func(p Operation) bool {
				return p.Session == o.Session && !done[slices.Index(operations, p)]
			})
			if !first || o.From != register.None && (held[o.Register] == o.From) == o.Not {
				continue
			}
			was := held[o.Register]
			if o.To != register.None {
				held[o.Register] = o.To
			}
			done[i] = true
			if next() {
				return true
			}
			done[i] = false
			held[o.Register] = was
		}
		return finished
	}
	return next()
}

func judge(t *testing.T, h History) Verdict {
	answer := Decide(t.Context(), h)
	want := Invalid
	if explained(h.Operations) {
		want = Valid
	}
	if answer.Verdict != want {
		t.Fatalf("%+v: %+v, want %d", h, answer, want)
	}
	if want == Invalid {
		var witness []Operation
		for _, i := range answer.Witness {
			witness = append(witness, h.Operations[i])
		}
		if explained(witness) {
			t.Fatalf("%+v: no witness: %+v", h, witness)
		}
	}
	return want
}

func TestAgainstAllOrders(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 2_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	verdicts := map[Verdict]int{}
	for range n {
		verdicts[judge(t, random(r))]++
	}
	t.Log(verdicts)
	if verdicts[Valid] < n/10 || verdicts[Invalid] < n/10 {
		t.Error("hardly any history is of one sort")
	}
}

func FuzzSequential(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { judge(t, random(rand.New(rand.NewPCG(seed, 3)))) })
}

// replicas returns a history of clients that write through one order and read from
// replicas that are behind, each from its own, and wait for their own writes there; or if
// impatient, do not.
func replicas(r *rand.Rand, operations, clients, registers int, impatient bool) History {
	type write struct {
		register int
		value    register.Value
	}
	var log []write
	seen := make([]int, clients) // so much of the log
	h := History{Values: make([]int, registers)}
	latest := func(x, seen int) register.Value {
		for i := seen - 1; i >= 0; i-- {
			if log[i].register == x {
				return log[i].value
			}
		}
		return register.Nothing
	}
	for x := range h.Values {
		h.Values[x] = 1
	}
	for i := range int64(operations) {
		s, x := r.IntN(clients), r.IntN(registers)
		o := Operation{Session: int32(s), Register: int32(x), Step: register.Step{Call: i, Ret: i + 1, From: register.None, To: register.None}}
		if r.IntN(2) == 0 {
			o.To = register.Value(h.Values[x])
			h.Values[x]++
			log = append(log, write{x, o.To})
			if !impatient {
				seen[s] = len(log)
			}
		} else {
			seen[s] += r.IntN(len(log) - seen[s] + 1)
			o.From = latest(x, seen[s])
		}
		h.Operations = append(h.Operations, o)
	}
	return h
}

func TestReplicas(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 1))
		began := time.Now()
		if answer := Decide(ctx, replicas(r, 5000, 20, 30, false)); answer.Verdict != Valid {
			t.Errorf("patient clients, seed %d: %d, %v", seed, answer.Verdict, answer.Err)
		}
		took := time.Since(began)
		h := replicas(r, 5000, 20, 30, true)
		answer := Decide(ctx, h)
		if answer.Verdict != Invalid || len(answer.Witness) > 8 {
			t.Errorf("impatient clients, seed %d: %d, a witness of %d", seed, answer.Verdict, len(answer.Witness))
		}
		t.Logf("valid in %s, invalid in %s, by %d operations", took, time.Since(began)-took, len(answer.Witness))
	}
}

// Dekker's mutual exclusion needs what no register alone shows: both processes write
// theirs, and then neither sees the other's.
func TestTwoRegisters(t *testing.T) {
	write := func(session, x int32) Operation {
		return Operation{Session: session, Register: x, Step: register.Step{From: register.None, To: 1}}
	}
	read := func(session, x int32, v register.Value) Operation {
		return Operation{Session: session, Register: x, Step: register.Step{From: v, To: register.None}}
	}
	h := History{Values: []int{2, 2}, Operations: []Operation{write(0, 0), write(1, 1), read(0, 1, 0), read(1, 0, 0)}}
	if answer := Decide(t.Context(), h); answer.Verdict != Invalid || len(answer.Witness) != 4 {
		t.Errorf("%+v", answer)
	}
	h.Operations[3].From = 1
	if answer := Decide(t.Context(), h); answer.Verdict != Valid {
		t.Errorf("%+v", answer)
	}
}

func TestBudget(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := replicas(rand.New(rand.NewPCG(1, 1)), 100, 5, 3, false)
	if answer := Decide(ctx, h); answer.Verdict != Unknown || answer.Err == nil {
		t.Errorf("%+v", answer)
	}
}
