package guarantees

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/register"
	"github.com/rashomon-io/rashomon/checker/internal/sequential"
	"github.com/rashomon-io/rashomon/checker/internal/sessions"
	"github.com/rashomon-io/rashomon/checker/internal/stale"
	"github.com/rashomon-io/rashomon/harness/history"
)

var sessionGuarantees = map[string]sessions.Guarantee{
	history.MonotonicReads: sessions.MonotonicReads, history.ReadYourWrites: sessions.ReadYourWrites,
	history.MonotonicWrites: sessions.MonotonicWrites, history.WritesFollowReads: sessions.WritesFollowReads,
}

// registers judges what is claimed of registers.
func (j *judge) registers(ctx context.Context) {
	j.split()
	noSessions := j.noSessions()
	var asked sessions.Guarantee
	for i, g := range j.claimed {
		session := sessionGuarantees[g.Name]
		switch {
		case (session > 0 || g.Name == history.Sequential) && noSessions != "":
			j.unknown(i, noSessions)
		case session > 0:
			asked |= session
		case g.Name == history.Sequential:
			j.sequential(ctx, i)
		case g.Name == history.StaleByTime && j.Run.History.Untimed:
			j.unknown(i, "the history has no times")
		case g.Name == history.StaleByTime, g.Name == history.StaleByVersions, g.Name == history.LinearizableWrites:
			j.stale(ctx, i, g)
		}
	}
	if asked > 0 {
		j.sessions(ctx, asked)
	}
}

// sessions judges the session guarantees, key by key.
func (j *judge) sessions(ctx context.Context, asked sessions.Guarantee) {
	order := sessions.Any
	for _, g := range j.claimed {
		if g.Name == history.LinearizableWrites || g.Name == history.Linearizable {
			order = sessions.RealTime
		}
	}
	if j.Model == "versioned-register" {
		order = sessions.Versions
	}
	var tested sessions.Guarantee
	reason := ""
	for _, k := range j.keys {
		if ctx.Err() != nil {
			reason = "the time budget ended before all keys were judged; raise it"
			break
		}
		h, of := j.sessionsOf(k, order)
		answer := sessions.Decide(h, asked)
		if answer.Disordered && order == sessions.RealTime { // so writes are not linearizable, which is another verdict
			h.Order = sessions.Any
			answer = sessions.Decide(h, asked)
		}
		switch {
		case answer.Repeated:
			reason = fmt.Sprintf("key %q: a value is written twice, so nobody knows which write a read saw", k.name)
		case answer.Disordered:
			reason = fmt.Sprintf("key %q: its versions contradict each other, so they are no order of its writes", k.name)
		}
		tested |= answer.Tested
		for _, c := range answer.Broken {
			j.contradiction(k, h, of, c)
		}
	}
	for i, g := range j.claimed {
		session := sessionGuarantees[g.Name]
		switch {
		case session == 0:
		case reason != "":
			j.unknown(i, reason)
		case tested&session == 0:
			j.unknown(i, "no process did on one key what it is about, one after the other")
		}
	}
}

// contradiction notes one for each guarantee that is part of it.
func (j *judge) contradiction(k *key, h sessions.History, of []int32, c sessions.Contradiction) {
	part := sessions.History{Values: h.Values, Order: h.Order}
	var witness []int32
	for _, o := range c.Operations {
		part.Operations = append(part.Operations, h.Operations[o])
		witness = append(witness, of[o])
	}
	explained := sessions.Explained(part, c.Together)
	var names, steps []string
	for i, g := range j.claimed {
		if c.Together&sessionGuarantees[g.Name] != 0 {
			names = append(names, j.results[i].Guarantee)
		}
	}
	for _, step := range c.Cycle {
		if text := j.why(k, h, of, step); text != "" {
			steps = append(steps, text)
		}
	}
	sentence := fmt.Sprintf("%s; no order of these writes gives %s", strings.Join(steps, "; "), joined(slices.Compact(names)))
	for i, g := range j.claimed {
		switch {
		case c.Together&sessionGuarantees[g.Name] == 0:
		case explained:
			j.unknown(i, unconfirmed)
		default:
			j.broken(i, k.name, witness, sentence)
		}
	}
}

// why says in words why one value is no newer than another; empty where there is nothing
// to say, for nothing was written before.
func (j *judge) why(k *key, h sessions.History, of []int32, step sessions.Step) string {
	operations := slices.Clone(step.Operations)
	slices.Sort(operations)
	var told []string
	for _, o := range operations {
		told = append(told, j.Tell(k.name, &j.Run.History.Operations[of[o]]))
	}
	switch {
	case step.By != 0 && len(told) == 2:
		return told[0] + ", and then " + told[1]
	case step.Older == register.Nothing:
		return ""
	case len(told) == 2 && h.Order == sessions.RealTime:
		return told[0] + ", before " + told[1]
	}
	return joined(told)
}

// stale judges how stale reads are, and whether writes alone are linearizable, key by key.
func (j *judge) stale(ctx context.Context, i int, g history.Guarantee) {
	if j.Linearizable == Holds {
		return
	}
	for n, k := range j.keys {
		steps, of := k.steps, k.of
		if g.Name == history.LinearizableWrites {
			steps, of = k.writes()
		}
		share, cancel := court.Share(ctx, len(j.keys)-n)
		var answer stale.Answer
		if g.Name == history.StaleByVersions {
			answer = stale.ByVersions(share, steps, k.values(), g.Versions, j.MemoryBytes)
		} else {
			answer = stale.ByTime(share, steps, k.values(), int64(g.Time), j.MemoryBytes)
		}
		cancel()
		switch answer.Verdict {
		case stale.Unknown:
			j.unknown(i, fmt.Sprintf("key %q: %v; raise the budget, or spread the operations over more keys", k.name, answer.Err))
		case stale.Invalid:
			j.tooStale(ctx, i, g, k, steps, of, answer.Witness)
		}
	}
}

// writes are the steps that write, and the operations of these.
func (k *key) writes() (steps []register.Step, of []int32) {
	for i, s := range k.steps {
		if s.Writes() {
			steps, of = append(steps, s), append(of, k.of[i])
		}
	}
	return steps, of
}

// tooStale puts a witness before Porcupine, and notes it.
func (j *judge) tooStale(ctx context.Context, i int, g history.Guarantee, k *key, steps []register.Step, of []int32, witness []int32) {
	var part []register.Step
	var operations []int32
	for _, s := range witness {
		part = append(part, steps[s])
		operations = append(operations, of[s])
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	memory := court.NewMemory(j.MemoryBytes)
	var explained bool
	var err error
	allowed := "though every read may be as stale as that"
	if g.Name == history.StaleByVersions {
		explained, err = court.Linearizable[stale.Window](ctx, memory, windowed(part, g.Versions))
	} else {
		explained, err = court.Linearizable[register.Value](ctx, memory, moved(part, int64(g.Time)))
	}
	if g.Name == history.LinearizableWrites {
		allowed = "though reads are left out"
	}
	if err != nil || explained {
		j.unknown(i, fmt.Sprintf("key %q: %s", k.name, unconfirmed))
		return
	}
	key := func(int32) string { return k.name }
	j.broken(i, k.name, operations, fmt.Sprintf("no order explains, %s, that %s", allowed, j.told(key, operations)))
}

// sequential judges all keys together.
func (j *judge) sequential(ctx context.Context, i int) {
	if j.Linearizable == Holds && j.apart { // each key, and so all of them, in an order that is each process's as well
		return
	}
	h := sequential.History{Values: make([]int, len(j.keys))}
	var of []int32
	for n, k := range j.keys {
		h.Values[n] = k.values()
	}
	for _, p := range j.order {
		k := j.keys[p.key]
		operation := k.of[p.step]
		h.Operations = append(h.Operations, sequential.Operation{
			Step: k.steps[p.step], Session: j.session(j.Run.History.Operations[operation].Process), Register: p.key,
		})
		of = append(of, operation)
	}
	answer := sequential.Decide(ctx, h)
	switch answer.Verdict {
	case sequential.Repeated:
		j.unknown(i, "a value is written twice to one key, so nobody knows which write a read saw")
	case sequential.Unknown:
		j.unknown(i, fmt.Sprintf("%v; raise the budget, or try fewer operations", answer.Err))
	case sequential.Invalid:
		j.disordered(ctx, i, h, of, answer.Witness)
	}
}

// disordered puts a witness before Porcupine, and notes it.
func (j *judge) disordered(ctx context.Context, i int, h sequential.History, of, witness []int32) {
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	var operations []int32
	for _, o := range witness {
		operations = append(operations, of[o])
	}
	steps, fits := inSessions(h, witness)
	explained := true
	if fits {
		var err error
		if explained, err = court.Linearizable[progress](ctx, court.NewMemory(j.MemoryBytes), steps); err != nil {
			explained = true
		}
	}
	if explained {
		j.unknown(i, unconfirmed)
		return
	}
	keys := map[string]bool{}
	for _, o := range operations {
		keys[j.Run.History.Operations[o].Key] = true
	}
	name := ""
	if len(keys) == 1 {
		name = j.Run.History.Operations[operations[0]].Key
	}
	key := func(o int32) string { return j.Run.History.Operations[o].Key }
	j.broken(i, name, operations, "no order that is each process's own explains that "+j.told(key, operations))
}
