// Package corpus holds what checks of any model are measured with: histories of
// objects that people test, legal and illegal, each made anew from its seed, and
// Porcupine's own test data.
//
// An object is simulated: each client calls, waits, and is answered by the object at
// a random moment in between. So the history is legal. In an illegal one, one
// operation has the answer that it would have had much earlier.
package corpus

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/anishathalye/porcupine"
)

// A History is one to be judged.
type History struct {
	Name  string
	Model porcupine.Model
	// ReadOnly is what the model's author declares: the operation leaves every state
	// that accepts it.
	ReadOnly func(input, output any) bool
	// Unknown is which outputs are of operations of unknown outcome.
	Unknown    func(output any) bool
	Operations []porcupine.Operation
	// Legal is what is known of it. What is made to be illegal may be legal by chance,
	// and nobody says it of the logs of etcd.
	Legal bool
}

// A Shape is what a history is made of.
type Shape struct {
	Object     string // one of Objects
	Clients    int
	Operations int
	// Busy is how much of its time a client waits for answers, above 0 and at most 1.
	Busy float64
	// Unknown is the share of operations of which nobody knows the outcome.
	Unknown float64
}

// Objects are what can be simulated.
var Objects = []string{"store", "keys", "bank", "queue", "set", "lock", "choice"}

// Seeds is how many there are; they begin with 1.
const Seeds = 50

// OfSeed draws a shape: 3 to 50 clients, 200 to 20,000 operations, most of them few.
func OfSeed(seed uint64) Shape {
	r := rand.New(rand.NewPCG(seed, 1))
	between := func(low, high float64) float64 { return low * math.Pow(high/low, r.Float64()) }
	shape := Shape{
		Object:     Objects[seed%uint64(len(Objects))],
		Clients:    int(math.Round(between(3, 50))),
		Operations: int(math.Round(between(200, 20_000))),
		Busy:       between(0.1, 1),
	}
	if seed%3 == 0 {
		shape.Unknown = 0.005
	}
	return shape
}

// Make simulates a history of a shape.
func (s Shape) Make(seed uint64, legal bool) History {
	o := objects[s.Object]
	h := History{
		Name:  fmt.Sprintf("%s-%d-c%d-n%d", s.Object, seed, s.Clients, s.Operations),
		Model: o.model, ReadOnly: o.readOnly, Unknown: isUnknown, Legal: legal,
	}
	if s.Unknown > 0 {
		h.Name += "-unknown"
	}
	if !legal {
		h.Name += "-illegal"
	}
	r := rand.New(rand.NewPCG(seed, 2))
	moments := make([]int64, s.Operations) // at which they take effect
	next := make([]float64, s.Clients)     // when each client calls again
	clients := make([]int, s.Clients)
	for c := range clients {
		clients[c] = c
		next[c] = 1000 * r.Float64()
	}
	for i := range s.Operations {
		slot := 0
		for c := range next {
			if next[c] < next[slot] {
				slot = c
			}
		}
		takes := 100 + 1000*r.ExpFloat64()
		call, ret := int64(next[slot]), int64(next[slot]+takes)
		moments[i] = call + r.Int64N(ret-call+1)
		next[slot] = float64(ret) + 1 + takes*(1/s.Busy-1)*2*r.Float64()
		h.Operations = append(h.Operations, porcupine.Operation{ClientId: clients[slot], Input: o.input(r, i), Call: call, Return: ret})
		if r.Float64() < s.Unknown {
			h.Operations[i].Output, h.Operations[i].Return = unknown, math.MaxInt64
			clients[slot] += s.Clients // it is another client that goes on
		}
	}
	h.answer(r, o, moments, 3*s.Clients)
	return h
}

// answer lets operations take effect at their moments; in an illegal history, one in
// the second half is answered by the state so many operations earlier.
func (h *History) answer(r *rand.Rand, o object, moments []int64, earlier int) {
	order := make([]int, len(moments))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(moments[a], moments[b]), cmp.Compare(a, b)) })
	state := o.init()
	states := []any{state}
	wrong := h.Legal
	from := len(order)/2 + r.IntN(len(order)/2)
	for place, i := range order {
		made := &h.Operations[i]
		output, after := o.answer(r, state, made.Input)
		if made.Output != unknown {
			made.Output = output
			if !wrong && place >= from && place >= earlier {
				old, _ := o.answer(r, states[place-earlier], made.Input)
				if !reflect.DeepEqual(old, output) {
					made.Output, wrong = old, true
				}
			}
		} else if r.IntN(2) == 0 {
			after = state
		}
		state = after
		states = append(states, state)
	}
}
