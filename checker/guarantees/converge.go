package guarantees

import (
	"fmt"
	"maps"
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

// converges judges whether the final reads of each key agree. Those began after all faults
// were healed and the load had ended.
func (j *judge) converges(i int) {
	final := j.Run.PhaseBegins(history.Final)
	switch {
	case j.Model != "set" && j.Model != "counter" && !registers(j.Model):
		j.results[i].Verdict, j.results[i].Reason = NotJudged, fmt.Sprintf("only registers, sets and counters are held against it, and this is a history of the model %s", j.Model)
		return
	case final == history.Never:
		j.unknown(i, "the history has no final phase, so nobody knows since when its reads should agree")
		return
	}
	objects := j.objects(final)
	compared := false
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		o := objects[name]
		o.Late = func(v int64) bool { return o.late[v] }
		compared = compared || o.Compared()
		a, b, found := o.Disagree()
		if !found {
			continue
		}
		first, second := o.reads[a], o.reads[b]
		key := func(int32) string { return name }
		sentence := fmt.Sprintf("the final reads do not agree: %s", j.told(key, []int32{first, second}))
		if healed := j.Run.Healed(); healed != history.Never && j.Run.History.Operations[first].Invoke > healed {
			sentence = fmt.Sprintf("%.3f s after the faults were healed, %s", (final - healed).Seconds(), sentence)
		}
		j.broken(i, name, []int32{first, second}, sentence)
	}
	if !compared {
		j.unknown(i, "no key was read through two nodes in the final phase")
	}
}

// objects are what was told since the final phase began.
func (j *judge) objects(final time.Duration) map[string]*object {
	all := map[string]*object{}
	operations := j.Run.History.Operations
	for i := range operations {
		o := &operations[i]
		of := all[o.Key]
		if of == nil {
			of = &object{late: map[int64]bool{}}
			of.Elements = j.Model == "set"
			all[o.Key] = of
		}
		switch {
		case o.Kind.Updates() && o.Outcome != history.Fail && (o.Outcome == history.Info || o.Complete >= final):
			of.late[o.Input.At(o.Input.Len()-1)] = true
			of.AnyLate = of.AnyLate || j.Model == "counter"
		case !o.Kind.Updates() && o.Outcome == history.OK && o.Invoke >= final:
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
