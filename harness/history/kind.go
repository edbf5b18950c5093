package history

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
