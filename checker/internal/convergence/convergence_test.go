package convergence

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// disagree compares every two reads.
func disagree(o Object) bool {
	for _, a := range o.Reads {
		for _, b := range o.Reads {
			if o.Counter {
				if len(a.Told) > 0 && len(b.Told) > 0 && a.Told[0]-b.Told[0] > int64(o.Slack) {
					return true
				}
				continue
			}
			if !o.Elements {
				late := func(told []int64) bool { return len(told) > 0 && o.Late(told[0]) }
				if !late(a.Told) && !late(b.Told) && !slices.Equal(a.Told, b.Told) {
					return true
				}
				continue
			}
			for _, e := range a.Told {
				if !o.Late(e) && !slices.Contains(b.Told, e) {
					return true
				}
			}
		}
	}
	return false
}

func random(r *rand.Rand) Object {
	late := r.Int64N(5)
	o := Object{Late: func(v int64) bool { return v == late }, Elements: r.IntN(2) == 0}
	if !o.Elements && r.IntN(2) == 0 {
		o.Counter, o.Slack = true, r.Uint64N(3)
	}
	told := func() (all []int64) {
		for e := range int64(4) {
			if (o.Elements || len(all) == 0) && r.IntN(2) == 0 {
				all = append(all, e)
			}
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		return all
	}
	usual := told()
	for range r.IntN(5) {
		read := Read{Told: usual}
		if r.IntN(3) == 0 {
			read.Told = told()
		}
		o.Reads = append(o.Reads, read)
	}
	return o
}

func TestAgainstAllPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	count := map[bool]int{}
	for range 100_000 {
		o := random(r)
		a, b, found := o.Disagree()
		if want := disagree(o); found != want {
			t.Fatalf("%+v: %v, want %v", o, found, want)
		}
		if found && !disagree(Object{Reads: []Read{o.Reads[a], o.Reads[b]}, Late: o.Late, Elements: o.Elements, Counter: o.Counter, Slack: o.Slack}) {
			t.Fatalf("%+v: %d and %d agree", o, a, b)
		}
		count[found]++
	}
	if count[true] < 10_000 || count[false] < 10_000 {
		t.Error(count)
	}
}

func TestCompared(t *testing.T) {
	if (Object{Reads: []Read{{Node: "n1"}, {Node: "n1"}}}).Compared() || !(Object{Reads: []Read{{Node: "n1"}, {Node: "n2"}}}).Compared() || (Object{}).Compared() {
		t.Error("nodes are confused")
	}
}
