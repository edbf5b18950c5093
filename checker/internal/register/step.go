// Package register holds what the engines that decide registers have in
// common: operations reduced to what they say, with values numbered densely.
package register

import "math"

// Never is when an operation of unknown outcome returns.
const Never = int64(math.MaxInt64)

// A Value numbers the values of one register from 1; Nothing is what the
// register holds before it is written.
type Value = int32

const (
	Nothing Value = 0
	None    Value = -1 // in a Step: it does not observe, or does not write
)

// A Step is what one operation says about its register. It takes effect at one
// moment of the closed interval from Call to Ret.
type Step struct {
	Call, Ret int64 // nanoseconds; Ret is Never if nobody knows the outcome
	// From is what the register held before it. If Ret is Never, the step may
	// also have no effect at all, ever.
	From Value
	// To is what the register held after it.
	To Value
	// Not turns From around: the register held anything else. To is None then.
	Not bool
}
