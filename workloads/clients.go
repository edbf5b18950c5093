package workloads

import "context"

// A CounterClient serves one integer that starts at 0.
type CounterClient interface {
	Increment(ctx context.Context, delta int64) error
	Value(ctx context.Context) (int64, error)
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
