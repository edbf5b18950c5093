package checker

import (
	"context"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/banks"
	"github.com/rashomon-io/rashomon/checker/internal/counters"
	"github.com/rashomon-io/rashomon/checker/internal/ids"
	"github.com/rashomon-io/rashomon/checker/internal/locks"
	"github.com/rashomon-io/rashomon/checker/internal/queues"
	"github.com/rashomon-io/rashomon/checker/internal/registers"
	"github.com/rashomon-io/rashomon/checker/internal/sets"
	"github.com/rashomon-io/rashomon/checker/internal/versions"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Register is the model of registers: read, write and compare-and-set, each key
// by itself.
var Register = Model{
	name:    "register",
	kinds:   []history.Kind{history.Read, history.Write, history.CompareAndSet},
	engines: []Engine{Zones, Search, Porcupine},
	packed:  true,
	judge: func(ctx context.Context, run *history.Run, options Options, result *Result) {
		result.take(registers.Decide(ctx, run, options.Budget.court(), string(options.Engine)))
	},
}

// VersionedRegister is the model of registers that tell the version of what they
// hold: read, write and compare-and-set, each key by itself. A read outputs
// [version, value], or [version] if it found nothing, with history.NoVersion for a
// version that was not told; an update that tells its version outputs that.
//
// One order must explain values, as those of Register, and versions: each update
// has a greater version than all before it, and a read shows that of the last
// update. Versions may have gaps, for some stores count all their updates alike.
// Result.StaleReads are those that versions tell; lost commits are not counted.
var VersionedRegister = Model{
	name:      "versioned-register",
	versioned: true,
	kinds:     []history.Kind{history.Read, history.Write, history.CompareAndSet},
	engines:   []Engine{Porcupine},
	judge: func(ctx context.Context, run *history.Run, options Options, result *Result) {
		result.take(versions.Decide(ctx, run, options.Budget.court()))
	},
}

// Set is the model of sets that only grow: add and read-all, each key by itself.
// Elements must be unique: added at most once, failed adds apart. As in Jepsen's
// set-full, each element is followed alone. It is known from the earliest completion of
// its acknowledged add or of a read that shows it, and every acknowledged read that is
// invoked after that must show it.
//
//   - ok: known, and no read that had to show it misses it, and some read shows it.
//   - lost: known, missed by a read that had to show it, and shown by none that
//     completed after that, or after the final phase began, whichever is
//     earlier. (Jepsen compares invocations; an overlapping read that shows the
//     element is given the benefit of the doubt here.) A run that was cut off
//     before its final phase loses nothing: later reads might have shown it.
//   - stale: known, missed by a read that had to show it, and not lost. That read is
//     stale, and so is one that misses what is lost, but was shown after it had been
//     missed there.
//   - never read: acknowledged, and no read either shows it or had to.
//   - unexpected: shown by a read that completed before its add was invoked, or
//     without any add that did not fail.
//   - recovered: of unknown outcome, shown, and not lost; also counted as ok or stale.
//
// Two reads that each miss what the other shows make it invalid, too.
var Set = Model{
	name:    "set",
	kinds:   []history.Kind{history.Add, history.ReadAll},
	engines: []Engine{Polynomial},
	judge: func(ctx context.Context, run *history.Run, options Options, result *Result) {
		answer, set := sets.Decide(ctx, run, options.Budget.court())
		result.take(answer)
		result.Set = set
	},
}

// Counter is the model of counters: increment and read, each key by itself. A
// counter starts at 0; a read without output saw 0. If all increments are equal, the
// verdict takes n log n steps. If not, deciding is NP-hard, since a read asks for a
// subset with its sum: what bounds and divisors do not find goes to Porcupine.
//
// A value is a wrong count if no subset of the increments that had been invoked
// gives it, as far as sums of all and divisors can tell. Any other read outside its
// bounds misses something that it had to count, and is a stale read, unless what
// it misses is lost.
//
// What a counter of non-negative increments had reached is lost, as an element of a
// set is, if the read that was invoked last had to count it and does not, and no
// read does that completed after this one was invoked, or after the final phase
// began; in a run that was cut off before that, nothing is. LostCommits is the least
// number of increments that amount to it.
var Counter = Model{
	name:    "counter",
	kinds:   []history.Kind{history.Increment, history.Read},
	engines: []Engine{Polynomial, Porcupine},
	judge: func(ctx context.Context, run *history.Run, options Options, result *Result) {
		answer, totals := counters.Decide(ctx, run, options.Budget.court(), string(options.Engine))
		result.take(answer)
		result.Counter = totals
	},
}

// Queue is the model of FIFO queues: enqueue and dequeue, each key by itself. A
// dequeue without output found the queue empty. Elements must be unique:
// enqueued at most once, failed enqueues apart. The verdict is exact, also with
// operations of unknown outcome, and takes n log n steps.
//
//   - phantom read: an element is dequeued that was never enqueued, or before.
//   - dequeued twice: an element is.
//   - out of order: a was enqueued before b, and b was dequeued, but a never or
//     only after b; or a dequeue found nothing although, all the time that it took,
//     one element or another was inside.
//   - lost: an element was acknowledged, nobody dequeued it, and a dequeue that was
//     invoked after that found nothing. A dequeue of unknown outcome may have taken
//     it, whenever it was invoked, for nobody knows when it took effect; so what is
//     certain is how many more of them there are than such dequeues.
var Queue = Model{
	name:    "queue",
	kinds:   []history.Kind{history.Enqueue, history.Dequeue},
	engines: []Engine{Polynomial},
	judge: func(ctx context.Context, run *history.Run, options Options, result *Result) {
		answer, queue := queues.Decide(ctx, run, options.Budget.court(), true)
		result.take(answer)
		result.Queue = queue
	},
}

// TotalQueue is the model of queues that keep no order: what goes in must come out,
// once. The operations are those of Queue, elements must be unique, too, and the
// verdict is exact and takes n log n steps. An element that was acknowledged and never
// dequeued is lost, unless a dequeue of unknown outcome may have taken it: a history
// must go on until the queue was drained.
//
// Jepsen's total-queue, by contrast, admits elements that are dequeued twice.
var TotalQueue = Model{
	name:    Queue.name,
	kinds:   Queue.kinds,
	engines: []Engine{Polynomial},
	judge: func(ctx context.Context, run *history.Run, options Options, result *Result) {
		answer, queue := queues.Decide(ctx, run, options.Budget.court(), false)
		result.take(answer)
		result.Queue = queue
	},
}

// Lock is the model of locks with fencing tokens: acquire, release and use, each
// key by itself. Tokens are optional: an acquire without output, a use without
// input. The verdict is exact and takes n log n steps.
//
// A process that was granted a lock holds it until it gives it back, or is gone.
// Locks that expire are locks all the same: one that expires while its holder is
// alive, and believes in it, is what is to be found.
//
//   - lock held twice: a hold began while another process certainly held the lock.
//   - token went back: a later hold's token is no greater than an earlier one's.
//   - fence broken: a use was accepted, and called after one with a newer token
//     had returned that was accepted, too.
//
// A refused use is no contradiction, and is counted: the fence has stopped a
// process that believed to hold the lock. So are uses without a token, accepted
// while another process certainly held the lock: nothing would have stopped them.
var Lock = lockModel(false)

// ReentrantLock is Lock, but the process that holds a lock may acquire it again.
var ReentrantLock = lockModel(true)

func lockModel(reentrant bool) Model {
	return Model{
		name:    "lock",
		kinds:   []history.Kind{history.Acquire, history.Release, history.Use},
		engines: []Engine{Polynomial},
		judge: func(ctx context.Context, run *history.Run, options Options, result *Result) {
			answer, lock := locks.Decide(ctx, run, options.Budget.court(), reentrant)
			result.take(answer)
			result.Lock = lock
		},
	}
}

// Bank is the model of a bank of so many accounts, numbered from 0, each with
// balance in the beginning: transfers move an amount that the one account holds to
// the other, and a read-all outputs the balances of all, of one moment. BankOf is
// that of any other bank.
//
// To decide whether one order explains all transfers and reads is NP-hard. As
// Jepsen's bank, this model therefore asks for less, and decides that exactly:
//
//   - every read's balances sum up to what was there in the beginning,
//   - none of them is negative, unless the bank admits it,
//   - each account has one,
//
// and adds, because it is as cheap, that each account alone is a counter whose reads
// keep their bounds (see Counter), so that snapshots that are too old are found if
// a balance tells. All of these follow from strict serializability, so invalid
// means that no order explains the history. Valid means that the bank property
// holds; whether there is an order is decided too if a search finds out in a tenth
// of the budget. Result.Bank.Ordered tells, and so does the Decision.
//
// A wrong sum, a negative balance and none at all are wrong counts, as is a balance that no
// subset of the transfers gives. A balance out of its bounds is a stale read. What
// only a search finds out is a stale read too, and counts as one, if another search
// orders all operations once each read may be of any moment before it completed. Lost
// commits are not counted: balances do not tell which transfers they miss.
func Bank(accounts int, balance int64) Model {
	bank := BankRules{Accounts: accounts}
	if accounts <= banks.MaxAccounts { // else it is refused
		bank.Balances = slices.Repeat([]int64{balance}, max(0, accounts))
	}
	return BankOf(bank)
}

// BankRules say what is known of a bank.
type BankRules struct {
	// Accounts is how many there are, from 1 to 1000.
	Accounts int
	// Balances are what each holds in the beginning, from -2^40 to 2^40;
	// history.NoBalance says that there is no such account. Nil means that only their
	// Total is known: the bank property alone is decided then.
	Balances []int64
	Total    int64
	// Negative: balances may be.
	Negative bool
}

// BankOf is the model of a bank by its rules; see Bank.
func BankOf(rules BankRules) Model {
	return Model{
		name:    "bank",
		kinds:   []history.Kind{history.Transfer, history.ReadAll},
		engines: []Engine{Polynomial, Porcupine},
		judge: func(ctx context.Context, run *history.Run, options Options, result *Result) {
			answer, bank := banks.Decide(ctx, run, options.Budget.court(), string(options.Engine), banks.Rules(rules))
			result.take(answer)
			result.Bank = bank
		},
	}
}

// IDs is the model of generators of unique ids, each key by itself. A history is
// linearizable iff no two acknowledged operations got the same id; one of unknown
// outcome tells nobody which id it got, so it takes part in nothing.
var IDs = Model{
	name:    "unique-ids",
	kinds:   []history.Kind{history.Generate},
	engines: []Engine{Polynomial},
	judge: func(ctx context.Context, run *history.Run, options Options, result *Result) {
		answer, ids := ids.Decide(ctx, run, options.Budget.court())
		result.take(answer)
		result.IDs = ids
	},
}
