package workloads_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/workloads"
)

// drive plays a worker's operations against answer, which completes each, and
// returns their kinds and the times at which they are invoked.
func drive(steps int, answer func(*history.Operation)) (kinds []history.Kind, at []time.Duration) {
	generator := generatorOf(new(workloads.Lock), 0)
	turn := harness.Turn{}
	for range steps {
		o, _ := generator.Next(&turn)
		now := max(turn.Now, turn.At)
		answer(&o)
		kinds, at = append(kinds, o.Kind), append(at, now)
		turn = harness.Turn{Now: now + time.Millisecond, Previous: &o}
	}
	return kinds, at
}

func TestAHoldIsUsedAndGivenBack(t *testing.T) {
	var lock string
	kinds, at := drive(500, func(o *history.Operation) {
		o.Outcome = history.OK
		switch o.Kind {
		case history.Acquire:
			lock, o.Output = o.Key, history.Ints(41)
		case history.Use:
			if diff := cmp.Diff(history.Ints(41), o.Input); diff != "" {
				t.Error(diff)
			}
			fallthrough
		default:
			if o.Key != lock {
				t.Errorf("%s of %s while %s is held", o.Kind, o.Key, lock)
			}
		}
	})
	want := []history.Kind{history.Acquire, history.Use, history.Use, history.Use, history.Release}
	long := 0
	for i := 0; i < len(kinds); i += len(want) {
		if diff := cmp.Diff(want, kinds[i:i+len(want)]); diff != "" {
			t.Fatal(diff)
		}
		if at[i+4]-at[i] > time.Second {
			long++
		}
	}
	if long == 0 || long > 20 {
		t.Errorf("%d of 100 holds are long", long)
	}
}

// Who is not granted the lock, or does not know, neither uses nor releases it.
func TestNobodyUsesWhatHeDoesNotHold(t *testing.T) {
	for _, outcome := range []history.Outcome{history.Fail, history.Info} {
		kinds, at := drive(20, func(o *history.Operation) { o.Outcome = outcome })
		for i, kind := range kinds {
			if kind != history.Acquire {
				t.Errorf("%s after an acquire with outcome %s", kind, outcome)
			}
			if i > 0 && outcome == history.Fail && at[i]-at[i-1] < 20*time.Millisecond {
				t.Errorf("tries again after %s", at[i]-at[i-1])
			}
		}
	}
}

// A holder that the fence stops gives up.
func TestRefusedHolderReleases(t *testing.T) {
	kinds, _ := drive(3, func(o *history.Operation) {
		o.Outcome = history.OK
		if o.Kind == history.Use {
			o.Outcome, o.Output = history.Fail, history.Ints(99)
		}
	})
	if diff := cmp.Diff([]history.Kind{history.Acquire, history.Use, history.Release}, kinds); diff != "" {
		t.Error(diff)
	}
}

type scriptedLock struct {
	token int64
	yes   bool
	err   error
}

func (s scriptedLock) Acquire(context.Context, string) (int64, bool, error) {
	return s.token, s.yes, s.err
}
func (s scriptedLock) Release(context.Context, string) (bool, error) { return s.yes, s.err }
func (s scriptedLock) Close() error                                  { return nil }

func TestLockAnswers(t *testing.T) {
	reset := errors.New("reset")
	for _, c := range []struct {
		name   string
		kind   history.Kind
		client scriptedLock
		output history.Value
		err    error
	}{
		{"acquired", history.Acquire, scriptedLock{token: 7, yes: true}, history.Ints(7), nil},
		{"acquired, no token", history.Acquire, scriptedLock{yes: true}, history.Value{}, nil},
		{"held", history.Acquire, scriptedLock{token: 7}, history.Value{}, harness.ErrPrecondition},
		{"unknown", history.Acquire, scriptedLock{token: 7, yes: true, err: reset}, history.Value{}, reset},
		{"released", history.Release, scriptedLock{yes: true}, history.Value{}, nil},
		{"not held", history.Release, scriptedLock{}, history.Value{}, harness.ErrPrecondition},
		{"release unknown", history.Release, scriptedLock{err: reset}, history.Value{}, reset},
	} {
		invoke, err := new(workloads.Lock).Bind(c.client)
		if err != nil {
			t.Fatal(err)
		}
		output, err := invoke(t.Context(), history.Operation{Kind: c.kind})
		if diff := cmp.Diff(c.output, output); diff != "" || !errors.Is(err, c.err) {
			t.Errorf("%s: output %v, error %v; want %v, %v", c.name, output, err, c.output, c.err)
		}
	}
}

// All clients of a trial share what locks protect, and other trials do not.
func TestTheFence(t *testing.T) {
	trial := new(workloads.Lock)
	use := func(lock *workloads.Lock, key string, token ...int64) (history.Value, error) {
		invoke, err := lock.Bind(scriptedLock{})
		if err != nil {
			t.Fatal(err)
		}
		return invoke(t.Context(), history.Operation{Kind: history.Use, Key: key, Input: history.Ints(token...)})
	}
	for _, step := range []struct {
		lock    *workloads.Lock
		key     string
		token   []int64
		refused history.Value
	}{
		{trial, "a", []int64{5}, history.Value{}},
		{trial, "a", []int64{5}, history.Value{}},
		{trial, "a", []int64{7}, history.Value{}},
		{trial, "a", []int64{6}, history.Ints(7)},
		{trial, "a", nil, history.Value{}},
		{trial, "b", []int64{6}, history.Value{}},
		{new(workloads.Lock), "a", []int64{6}, history.Value{}},
	} {
		output, err := use(step.lock, step.key, step.token...)
		if diff := cmp.Diff(step.refused, output); diff != "" || (err != nil) != (!step.refused.IsNone()) || err != nil && !errors.Is(err, harness.ErrPrecondition) {
			t.Errorf("use of %s with %v: %v %v", step.key, step.token, output, err)
		}
	}
}
