package pieces

import (
	"context"
	"slices"
	"testing"
)

func TestLeave(t *testing.T) {
	all := make([]int, 100)
	for i := range all {
		all[i] = i
	}
	needed := []int{17, 18, 93}
	leave := func(from, to int) int {
		without := slices.Delete(slices.Clone(all), from, to)
		if !slices.ContainsFunc(needed, func(n int) bool { return !slices.Contains(without, n) }) {
			all = without
		}
		return len(all)
	}
	Leave(t.Context(), len(all), leave)
	if !slices.Equal(all, needed) {
		t.Errorf("%v remain of %v", all, needed)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	Leave(ended, 3, func(_, _ int) int { t.Error("asked after the end"); return 3 })
}
