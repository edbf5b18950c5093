package search

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What is joined is as good as each, and nothing worse is.
func TestJoin(t *testing.T) {
	l := layout{words: 1, size: 5}
	configuration := rapid.Custom(func(t *rapid.T) []uint64 {
		small := rapid.Uint64Range(0, 7)
		return []uint64{1, small.Draw(t, "done"), small.Draw(t, "spent"), small.Draw(t, "counter"), small.Draw(t, "counter")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, other := configuration.Draw(t, "a"), configuration.Draw(t, "b"), configuration.Draw(t, "other")
		joined := slices.Clone(a)
		l.join(joined, b)
		if !l.better(joined, a) || !l.better(joined, b) {
			t.Errorf("%v and %v are joined to %v", a, b, joined)
		}
		if l.better(other, a) && l.better(other, b) && !l.better(other, joined) {
			t.Errorf("%v and %v are joined to %v, but %v suffices", a, b, joined, other)
		}
		if l.better(a, b) && l.better(b, a) && !slices.Equal(a, b) {
			t.Errorf("%v and %v are better than each other", a, b)
		}
	})
}
