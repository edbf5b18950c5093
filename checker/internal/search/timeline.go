package search

import (
	"cmp"
	"math"
	"slices"
)

// timeline puts the calls and returns of n operations, which are ordered by call,
// in the order of time: the index of an operation is its call, and the complement
// of that its return. Operations that return get slots: small numbers that no two
// have that are open at the same time. The others have the slot -1.
func timeline(n int, interval func(i int32) Operation) (events, slots []int32, count int) {
	var returns []int32
	for i := range int32(n) {
		if interval(i).Ret != math.MaxInt64 {
			returns = append(returns, i)
		}
	}
	slices.SortFunc(returns, func(a, b int32) int { return byReturn(interval, a, b) })
	events, slots = make([]int32, 0, n+len(returns)), slices.Repeat([]int32{-1}, n)
	var free []int32
	for i := range int32(n) {
		o := interval(i)
		for ; len(returns) > 0 && interval(returns[0]).Ret < o.Call; returns = returns[1:] {
			events = append(events, ^returns[0])
			free = append(free, slots[returns[0]])
		}
		events = append(events, i)
		switch {
		case o.Ret == math.MaxInt64:
		case len(free) > 0:
			slots[i] = free[len(free)-1]
			free = free[:len(free)-1]
		default:
			slots[i] = int32(count)
			count++
		}
	}
	for _, i := range returns {
		events = append(events, ^i)
	}
	return events, slots, count
}

// byReturn compares operations by when they return.
func byReturn(interval func(i int32) Operation, a, b int32) int {
	return cmp.Or(cmp.Compare(interval(a).Ret, interval(b).Ret), cmp.Compare(a, b))
}
