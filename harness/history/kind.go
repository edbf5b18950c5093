package history

import "cmp"

// Reads reports whether an acknowledged operation of this kind tells what is there.
func (k Kind) Reads() bool {
	switch k {
	case Read, ReadAll, Dequeue:
		return true
	}
	return false
}

// Updates reports whether an acknowledged operation of this kind changes what is
// there, or gives what nobody else gets. A Dequeue counts among those that read; a
// Release may rightly be refused for ever; a Use is not of the system.
func (k Kind) Updates() bool {
	switch k {
	case Write, CompareAndSet, Add, Increment, Enqueue, Acquire, Transfer, Generate:
		return true
	}
	return false
}

// Answered reports whether the system answered, be it that a precondition did not
// hold.
func (o *Operation) Answered() bool {
	return o.Outcome == OK || o.Outcome == Fail && o.Error == ""
}

// Saw reports whether the operation told what it saw, and changed nothing.
func (o *Operation) Saw() bool {
	switch o.Kind {
	case Read, ReadAll:
		return o.Outcome == OK
	case CompareAndSet:
		return o.Outcome == Fail && o.Output.Len() > 0 || o.Outcome == OK && o.toItself()
	}
	return false
}

// Changed reports whether the operation was acknowledged, and so changed something.
func (o *Operation) Changed() bool {
	switch o.Kind {
	case Write, Add, Increment, Enqueue, Transfer:
		return o.Outcome == OK
	case CompareAndSet:
		return o.Outcome == OK && !o.toItself()
	}
	return false
}

// Granted reports whether the operation gave something that nobody else gets, which
// only a leader can do.
func (o *Operation) Granted() bool {
	switch o.Kind {
	case Dequeue:
		return o.Outcome == OK && o.Output.Len() > 0 // else it was empty
	case Acquire, Release, Generate:
		return o.Outcome == OK
	}
	return false
}

// toItself: a compare-and-set of a value for itself changes nothing.
func (o *Operation) toItself() bool { return o.Input.Len() == 2 && o.Input.At(0) == o.Input.At(1) }

// ByInvocation orders operations by Invoke, and those of one process as it called
// them.
func ByInvocation(a, b *Operation) int {
	return cmp.Or(cmp.Compare(a.Invoke, b.Invoke), cmp.Compare(a.Process, b.Process), cmp.Compare(a.Complete, b.Complete))
}
