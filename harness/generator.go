package harness

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// GeneratorFunc is a generator without state of its own.
type GeneratorFunc func(*Turn) (history.Operation, bool)

// Next calls the function.
func (f GeneratorFunc) Next(turn *Turn) (history.Operation, bool) { return f(turn) }

// Weighted is a part of a Mix.
type Weighted struct {
	Weight    int // ≥ 0
	Generator Generator
}

// Mix draws each operation from one of the parts, as often as its weight says.
// A part that ends leaves the mix; the mix ends with its last part.
// It panics if a weight is negative.
func Mix(r *rand.Rand, parts ...Weighted) Generator {
	for _, part := range parts {
		if part.Weight < 0 {
			panic(fmt.Sprintf("harness: a part of a mix has the weight %d", part.Weight))
		}
	}
	parts = append([]Weighted(nil), parts...)
	return GeneratorFunc(func(turn *Turn) (history.Operation, bool) {
		for {
			total := 0
			for _, part := range parts {
				total += part.Weight
			}
			if total == 0 {
				return history.Operation{}, false
			}
			draw, chosen := r.IntN(total), 0
			for draw >= parts[chosen].Weight {
				draw -= parts[chosen].Weight
				chosen++
			}
			if operation, ok := parts[chosen].Generator.Next(turn); ok {
				return operation, true
			}
			parts[chosen].Weight = 0
		}
	})
}

// OnKeys gives each operation the key that pick returns.
func OnKeys(pick func(*Turn) string, generator Generator) Generator {
	return GeneratorFunc(func(turn *Turn) (history.Operation, bool) {
		operation, ok := generator.Next(turn)
		if ok {
			operation.Key = pick(turn)
		}
		return operation, ok
	})
}

// Limit ends the generator after count operations.
func Limit(count int, generator Generator) Generator {
	return GeneratorFunc(func(turn *Turn) (history.Operation, bool) {
		if count <= 0 {
			return history.Operation{}, false
		}
		count--
		return generator.Next(turn)
	})
}

// Until ends the generator when that much time has passed since the run began.
func Until(end time.Duration, generator Generator) Generator {
	return GeneratorFunc(func(turn *Turn) (history.Operation, bool) {
		if turn.Now >= end {
			return history.Operation{}, false
		}
		operation, ok := generator.Next(turn)
		return operation, ok && max(turn.At, turn.Now) < end
	})
}

// Then plays one generator after the other: phases.
func Then(generators ...Generator) Generator {
	return GeneratorFunc(func(turn *Turn) (history.Operation, bool) {
		for len(generators) > 0 {
			if operation, ok := generators[0].Next(turn); ok {
				return operation, true
			}
			generators = generators[1:]
		}
		return history.Operation{}, false
	})
}

// Rate spaces operations at random (a Poisson process) so that there would be
// perSecond of them on average if each were answered at once. A worker draws its
// next pause when its last operation is done, so that a slow system gets fewer, and
// never a burst to catch up. A rate ≤ 0 does not bind.
func Rate(r *rand.Rand, perSecond float64, generator Generator) Generator {
	if perSecond <= 0 {
		return generator
	}
	var next time.Duration
	return GeneratorFunc(func(turn *Turn) (history.Operation, bool) {
		next = max(next, turn.Now) + time.Duration(r.ExpFloat64()/perSecond*float64(time.Second))
		turn.At = max(turn.At, next)
		return generator.Next(turn)
	})
}

// Each plays the operations in their order.
func Each(operations []history.Operation) Generator {
	return GeneratorFunc(func(*Turn) (history.Operation, bool) {
		if len(operations) == 0 {
			return history.Operation{}, false
		}
		operation := operations[0]
		operations = operations[1:]
		return operation, true
	})
}

// UntilOK repeats each operation until it is acknowledged, one of unknown outcome by a
// new process. As that may have taken effect already, it may take effect several times.
func UntilOK(generator Generator) Generator {
	var present *history.Operation // nil once it is acknowledged
	return GeneratorFunc(func(turn *Turn) (history.Operation, bool) {
		if present == nil {
			operation, ok := generator.Next(turn)
			if !ok {
				return operation, false
			}
			present = &operation
		}
		turn.afterwards(func(tried *history.Operation) {
			if tried != nil && tried.Outcome == history.OK {
				present = nil
			}
		})
		return *present, true
	})
}

// Zipf returns a function that draws one of 0 to count-1, as the keys of a store are
// asked for where some are popular: n with a probability in proportion to
// 1/(n+1)^exponent. YCSB's exponent is 0.99; 0 makes all alike. It panics if count is
// not positive.
func Zipf(r *rand.Rand, count int, exponent float64) func() int {
	if count <= 0 {
		panic(fmt.Sprintf("harness: Zipf draws one of %d", count))
	}
	until := make([]float64, count) // sums of the weights, up to each
	sum := 0.0
	for n := range until {
		sum += math.Pow(float64(n+1), -exponent)
		until[n] = sum
	}
	return func() int {
		n, _ := slices.BinarySearch(until, r.Float64()*sum)
		return min(n, count-1)
	}
}
