package history

import "cmp"

// Any stands for any number of values.
const Any = -1

// A Meaning is what is known of a kind of operation.
type Meaning struct {
	// Object is what it works on, such as "register" or "queue".
	Object string `json:"object,omitempty"`
	// Reads: an acknowledged one tells what is there.
	Reads bool `json:"reads,omitempty"`
	// Updates: an acknowledged one changes what is there, or gives what nobody else
	// gets. A Dequeue counts among those that read; a Release may rightly be refused
	// for ever; a Use is not of the system.
	Updates bool `json:"updates,omitempty"`
	// Grants: an acknowledged one gives something that nobody else gets, or takes it
	// back, which only a leader can do.
	Grants bool `json:"grants,omitempty"`
	// Compares: its input is the value that it expects, and a new one; one that fails
	// has changed nothing, and outputs what it saw, where the system tells.
	Compares bool `json:"compares,omitempty"`
	// Input is how many integers it takes, Output how many it returns at most; or Any.
	Input  int `json:"input,omitempty"`
	Output int `json:"output,omitempty"`
	// Jepsen is its name in Jepsen's histories; empty if it is the kind itself.
	Jepsen string `json:"jepsen,omitempty"`
}

// Kinds are what the kinds of a workload mean, beside those of this package or
// instead of them. The workload's trial writes them into the Manifest.
type Kinds map[Kind]Meaning

var builtIn = Kinds{
	Read:          {Object: "register", Reads: true, Output: 1},
	Write:         {Object: "register", Updates: true, Input: 1, Output: 1},
	CompareAndSet: {Object: "register", Updates: true, Compares: true, Input: 2, Output: 1},
	Add:           {Object: "set", Updates: true, Input: 1, Output: 1},
	ReadAll:       {Object: "set", Reads: true, Output: Any, Jepsen: "read"},
	Increment:     {Object: "counter", Updates: true, Input: 1, Output: 1, Jepsen: "add"},
	Enqueue:       {Object: "queue", Updates: true, Input: 1},
	Dequeue:       {Object: "queue", Reads: true, Grants: true, Output: 1},
	Acquire:       {Object: "lock", Updates: true, Grants: true, Output: 1},
	Release:       {Object: "lock", Grants: true},
	Use:           {Object: "lock", Input: Any, Output: 1},
	Transfer:      {Object: "bank", Updates: true, Input: 3},
	Generate:      {Object: "ids", Updates: true, Grants: true, Output: 1},
}

// Of returns what a kind means. The zero Meaning is that of a kind of which nothing is
// known.
func (k Kinds) Of(kind Kind) Meaning {
	if own, ok := k[kind]; ok {
		return own
	}
	return builtIn[kind]
}

// Observes reports whether an acknowledged operation tells what is there, or who has
// it.
func (m Meaning) Observes() bool { return m.Reads || m.Updates && m.Grants }

// Saw reports whether an operation told what it saw, and changed nothing.
func (m Meaning) Saw(o *Operation) bool {
	switch {
	case m.Compares:
		return o.Outcome == Fail && !o.Output.IsNone() || o.Outcome == OK && o.toItself()
	default:
		return m.Reads && !m.Updates && !m.Grants && o.Outcome == OK
	}
}

// Changed reports whether an operation was acknowledged, and so changed something.
func (m Meaning) Changed(o *Operation) bool {
	return m.Updates && !m.Grants && o.Outcome == OK && !(m.Compares && o.toItself())
}

// Granted reports whether an operation gave or took something that nobody else gets.
func (m Meaning) Granted(o *Operation) bool {
	return m.Grants && o.Outcome == OK && !(m.Reads && o.Output.IsNone()) // else it was empty
}

// Answered reports whether the system answered, be it that a precondition did not
// hold.
func (o *Operation) Answered() bool {
	return o.Outcome == OK || o.Outcome == Fail && o.Error == ""
}

// toItself: a compare-and-set of a value for itself changes nothing.
func (o *Operation) toItself() bool { return o.Input.Len() == 2 && o.Input.At(0) == o.Input.At(1) }

// ByInvocation orders operations by Invoke, and those of one process as it called
// them.
func ByInvocation(a, b *Operation) int {
	return cmp.Or(cmp.Compare(a.Invoke, b.Invoke), cmp.Compare(a.Process, b.Process), cmp.Compare(a.Complete, b.Complete))
}
