package workloads

import "context"

// A CounterClient serves one integer that starts at 0.
type CounterClient interface {
	Increment(ctx context.Context, delta int64) error
	Value(ctx context.Context) (int64, error)
	Close() error
}

// A QueueClient serves FIFO queues.
type QueueClient interface {
	Enqueue(ctx context.Context, queue string, element int64) error
	// Dequeue takes the oldest element; false means that the queue was empty.
	Dequeue(ctx context.Context, queue string) (element int64, found bool, err error)
	Close() error
}

// A LockClient takes locks for its process. A client holds a lock from its
// acknowledged Acquire until it calls Release, or Close; the system may think
// otherwise, and that is what is tried.
type LockClient interface {
	// Acquire tries once, and need not wait: false means that another holds
	// the lock. The fencing token grows from holder to holder; 0 means that the
	// system has none.
	Acquire(ctx context.Context, lock string) (token int64, acquired bool, err error)
	// Release gives the lock back; false means that it was not held any more.
	Release(ctx context.Context, lock string) (released bool, err error)
	Close() error
}

// BankBalance is what an account holds that has never been written.
const BankBalance = 100

// A BankClient serves accounts numbered from 0, each with BankBalance in the
// beginning.
type BankClient interface {
	// Transfer moves amount; false means that it would have left a negative
	// balance.
	Transfer(ctx context.Context, from, to int, amount int64) (transferred bool, err error)
	// Balances returns the balances of the first so many accounts, of one
	// moment.
	Balances(ctx context.Context, accounts int) ([]int64, error)
	Close() error
}

// An IDClient serves integers that nobody else is given.
type IDClient interface {
	Generate(ctx context.Context) (int64, error)
	Close() error
}
