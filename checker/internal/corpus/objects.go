package corpus

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/anishathalye/porcupine"
)

// unknown is the output of an operation of unknown outcome. Models accept it.
const unknown = "unknown"

func isUnknown(output any) bool { return output == unknown }

// A Call is the input of an operation.
type Call struct {
	Name  string
	Key   string
	Text  string
	Value int
	Other int
}

// An object is what is simulated, and its model.
type object struct {
	model    porcupine.Model
	readOnly func(input, output any) bool
	init     func() any
	// input is of the ith operation.
	input func(r *rand.Rand, i int) any
	// answer is what the object does.
	answer func(r *rand.Rand, state, input any) (output, after any)
}

func named(names ...string) func(input, output any) bool {
	return func(input, output any) bool { return slices.Contains(names, input.(Call).Name) }
}

var objects = map[string]object{
	"store":  store,
	"keys":   keys(),
	"bank":   bank,
	"queue":  queue,
	"set":    set,
	"lock":   lock,
	"choice": choice(),
}

// store is the string of one key: put, append and get.
var store = object{
	model: porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			held, c := state.(string), input.(Call)
			switch c.Name {
			case "put":
				return true, c.Text
			case "append":
				return true, held + c.Text
			}
			return output == held || output == unknown, held
		},
	},
	readOnly: named("get"),
	init:     func() any { return "" },
	input: func(r *rand.Rand, i int) any {
		c := Call{Name: [...]string{"get", "append", "append", "put", "get", "get"}[r.IntN(6)]}
		if c.Name != "get" {
			c.Text = fmt.Sprintf("x %d y", i)
		}
		return c
	},
	answer: func(_ *rand.Rand, state, input any) (output, after any) {
		held, c := state.(string), input.(Call)
		switch c.Name {
		case "put":
			return "", c.Text
		case "append":
			return "", held + c.Text
		}
		return held, held
	},
}

// keys is the store that students test: ten keys, each a partition, and states that
// are hashed as Porcupine's example does.
func keys() object {
	o := store
	o.model.Partition = partitionByKey
	o.model.Hash = func(state any) uint64 { return hashText(state.(string)) }
	o.input = func(r *rand.Rand, i int) any {
		c := store.input(r, i).(Call)
		c.Key = fmt.Sprint(r.IntN(10))
		return c
	}
	held := func(state any, key string) string { return state.(map[string]string)[key] }
	o.init = func() any { return map[string]string{} }
	o.answer = func(r *rand.Rand, state, input any) (output, after any) {
		key := input.(Call).Key
		output, text := store.answer(r, held(state, key), input)
		all := map[string]string{key: text.(string)}
		for k, v := range state.(map[string]string) {
			if k != key {
				all[k] = v
			}
		}
		return output, all
	}
	return o
}

func partitionByKey(operations []porcupine.Operation) [][]porcupine.Operation {
	byKey := map[string][]porcupine.Operation{}
	for _, o := range operations {
		key := o.Input.(Call).Key
		byKey[key] = append(byKey[key], o)
	}
	var parts [][]porcupine.Operation
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		parts = append(parts, byKey[key])
	}
	return parts
}

func hashText(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64()
}

// bank has accounts between which money is transferred, unless it is short, and whose
// balances are read together.
var bank = object{
	model: porcupine.Model{
		Init: func() any { return []int{50, 50, 50, 50, 50} },
		Step: func(state, input, output any) (bool, any) {
			if output == unknown {
				_, after := transfer(state.([]int), input.(Call))
				return true, after
			}
			answer, after := transfer(state.([]int), input.(Call))
			if balances, read := output.([]int); read {
				return slices.Equal(balances, answer.([]int)), after
			}
			return output == answer, after
		},
		Equal: func(a, b any) bool { return slices.Equal(a.([]int), b.([]int)) },
	},
	readOnly: named("read"),
	init:     func() any { return []int{50, 50, 50, 50, 50} },
	input: func(r *rand.Rand, _ int) any {
		if r.IntN(3) == 0 {
			return Call{Name: "read"}
		}
		from := r.IntN(5)
		return Call{Name: "transfer", Value: 1 + r.IntN(20), Key: fmt.Sprint(from), Other: (from + 1 + r.IntN(4)) % 5}
	},
	answer: func(_ *rand.Rand, state, input any) (output, after any) { return transfer(state.([]int), input.(Call)) },
}

// transfer is what a bank does.
func transfer(balances []int, c Call) (output any, after []int) {
	if c.Name == "read" {
		return balances, balances
	}
	from := int(c.Key[0] - '0')
	if balances[from] < c.Value {
		return false, balances
	}
	after = slices.Clone(balances)
	after[from] -= c.Value
	after[c.Other] += c.Value
	return true, after
}

// queue gives elements first in, first out; -1 if it is empty.
var queue = object{
	model: porcupine.Model{
		Init: func() any { return []int(nil) },
		Step: func(state, input, output any) (bool, any) {
			answer, after := dequeue(state.([]int), input.(Call))
			return output == unknown || output == answer, after
		},
		Equal: func(a, b any) bool { return slices.Equal(a.([]int), b.([]int)) },
		Hash: func(state any) uint64 {
			h := uint64(len(state.([]int)))
			for _, element := range state.([]int) {
				h = h*0x9e3779b97f4a7c15 + uint64(element)
			}
			return h
		},
	},
	readOnly: func(_, output any) bool { return output == -1 },
	init:     func() any { return []int(nil) },
	input: func(r *rand.Rand, i int) any {
		return Call{Name: [...]string{"enqueue", "dequeue"}[r.IntN(2)], Value: i}
	},
	answer: func(_ *rand.Rand, state, input any) (output, after any) { return dequeue(state.([]int), input.(Call)) },
}

func dequeue(held []int, c Call) (output any, after []int) {
	switch {
	case c.Name == "enqueue":
		return true, append(slices.Clip(held), c.Value)
	case len(held) == 0:
		return -1, held
	}
	return held[0], held[1:]
}

// set is added to, and read as a whole, now and then.
var set = object{
	model: porcupine.Model{
		Init: func() any { return []int(nil) },
		Step: func(state, input, output any) (bool, any) {
			held, c := state.([]int), input.(Call)
			if c.Name == "read" {
				return output == unknown || slices.Equal(output.([]int), held), held
			}
			return true, add(held, c.Value)
		},
		Equal: func(a, b any) bool { return slices.Equal(a.([]int), b.([]int)) },
	},
	readOnly: named("read"),
	init:     func() any { return []int(nil) },
	input: func(r *rand.Rand, _ int) any {
		if r.IntN(5) == 0 {
			return Call{Name: "read"}
		}
		return Call{Name: "add", Value: r.IntN(1000)}
	},
	answer: func(_ *rand.Rand, state, input any) (output, after any) {
		held, c := state.([]int), input.(Call)
		if c.Name == "read" {
			return held, held
		}
		return true, add(held, c.Value)
	},
}

func add(held []int, element int) []int {
	at := sort.SearchInts(held, element)
	if at < len(held) && held[at] == element {
		return held
	}
	return slices.Insert(slices.Clip(held), at, element)
}

// A holding is the state of a lock: who has it, by which token, 0 if nobody, and how
// many tokens were given.
type holding struct{ owner, tokens int }

// lock is acquired, which gives a token, or 0 if somebody has it; released, by whoever
// has it; and asked for its owner.
var lock = object{
	model: porcupine.Model{
		Init: func() any { return holding{} },
		Step: func(state, input, output any) (bool, any) {
			answer, after := acquire(state.(holding), input.(Call))
			return output == unknown || output == answer, after
		},
	},
	readOnly: func(input, output any) bool { return input.(Call).Name == "owner" || output == 0 },
	init:     func() any { return holding{} },
	input: func(r *rand.Rand, _ int) any {
		return Call{Name: [...]string{"acquire", "release", "release", "owner"}[r.IntN(4)], Value: 1 + r.IntN(3)}
	},
	answer: func(_ *rand.Rand, state, input any) (output, after any) {
		return acquire(state.(holding), input.(Call))
	},
}

func acquire(h holding, c Call) (output any, after holding) {
	switch {
	case c.Name == "owner":
		return h.owner, h
	case c.Name == "acquire" && h.owner == 0:
		return h.tokens + 1, holding{c.Value, h.tokens + 1}
	case c.Name == "release" && h.owner == c.Value:
		return h.tokens, holding{0, h.tokens}
	}
	return 0, h
}

// choice is a nondeterministic model: a put of two values keeps one of them, nobody
// knows which until it is got.
func choice() object {
	steps := func(state, input, output any) []any {
		c := input.(Call)
		switch {
		case c.Name == "put":
			return []any{c.Value, c.Other}
		case output == unknown || output == state:
			return []any{state}
		}
		return nil
	}
	model := porcupine.NondeterministicModel{Init: func() []any { return []any{0} }, Step: steps}
	return object{
		model:    model.ToModel(),
		readOnly: func(_, _ any) bool { return false }, // a get tells which it was
		init:     func() any { return 0 },
		input: func(r *rand.Rand, i int) any {
			if r.IntN(2) == 0 {
				return Call{Name: "get"}
			}
			return Call{Name: "put", Value: 2 * i, Other: 2*i + 1}
		},
		answer: func(r *rand.Rand, state, input any) (output, after any) {
			c := input.(Call)
			if c.Name == "get" {
				return state, state
			}
			return true, [...]int{c.Value, c.Other}[r.IntN(2)]
		},
	}
}
