package guarantees

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/internal/convergence"
	"github.com/rashomon-io/rashomon/harness/history"
)

// An object is what a run tells about one key in its final phase.
type object struct {
	convergence.Object
	reads []int32 // the operation of each read
	late  map[int64]bool
}

// converges judges whether the final reads of each key agree about all updates that were
// acknowledged so long before them as is claimed or, without a time, before the faults
// were healed. The final phase begins when all faults are healed and the load has ended.
func (j *judge) converges(i int, within time.Duration) {
	final, healed := j.Run.PhaseBegins(history.Final), j.Run.Healed()
	since := final - within
	if within == 0 {
		since = healed
	}
	switch {
	case j.Model != "set" && j.Model != "counter" && !registers(j.Model):
		j.results[i].Verdict, j.results[i].Reason = NotJudged, fmt.Sprintf("only registers, sets and counters are held against it, and this is a history of the model %s", j.Model)
		return
	case final == history.Never || healed == history.Never:
		j.unknown(i, "the history has no final phase, so nobody knows since when its reads should agree")
		return
	case since < healed:
		j.results[i].Verdict = NotJudged
		j.results[i].Reason = fmt.Sprintf("the final phase began %.3f s after the faults were healed, which is less than that; let the recovery phase be longer", (final - healed).Seconds())
		return
	}
	objects := j.objects(since, final)
	compared := false
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		o := objects[name]
		o.Late = func(v int64) bool { return o.late[v] }
		compared = compared || o.Compared()
		a, b, found := o.Disagree()
		if !found {
			continue
		}
		reads := []int32{o.reads[a], o.reads[b]}
		key := func(int32) string { return name }
		j.broken(i, name, reads, fmt.Sprintf("%.3f s after what they differ in, the final reads do not agree: %s", (final-since).Seconds(), j.told(key, reads)))
	}
	if !compared {
		j.unknown(i, "no key was read through two nodes in the final phase")
	}
}

// saturated adds the amount of a number to a sum.
func saturated(sum uint64, by int64) uint64 {
	amount := uint64(by)
	if by < 0 {
		amount = -amount
	}
	if sum+amount < sum {
		return math.MaxUint64
	}
	return sum + amount
}

// objects are what was told since the final phase began, where an update is late if it may
// have taken effect later than so.
func (j *judge) objects(since, final time.Duration) map[string]*object {
	all := map[string]*object{}
	operations := j.Run.History.Operations
	for i := range operations {
		o := &operations[i]
		of := all[o.Key]
		if of == nil {
			of = &object{late: map[int64]bool{}}
			of.Elements, of.Counter = j.Model == "set", j.Model == "counter"
			all[o.Key] = of
		}
		switch updates := history.Kinds(nil).Of(o.Kind).Updates; { // as the model means them
		case updates && o.Outcome != history.Fail && (o.Outcome == history.Info || o.Complete > since):
			by := o.Input.At(o.Input.Len() - 1)
			of.late[by] = true
			of.Slack = saturated(of.Slack, by)
		case !updates && o.Outcome == history.OK && o.Invoke >= final:
			told := o.Output.Ints()
			if j.Model == "versioned-register" && len(told) > 0 {
				told = told[1:]
			}
			of.Reads = append(of.Reads, convergence.Read{Node: o.Node, Told: told})
			of.reads = append(of.reads, int32(i))
		}
	}
	return all
}
