package workloads

import (
	"cmp"
	"context"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
)

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

// Bank transfers small amounts between a few accounts and reads all balances, once
// more through every worker in the end. A transaction that is torn, or overwrites
// another, shows as money made or gone.
type Bank struct {
	// ReadPercent is of all operations; default 30.
	ReadPercent int
}

const (
	bankAccounts = 5
	maxTransfer  = 5
)

var bankModel = checker.Bank(bankAccounts, BankBalance)

// Name implements harness.Workload.
func (Bank) Name() string { return bankModel.String() }

// Generators implements harness.Workload.
func (b Bank) Generators(workers []harness.Worker) []harness.Generator {
	return harness.PerWorker(b.generator)(workers)
}

func (b Bank) generator(worker harness.Worker) harness.Generator {
	random := worker.Rand
	return withReads(worker, cmp.Or(b.ReadPercent, 30), readAll, harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) {
		from := random.Int64N(bankAccounts)
		to := (from + 1 + random.Int64N(bankAccounts-1)) % bankAccounts // another
		return history.Operation{Kind: history.Transfer, Input: history.Ints(from, to, 1+random.Int64N(maxTransfer))}, true
	}))
}

// Final implements harness.Workload.
func (Bank) Final(harness.Worker) harness.Generator {
	return harness.Each([]history.Operation{readAll})
}

// Bind implements harness.Workload.
func (Bank) Bind(client harness.Client) (harness.Invoke, error) {
	return bind(Bank{}.Name(), client, func(ctx context.Context, bank BankClient, operation history.Operation) (history.Value, error) {
		switch operation.Kind {
		case history.Transfer:
			transferred, err := bank.Transfer(ctx, int(operation.Input.At(0)), int(operation.Input.At(1)), operation.Input.At(2))
			if err == nil && !transferred {
				err = harness.ErrPrecondition
			}
			return history.Value{}, err
		case history.ReadAll:
			balances, err := bank.Balances(ctx, bankAccounts)
			return history.Ints(balances...), err
		}
		return history.Value{}, noOperation(operation)
	})
}

// Check implements harness.Workload.
func (Bank) Check(ctx context.Context, run *history.Run, options checker.Options) checker.Result {
	return checker.Check(ctx, run, bankModel, options)
}
