package jepsen

import (
	"fmt"

	"github.com/rashomon-io/rashomon/harness/history"
)

// Some stores tell the version of what a register holds, and Jepsen's tests of them
// record [version value], and [version [expected new]] of a :cas. An invocation has
// nil for the version, which it cannot know.

// looksVersioned: all values are [version value].
func looksVersioned(calls []call) bool {
	told := false // a version
	for i := range calls {
		c := &calls[i]
		in := c.invoked
		switch c.f {
		case "read":
			if in.kind > null && !isPair(in) {
				return false
			}
		case "write", "cas":
			if !isPair(in) || in.items[0].kind != null || c.f == "cas" && !isPair(in.items[1]) {
				return false
			}
		default:
			return false
		}
		if c.outcome == history.OK && c.output.kind > null {
			if !isPair(c.output) || c.output.items[0].kind != integer && c.output.items[0].kind != null {
				return false
			}
			told = told || c.output.items[0].kind == integer
		}
	}
	return told
}

// version is what an update's completion tells; nothing if that is nil.
func version(_ *numbers, d datum) (history.Value, error) {
	switch {
	case d.kind <= null || isPair(d) && d.items[0].kind == null:
		return history.Value{}, nil
	case !isPair(d) || d.items[0].kind != integer || d.items[0].number < 0:
		return history.Value{}, fmt.Errorf("has the :value %.40s; want [version value]", d)
	}
	return history.Ints(d.items[0].number), nil
}

// versioned is what a read's completion tells.
func versioned(n *numbers, d datum) (history.Value, error) {
	told, err := version(n, d)
	switch {
	case err != nil:
		return history.Value{}, err
	case told.IsNone():
		told = history.Ints(history.NoVersion)
	}
	if d.kind <= null || d.items[1].kind == null {
		return told, nil
	}
	number, err := n.of(d.items[1])
	return history.Ints(told.At(0), number), err
}

func versionedWrite(n *numbers, d datum) (history.Value, error) {
	if !isPair(d) {
		return history.Value{}, fmt.Errorf("has the :value %.40s; want [version value]", d)
	}
	return one(n, d.items[1])
}

func versionedPair(n *numbers, d datum) (history.Value, error) {
	if !isPair(d) {
		return history.Value{}, fmt.Errorf("has the :value %.40s; want [version [expected new]]", d)
	}
	return pair(n, d.items[1])
}
