package workloads

import (
	"context"
	"fmt"
)

// A RegisterClient serves integers under keys. It is all that a store needs to
// be tried with the register workload.
type RegisterClient interface {
	// Read returns the key's value, or false if there is none.
	Read(ctx context.Context, key string) (value int64, found bool, err error)
	// Write sets the key's value.
	Write(ctx context.Context, key string, value int64) error
	// CompareAndSet sets the key's value to new if it is old. If it is not,
	// the answer is false with a nil error or, where the system tells what
	// there was instead, with a *Mismatch.
	CompareAndSet(ctx context.Context, key string, old, new int64) (swapped bool, err error)
	Close() error
}

// A Mismatch is what a compare-and-set that did not swap saw instead.
type Mismatch struct {
	Value int64
	Found bool
}

func (m *Mismatch) Error() string {
	if !m.Found {
		return "nothing there"
	}
	return fmt.Sprintf("saw %d", m.Value)
}
