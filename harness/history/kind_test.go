package history

import (
	"slices"
	"testing"
)

func TestMeanings(t *testing.T) {
	own := Kinds{"append": {Object: "log", Updates: true}, "tail": {Object: "log", Reads: true}, Read: {Object: "log", Reads: true, Output: Any}}
	var none Value
	for _, test := range []struct {
		kind          Kind
		input, output Value
		outcome       Outcome
		want          []string
	}{
		{Read, none, none, OK, []string{"reads", "saw"}},
		{Read, none, none, Info, []string{"reads"}},
		{ReadAll, none, Ints(1), OK, []string{"reads", "saw"}},
		{Write, Ints(1), none, OK, []string{"updates", "changed"}},
		{Write, Ints(1), none, Fail, []string{"updates"}},
		{CompareAndSet, Ints(1, 2), none, OK, []string{"updates", "changed"}},
		{CompareAndSet, Ints(1, 1), none, OK, []string{"updates", "saw"}},
		{CompareAndSet, Ints(1, 2), none, Fail, []string{"updates"}},
		{CompareAndSet, Ints(1, 2), Ints(3), Fail, []string{"updates", "saw"}},
		{Add, Ints(1), none, OK, []string{"updates", "changed"}},
		{Increment, Ints(1), none, OK, []string{"updates", "changed"}},
		{Transfer, Ints(1, 2, 3), none, OK, []string{"updates", "changed"}},
		{Enqueue, Ints(1), none, OK, []string{"updates", "changed"}},
		{Dequeue, none, none, OK, []string{"reads"}},
		{Dequeue, none, Ints(1), OK, []string{"reads", "granted"}},
		{Acquire, none, none, OK, []string{"updates", "granted"}},
		{Acquire, none, none, Fail, []string{"updates"}},
		{Release, none, none, OK, []string{"granted"}},
		{Generate, none, Ints(1), OK, []string{"updates", "granted"}},
		{Use, Ints(1), none, OK, nil},
		{"append", JSON("a"), none, OK, []string{"updates", "changed"}},
		{"tail", none, JSON("a"), OK, []string{"reads", "saw"}},
		{"other", none, none, OK, nil},
	} {
		m := own.Of(test.kind)
		o := &Operation{Kind: test.kind, Input: test.input, Output: test.output, Outcome: test.outcome}
		var got []string
		for _, is := range []struct {
			what string
			so   bool
		}{{"reads", m.Reads}, {"updates", m.Updates}, {"saw", m.Saw(o)}, {"changed", m.Changed(o)}, {"granted", m.Granted(o)}} {
			if is.so {
				got = append(got, is.what)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s %s of %s, %s: %q, want %q", test.kind, test.outcome, test.input, test.output, got, test.want)
		}
	}
	if own.Of(Read).Object != "log" || own.Of(Write).Object != "register" || Kinds(nil).Of(Read).Object != "register" {
		t.Error("a workload's own kinds do not come before those of this package, or hide others")
	}
}
