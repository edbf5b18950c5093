package guarantees

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
	"github.com/rashomon-io/rashomon/checker/internal/sessions"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A key is what the operations on one register say, by invocation.
type key struct {
	name     string
	numbers  map[int64]register.Value
	steps    []register.Step
	of       []int32 // the operation of each step, by index in the run
	versions []int64 // that each step told, or sessions.NoVersion
	read     []bool  // each step: it is a read, and no compare-and-set
}

// values are one more than the greatest.
func (k *key) values() int { return len(k.numbers) + 1 }

func (k *key) number(v int64) register.Value {
	n, known := k.numbers[v]
	if !known {
		n = register.Value(len(k.numbers) + 1)
		k.numbers[v] = n
	}
	return n
}

// A place is where something stands: in which key, and at which step of it.
type place struct{ key, step int32 }

// session is the number of a process, in the order in which they are asked for.
func (j *judge) session(process int) int32 {
	n, known := j.processes[process]
	if !known {
		n = int32(len(j.processes))
		j.processes[process] = n
	}
	return n
}

// split fills keys and order. Operations of one process that were called at the same
// moment stay as they are.
func (j *judge) split() {
	operations := j.Run.History.Operations
	byInvoke := make([]int32, len(operations))
	for i := range byInvoke {
		byInvoke[i] = int32(i)
	}
	slices.SortStableFunc(byInvoke, func(a, b int32) int {
		x, y := &operations[a], &operations[b]
		return cmp.Or(cmp.Compare(x.Invoke, y.Invoke), cmp.Compare(x.Complete, y.Complete))
	})
	known := map[string]int32{}
	for _, i := range byInvoke {
		o := &operations[i]
		at, found := known[o.Key]
		if !found {
			at = int32(len(j.keys))
			known[o.Key] = at
			j.keys = append(j.keys, &key{name: o.Key, numbers: map[int64]register.Value{}})
		}
		k := j.keys[at]
		s, version, says := k.step(o, j.Model == "versioned-register")
		if !says {
			continue
		}
		j.order = append(j.order, place{at, int32(len(k.steps))})
		k.steps, k.of, k.versions = append(k.steps, s), append(k.of, i), append(k.versions, version)
		k.read = append(k.read, o.Kind == history.Read)
	}
}

// step tells what an operation says, if it says anything: see the package comment of
// checker. The version is sessions.NoVersion if none was told.
func (k *key) step(o *history.Operation, versioned bool) (s register.Step, version int64, says bool) {
	s = register.Step{Call: int64(o.Invoke), Ret: int64(o.Complete), From: register.None, To: register.None}
	if o.Outcome == history.Info {
		s.Ret = register.Never
	}
	version = sessions.NoVersion
	told := o.Output.Ints()
	if versioned && o.Outcome == history.OK && len(told) > 0 {
		if told[0] != history.NoVersion {
			version = told[0]
		}
		told = told[1:]
	}
	saw := func() register.Value {
		if len(told) == 0 {
			return register.Nothing
		}
		return k.number(told[0])
	}
	switch {
	case o.Kind == history.Write && o.Outcome != history.Fail:
		s.To = k.number(o.Input.At(0))
	case o.Kind == history.CompareAndSet && o.Outcome != history.Fail && o.Input.At(0) == o.Input.At(1):
		s.From = k.number(o.Input.At(0))
		return s, version, o.Outcome == history.OK
	case o.Kind == history.CompareAndSet && o.Outcome != history.Fail:
		s.From, s.To = k.number(o.Input.At(0)), k.number(o.Input.At(1))
	case o.Kind == history.Read && o.Outcome == history.OK, o.Kind == history.CompareAndSet && o.Output.Len() > 0:
		s.From = saw()
	case o.Kind == history.CompareAndSet && o.Error == "":
		s.Not, s.From = true, k.number(o.Input.At(0))
	default:
		return s, version, false
	}
	return s, version, true
}

// noSessions says why processes are no sessions; empty if they are. It fills apart.
func (j *judge) noSessions() string {
	last := map[int]*history.Operation{}
	j.apart = true
	operations := j.Run.History.Operations
	byInvoke := make([]*history.Operation, len(operations))
	for i := range operations {
		byInvoke[i] = &operations[i]
	}
	slices.SortStableFunc(byInvoke, func(a, b *history.Operation) int {
		return cmp.Or(cmp.Compare(a.Invoke, b.Invoke), cmp.Compare(a.Complete, b.Complete))
	})
	for _, o := range byInvoke {
		before := last[o.Process]
		last[o.Process] = o
		switch {
		case before == nil:
		case before.Outcome == history.Info:
			return fmt.Sprintf("p%d goes on after an operation of unknown outcome, so it is no session", o.Process)
		case o.Invoke < before.Complete:
			return fmt.Sprintf("p%d has operations that overlap, so it is no session", o.Process)
		case o.Invoke == before.Complete:
			j.apart = false
		}
	}
	return ""
}

// sessionsOf is the key's history as the session guarantees see it, and the operation of
// each of its.
func (j *judge) sessionsOf(k *key, order sessions.Order) (sessions.History, []int32) {
	h := sessions.History{Values: k.values(), Order: order}
	var of []int32
	for i, s := range k.steps {
		o := sessions.Operation{
			Session: j.session(j.Run.History.Operations[k.of[i]].Process), Call: s.Call, Ret: s.Ret,
			Write: s.Writes(), Value: s.To, Replaced: register.None, Version: k.versions[i],
		}
		switch {
		case o.Write && s.Observes() && s.Ret != register.Never:
			o.Replaced = s.From
		case !o.Write && !k.read[i]:
			continue
		case !o.Write:
			o.Value = s.From
		}
		h.Operations = append(h.Operations, o)
		of = append(of, k.of[i])
	}
	return h, of
}
