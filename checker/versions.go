package checker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/harness/history"
)

// VersionedRegister is the model of registers that tell the version of what they
// hold: read, write and compare-and-set, each key by itself. A read outputs
// [version, value], or [version] if it found nothing, with history.NoVersion for a
// version that was not told; an update that tells its version outputs that.
//
// One order must explain values, as those of Register, and versions: each update
// has a greater version than all before it, and a read shows that of the last
// update. Versions may have gaps, for some stores count all their updates alike.
//
// What versions alone tell decides most, in n log n steps:
//
//   - stale read: a read shows a version that is older than one that was known when
//     it was invoked.
//   - disorder: an update got such a version, or one version stands for two updates
//     or values.
//
// Whatever is left Porcupine decides, and versions hardly leave it a choice.
// StaleReads are those that versions tell; lost commits are not counted.
var VersionedRegister = Model{
	name: "versioned-register",
	kinds: map[history.Kind]arity{
		history.Read:          {input: 0, output: 2},
		history.Write:         {input: 1, output: 1},
		history.CompareAndSet: {input: 2, output: 1},
	},
	engines: []Engine{Porcupine},
	judge:   judgeVersions,
}

func judgeVersions(ctx context.Context, run *history.Run, options Options, result *Result) {
	judgeKeys(ctx, run, options, result, "register", func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (findings, error) {
		v := newVersions(key, operations)
		stale, suspects := v.suspects()
		result.StaleReads.Add(counts.Bounds{Certain: stale, Possible: stale})
		if len(suspects) > 0 {
			result.decided(Porcupine, "versions are at odds", key)
			return prove(ctx, memory, suspects)
		}
		result.decided(Porcupine, "versions and values must fit one order", key)
		explained, err := court.Linearizable[versionState](ctx, memory, v.steps)
		if err != nil || explained {
			return findings{}, err
		}
		s := v.disorder(ctx, memory)
		return findings{[]story{s}, s.told[0].Complete}, nil
	})
}

// versions are the history of one key.
type versions struct {
	key     string
	steps   []*versionStep // that say anything, by invocation
	written map[int64]bool // values, by updates that did not fail
}

// A versionStep is a read, or an update that did not fail.
type versionStep struct {
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
		s := &versionStep{Operation: o, version: history.NoVersion}
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
	v.steps = slices.DeleteFunc(v.steps, func(s *versionStep) bool { return s.Outcome == history.Info && !observed[s.value] })
	return v
}

// suspects are the contradictions that a step or two make, and how many reads are
// stale.
func (v *versions) suspects() (stale int, suspects []charge) {
	byReturn := slices.DeleteFunc(slices.Clone(v.steps), func(s *versionStep) bool { return s.version == history.NoVersion })
	slices.SortStableFunc(byReturn, func(a, b *versionStep) int { return byCompletion(a.Operation, b.Operation) })
	var newest *versionStep // of those that had returned
	returned := 0
	first := map[int64]*versionStep{} // of each version, the update if there is one
	for _, s := range v.steps {
		for ; returned < len(byReturn) && byReturn[returned].Complete < s.Invoke; returned++ {
			if r := byReturn[returned]; newest == nil || r.version >= newest.version {
				newest = r
			}
		}
		switch {
		case s.Kind == history.Read && s.some && !v.written[s.value]:
			suspects = append(suspects, v.accuse(anomaly.PhantomRead, s, nil))
			continue
		case s.version == history.NoVersion:
			continue
		case newest == nil:
		case s.Kind == history.Read && s.version < newest.version:
			stale++
			suspects = append(suspects, v.accuse(anomaly.StaleRead, s, newest))
			continue
		case s.Kind != history.Read && s.version <= newest.version:
			suspects = append(suspects, v.accuse(anomaly.Disorder, s, newest))
			continue
		}
		twin := first[s.version]
		if twin != nil && (s.value != twin.value || s.some != twin.some || s.updates() && twin.updates()) {
			suspects = append(suspects, v.accuse(anomaly.Disorder, s, twin))
		}
		if twin == nil || s.updates() {
			first[s.version] = s
		}
	}
	smallFirst(suspects)
	return stale, suspects
}

// accuse tells of a step that is at odds with another, or by itself.
func (v *versions) accuse(name anomaly.Name, s, other *versionStep) charge {
	told := []*history.Operation{s.Operation}
	if other != nil {
		told = append(told, other.Operation)
	}
	text := func(n narrator) string {
		switch {
		case other == nil:
			return fmt.Sprintf("%s, but nobody ever wrote %d", s.did(n, v.key), s.value)
		case s.version == other.version:
			return fmt.Sprintf("%s and %s: one version cannot be both", s.did(n, v.key), other.did(n, v.key))
		}
		return s.did(n, v.key) + ", after " + other.did(n, v.key)
	}
	made := story{anomaly: name, key: v.key, told: told, text: text, during: spanOf(told...), witness: copies(told...)}
	if other == nil {
		return accuse(made, func(operations []history.Operation) []*versionStep {
			return newVersions(v.key, pointersTo(operations)).steps
		})
	}
	return accuse(made, func(operations []history.Operation) []*versionOrder {
		var steps []*versionOrder
		for _, s := range newVersions(v.key, pointersTo(operations)).steps {
			steps = append(steps, &versionOrder{s})
		}
		return steps
	})
}

func pointersTo(operations []history.Operation) []*history.Operation {
	all := make([]*history.Operation, len(operations))
	for i := range operations {
		all[i] = &operations[i]
	}
	return all
}

// disorder is the story of a history that no order explains, told in a quarter of the
// time.
func (v *versions) disorder(ctx context.Context, memory *court.Memory) story {
	ctx, cancel := court.Share(ctx, 4)
	defer cancel()
	explains := func(step, other *versionStep) bool { return step.updates() && other.observes(step.value) }
	steps := fewest(ctx, v.steps, explains, func(steps []*versionStep) (bool, error) {
		return court.Linearizable[versionState](ctx, memory, steps)
	})
	var told []*history.Operation
	for _, s := range steps {
		told = append(told, s.Operation)
	}
	slices.SortStableFunc(told, func(a, b *history.Operation) int { return byCompletion(b, a) })
	text := func(n narrator) string {
		return fmt.Sprintf("no order of %s explains the versions and values that were told%s", several(len(told), "operation"), n.until(told[0].Complete))
	}
	return story{anomaly: anomaly.Disorder, key: v.key, told: told, witness: values(told), during: spanOf(told...), text: text}
}

func (s *versionStep) updates() bool { return s.Kind != history.Read }

// observes: the step proves that the value was there.
func (s *versionStep) observes(value int64) bool {
	return s.Kind == history.Read && s.some && s.value == value || s.Kind == history.CompareAndSet && s.Input.At(0) == value
}

// did says what the step did, and when: "p7 read x = 41 in version 3 at 1.000 s".
func (s *versionStep) did(n narrator, key string) string {
	name := "the register"
	if key != "" {
		name = keyName(key)
	}
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
	return text + through(s.Operation) + n.when(s.Operation, s.Complete)
}

func (s *versionStep) Interval() (call, ret time.Duration) {
	if s.Outcome == history.Info {
		return s.Invoke, never
	}
	return s.Invoke, s.Complete
}

// A versionState is what a register holds, and the least version that the next
// update can have. If exact, the version before that is the register's; else it is
// that or a greater one.
type versionState struct {
	value int64
	some  bool
	next  int64
	exact bool
}

func (s *versionStep) Apply(held versionState) (versionState, bool) {
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
	return versionState{s.value, true, max(held.next, s.version) + 1, told}, true
}

// A versionOrder is a step of which only the version matters, and that this stands
// for one update and one value: what is missing in between explains any other.
type versionOrder struct{ *versionStep }

func (s *versionOrder) Apply(held versionState) (versionState, bool) {
	last := held.next - 1
	possible := s.version > last || s.version == last && !s.updates() && s.value == held.value && s.some == held.some
	return versionState{s.value, s.some, s.version + 1, true}, possible
}
