// Package versions decides histories of registers that tell the version of what they
// hold.
package versions

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Decide judges a history of registers that tell the version of what they hold.
//
// One order must explain values, as those of registers, and versions: each update has a
// greater version than all before it, and a read shows that of the last update. Versions
// may have gaps, for some stores count all their updates alike. What versions alone tell
// decides most, in n log n steps:
//
//   - stale read: a read shows a version that is older than one that was known when
//     it was invoked.
//   - disorder: an update got such a version, or one version stands for two updates
//     or values.
//
// Whatever is left Porcupine decides, and versions hardly leave it a choice.
func Decide(ctx context.Context, run *history.Run, budget court.Budget) *model.Answer {
	answer := model.NewAnswer()
	answer.EachKey(ctx, run, budget, "register", func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (model.Confirmed, error) {
		stale, candidates := Candidates(key, operations)
		answer.StaleReads.Add(counts.Bounds{Certain: stale, Possible: stale})
		if len(candidates) > 0 {
			answer.Decided(model.Porcupine, "versions are at odds", key)
			return model.Confirm(ctx, memory, candidates)
		}
		v := newVersions(key, operations)
		answer.Decided(model.Porcupine, "versions and values must fit one order", key)
		explained, err := court.Linearizable[state](ctx, memory, v.steps)
		if err != nil || explained {
			return model.Confirmed{}, err
		}
		return model.One(v.disorder(ctx, memory)), nil
	})
	return answer
}

// versions are the history of one key.
type versions struct {
	key     string
	steps   []*step        // that say anything, by invocation
	written map[int64]bool // values, by updates that did not fail
}

// A step is a read, or an update that did not fail.
type step struct {
	*history.Operation
	version int64 // history.NoVersion if it was not told
	value   int64 // read or written; 0 if nothing was found
	some    bool  // a value was read or written
}

// newVersions takes operations by invocation. An update of unknown outcome that
// nobody observed explains nothing, and is left out.
func newVersions(key string, operations []*history.Operation) *versions {
	v := &versions{key: key, written: map[int64]bool{}}
	observed := map[int64]bool{}
	for _, o := range operations {
		s := &step{Operation: o, version: history.NoVersion}
		switch {
		case o.Outcome == history.Fail, o.Kind == history.Read && o.Outcome != history.OK:
			continue
		case o.Kind == history.Read && o.Output.Len() == 2:
			s.value, s.some = o.Output.At(1), true
			observed[s.value] = true
		case o.Kind != history.Read:
			s.value, s.some = o.Input.At(o.Input.Len()-1), true
			v.written[s.value] = true
		}
		if o.Kind == history.CompareAndSet {
			observed[o.Input.At(0)] = true
		}
		if o.Outcome == history.OK && o.Output.Len() > 0 {
			s.version = o.Output.At(0)
		}
		v.steps = append(v.steps, s)
	}
	v.steps = slices.DeleteFunc(v.steps, func(s *step) bool { return s.Outcome == history.Info && !observed[s.value] })
	return v
}

// Candidates are the contradictions that a step or two make, and how many reads are
// stale.
func Candidates(key string, operations []*history.Operation) (stale int, candidates []model.Candidate) {
	v := newVersions(key, operations)
	byReturn := slices.DeleteFunc(slices.Clone(v.steps), func(s *step) bool { return s.version == history.NoVersion })
	slices.SortStableFunc(byReturn, func(a, b *step) int { return model.ByCompletion(a.Operation, b.Operation) })
	var newest *step // of those that had returned
	returned := 0
	first := map[int64]*step{} // of each version, the update if there is one
	for _, s := range v.steps {
		for ; returned < len(byReturn) && byReturn[returned].Complete < s.Invoke; returned++ {
			if r := byReturn[returned]; newest == nil || r.version >= newest.version {
				newest = r
			}
		}
		switch {
		case s.Kind == history.Read && s.some && !v.written[s.value]:
			candidates = append(candidates, v.candidate(anomaly.PhantomRead, s, nil))
			continue
		case s.version == history.NoVersion:
			continue
		case newest == nil:
		case s.Kind == history.Read && s.version < newest.version:
			stale++
			candidates = append(candidates, v.candidate(anomaly.StaleRead, s, newest))
			continue
		case s.Kind != history.Read && s.version <= newest.version:
			candidates = append(candidates, v.candidate(anomaly.Disorder, s, newest))
			continue
		}
		twin := first[s.version]
		if twin != nil && (s.value != twin.value || s.some != twin.some || s.updates() && twin.updates()) {
			candidates = append(candidates, v.candidate(anomaly.Disorder, s, twin))
		}
		if twin == nil || s.updates() {
			first[s.version] = s
		}
	}
	model.SmallFirst(candidates)
	return stale, candidates
}

// candidate tells of a step that is at odds with another, or by itself.
func (v *versions) candidate(name anomaly.Name, s, other *step) model.Candidate {
	told := []*history.Operation{s.Operation}
	if other != nil {
		told = append(told, other.Operation)
	}
	text := func(t sentence.Teller) string {
		switch {
		case other == nil:
			return fmt.Sprintf("%s, but nobody ever wrote %d", s.did(t), s.value)
		case s.version == other.version:
			return fmt.Sprintf("%s and %s: one version cannot be both", s.did(t), other.did(t))
		}
		return s.did(t) + ", after " + other.did(t)
	}
	made := model.Candidate{Anomaly: name, Key: v.key, Told: told, Text: text, During: sentence.SpanOf(told...), Witness: model.Copies(told...)}
	if other == nil {
		return model.ByWitness(made, func(operations []history.Operation) []*step {
			return newVersions(v.key, model.Pointers(operations)).steps
		})
	}
	return model.ByWitness(made, func(operations []history.Operation) []*ordered {
		var steps []*ordered
		for _, s := range newVersions(v.key, model.Pointers(operations)).steps {
			steps = append(steps, &ordered{s})
		}
		return steps
	})
}

// disorder tells of a history that no order explains, told in a quarter of the
// time.
func (v *versions) disorder(ctx context.Context, memory *court.Memory) model.Candidate {
	ctx, cancel := court.Share(ctx, 4)
	defer cancel()
	explains := func(step, other *step) bool { return step.updates() && other.observes(step.value) }
	steps := model.Fewest(ctx, v.steps, explains, func(steps []*step) (bool, error) {
		return court.Linearizable[state](ctx, memory, steps)
	})
	var told []*history.Operation
	for _, s := range steps {
		told = append(told, s.Operation)
	}
	slices.SortStableFunc(told, func(a, b *history.Operation) int { return model.ByCompletion(b, a) })
	text := func(t sentence.Teller) string {
		return fmt.Sprintf("no order of %s explains the versions and values that were told%s", sentence.Several(len(told), "operation"), t.Until(told[0].Complete))
	}
	return model.Candidate{Anomaly: anomaly.Disorder, Key: v.key, Told: told, Witness: model.Witness(told), During: sentence.SpanOf(told...), Text: text}
}

func (s *step) updates() bool { return s.Kind != history.Read }

// observes: the step proves that the value was there.
func (s *step) observes(value int64) bool {
	return s.Kind == history.Read && s.some && s.value == value || s.Kind == history.CompareAndSet && s.Input.At(0) == value
}

// Dated says what an operation did, in which version, and when.
func Dated(t sentence.Teller, o *history.Operation) string {
	for _, s := range newVersions(t.Key, []*history.Operation{o}).steps {
		return s.did(t)
	}
	return t.Dated(o)
}

// did says what the step did, and when: "p7 read x = 41 in version 3 at 1.000 s".
func (s *step) did(t sentence.Teller) string {
	name := t.Name(s.Kind)
	text := fmt.Sprintf("p%d ", s.Process)
	switch {
	case s.updates() && s.Kind == history.Write:
		text += fmt.Sprintf("wrote %s = %d", name, s.value)
	case s.updates():
		text += fmt.Sprintf("swapped %s from %d to %d", name, s.Input.At(0), s.value)
	case s.some:
		text += fmt.Sprintf("read %s = %d", name, s.value)
	default:
		text += "found nothing in " + name
	}
	if s.version != history.NoVersion {
		text += fmt.Sprintf(" in version %d", s.version)
	}
	return text + sentence.Through(s.Operation) + t.When(s.Operation, s.Complete)
}

func (s *step) Interval() (call, ret time.Duration) {
	return s.Invoke, model.Returns(s.Operation)
}

// A state is what a register holds, and the least version that the next
// update can have. If exact, the version before that is the register's; else it is
// that or a greater one.
type state struct {
	value int64
	some  bool
	next  int64
	exact bool
}

func (s *step) Apply(held state) (state, bool) {
	told := s.version != history.NoVersion
	if !s.updates() {
		if s.some != held.some || s.value != held.value || told && (s.version < held.next-1 || held.exact && s.version != held.next-1) {
			return held, false
		}
		if told {
			held.next, held.exact = s.version+1, true
		}
		return held, true
	}
	if s.Kind == history.CompareAndSet && (!held.some || held.value != s.Input.At(0)) {
		return held, s.Outcome == history.Info
	}
	if told && s.version < held.next {
		return held, false
	}
	return state{s.value, true, max(held.next, s.version) + 1, told}, true
}

// A ordered is a step of which only the version matters, and that this stands
// for one update and one value: what is missing in between explains any other.
type ordered struct{ *step }

func (s *ordered) Apply(held state) (state, bool) {
	last := held.next - 1
	possible := s.version > last || s.version == last && !s.updates() && s.value == held.value && s.some == held.some
	return state{s.value, s.some, s.version + 1, true}, possible
}
