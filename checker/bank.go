package checker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Bank is the model of a bank of so many accounts, numbered from 0, each with
// balance in the beginning: transfers move an amount that the one account holds to
// the other, and a read-all outputs the balances of all, of one moment. BankOf is
// that of any other bank.
//
// # The bank property
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
// of the budget. BankResult.Ordered tells, and so does the Decision.
//
// A wrong sum, a negative balance and none at all are wrong counts, as is a balance that no
// subset of the transfers gives. A balance out of its bounds is a stale read. What
// only a search finds out is a stale read too, and counts as one, if another search
// orders all operations once each read may be of any moment before it completed. Lost
// commits are not counted: balances do not tell which transfers they miss.
func Bank(accounts int, balance int64) Model {
	bank := BankRules{Accounts: accounts}
	if accounts <= maxAccounts { // else it is refused
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
		name: "bank",
		kinds: map[history.Kind]arity{
			history.Transfer: {input: 3, output: 0},
			history.ReadAll:  {input: 0, output: unbounded},
		},
		engines: []Engine{Polynomial, Porcupine},
		judge: func(ctx context.Context, run *history.Run, options Options, result *Result) {
			judgeBanks(ctx, run, options, result, rules)
		},
	}
}

func judgeBanks(ctx context.Context, run *history.Run, options Options, result *Result, rules BankRules) {
	result.Bank = &counts.Bank{Ordered: true}
	judgeKeys(ctx, run, options, result, "bank", func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (findings, error) {
		b, err := newBank(key, rules, operations)
		if err != nil {
			return findings{}, err
		}
		return b.judge(ctx, memory, options.Engine, result)
	})
	if result.Verdict != Valid {
		result.Bank.Ordered = false
	}
}

// A bank is the history of one bank.
type bank struct {
	key      string
	rules    BankRules
	total    int64
	accounts []*counter  // none if nobody knows with what they began
	steps    []*bankStep // by invocation
	wrong    []*bankStep // reads whose total or sign is wrong
}

// maxBank bounds the accounts of a bank and what each holds.
const (
	maxAccounts = 1000
	maxBalance  = 1 << 40
)

// newBank takes operations by invocation.
func newBank(key string, rules BankRules, operations []*history.Operation) (*bank, error) {
	if rules.Accounts < 1 || rules.Accounts > maxAccounts {
		return nil, court.Reason(fmt.Sprintf("%d accounts cannot be judged; use 1 to %d", rules.Accounts, maxAccounts))
	}
	b := &bank{key: key, rules: rules, total: rules.Total}
	if rules.Balances != nil {
		b.total = 0
	}
	for i, balance := range rules.Balances {
		if balance == history.NoBalance {
			balance = 0 // and never anything else
		}
		if balance < -maxBalance || balance > maxBalance || balance < 0 && !rules.Negative {
			return nil, court.Reason(fmt.Sprintf("account %d with %d at first cannot be judged; use 0 to 2^40, or more than -2^40 where balances may be negative", i, balance))
		}
		b.total += balance
		b.accounts = append(b.accounts, &counter{
			key: key, name: fmt.Sprintf("account %d", i), update: "transfer", start: balance, final: never, sign: 1, mixed: true})
	}
	for _, o := range operations {
		step := &bankStep{Operation: o, rules: &b.rules}
		switch {
		case o.Kind == history.ReadAll && o.Outcome != history.OK, o.Outcome == history.Fail && (o.Error != "" || rules.Negative):
			continue // says nothing
		case o.Kind == history.ReadAll && o.Output.Len() != rules.Accounts:
			return nil, court.Reason(fmt.Sprintf("p%d read %d balances at %s, and the bank has %d accounts; read all of them", o.Process, o.Output.Len(), seconds(o.Invoke), rules.Accounts))
		case o.Kind == history.ReadAll:
			b.read(step)
		default:
			if err := b.transfer(step); err != nil {
				return nil, err
			}
		}
		b.steps = append(b.steps, step)
	}
	return b, nil
}

func (b *bank) read(step *bankStep) {
	if step.amiss(b.total) {
		b.wrong = append(b.wrong, step)
		return
	}
	for i, c := range b.accounts {
		if step.Output.At(i) != history.NoBalance {
			c.read(step.Operation, step.Output.At(i))
		}
	}
}

func (b *bank) transfer(step *bankStep) error {
	from, to, amount := step.Input.At(0), step.Input.At(1), step.Input.At(2)
	accounts := int64(b.rules.Accounts)
	if min(from, to) < 0 || max(from, to) >= accounts || amount < 0 {
		return court.Reason(fmt.Sprintf("p%d asked at %s for a transfer of %d from account %d to %d; the bank has %d accounts, and amounts are not negative",
			step.Process, seconds(step.Invoke), amount, from, to, accounts))
	}
	for _, account := range []int64{from, to} {
		if b.accounts != nil && b.rules.Balances[account] == history.NoBalance {
			return court.Reason(fmt.Sprintf("p%d asked at %s for a transfer with account %d, which does not exist in the beginning", step.Process, seconds(step.Invoke), account))
		}
	}
	if from == to || step.Outcome == history.Fail || b.accounts == nil {
		return nil
	}
	return errors.Join(b.accounts[from].add(step.Operation, -amount), b.accounts[to].add(step.Operation, amount))
}

func (b *bank) judge(ctx context.Context, memory *court.Memory, engine Engine, result *Result) (findings, error) {
	b.count(result.Bank)
	suspects := b.suspects(result)
	if len(suspects) > 0 && (engine != Porcupine || b.accounts == nil) {
		result.decided(Polynomial, "a read is out of bounds", b.key)
		return prove(ctx, memory, suspects)
	}
	if b.accounts == nil {
		result.Bank.Ordered = false
		result.decided(Polynomial, "totals and signs hold; what each account held at first is not known", b.key)
		return findings{}, ctx.Err()
	}
	if engine == Polynomial {
		result.Bank.Ordered = false
		result.decided(Polynomial, "totals, signs and bounds hold; no order was searched for", b.key)
		return findings{}, ctx.Err()
	}
	part := ctx
	if engine != Porcupine {
		var cancel context.CancelFunc
		part, cancel = court.Share(ctx, 10)
		defer cancel()
	}
	explained, err := b.explained(part, memory, b.steps)
	switch {
	case err == nil && explained:
		result.decided(Porcupine, "an order explains all transfers and reads", b.key)
		return findings{}, nil
	case err == nil:
		result.decided(Porcupine, "no order explains all transfers and reads", b.key)
		s := b.disorder(ctx, memory)
		if s.anomaly == anomaly.StaleRead && len(suspects) == 0 {
			result.StaleReads.Add(counts.Bounds{Certain: 1, Possible: 1})
		}
		return findings{[]story{s}, s.told[0].Complete}, nil
	case engine == Porcupine || ctx.Err() != nil:
		return findings{}, err
	}
	result.Bank.Ordered = false
	result.decided(Polynomial, "totals, signs and bounds hold; an order was searched for in a tenth of the budget and neither found nor excluded", b.key)
	return findings{}, nil
}

func (b *bank) count(counts *counts.Bank) {
	for _, s := range b.steps {
		switch {
		case s.Kind == history.ReadAll:
			counts.Reads++
			if s.sum() != b.total {
				counts.WrongTotal++
			}
			if s.negative() >= 0 {
				counts.Negative++
			}
			if account, _ := s.incomplete(); account >= 0 {
				counts.Incomplete++
			}
		case s.Outcome == history.OK:
			counts.Transferred++
		case s.Outcome == history.Fail:
			counts.Refused++
		default:
			counts.Unknown++
		}
	}
}

// suspects are those of each read alone, and of the accounts, by the time of the
// read at fault; they also count the stale reads.
func (b *bank) suspects(result *Result) []charge {
	var suspects []charge
	for _, s := range b.wrong {
		suspects = append(suspects, b.miscounted(s))
	}
	stale := map[*history.Operation]bool{}
	for _, c := range b.accounts {
		c.bound()
		suspects = append(suspects, c.suspects(loss{})...)
		for _, r := range c.reads {
			if !r.wrong(c.divisor) && r.behind() {
				stale[r.Operation] = true
			}
		}
	}
	result.StaleReads.Add(counts.Bounds{Certain: len(stale), Possible: len(stale)})
	slices.SortStableFunc(suspects, func(a, b charge) int { return byCompletion(a.told[0], b.told[0]) })
	// Of what is wrong with one read, one account is enough.
	return slices.CompactFunc(suspects, func(a, b charge) bool { return a.told[0] == b.told[0] })
}

// miscounted is the story of a read that is wrong by itself, whatever the order.
func (b *bank) miscounted(s *bankStep) charge {
	text := func(n narrator) string {
		saw := fmt.Sprintf("p%d read balances%s%s", s.Process, through(s.Operation), n.when(s.Operation, s.Complete))
		missing, shown := s.incomplete()
		switch negative := s.negative(); {
		case shown:
			return fmt.Sprintf("%s with %d in account %d, which does not exist", saw, s.Output.At(missing), missing)
		case missing >= 0:
			return fmt.Sprintf("%s without that of account %d", saw, missing)
		case negative >= 0:
			return fmt.Sprintf("%s of which that of account %d is %d", saw, negative, s.Output.At(negative))
		}
		return fmt.Sprintf("%s that sum up to %d, and not to %d", saw, s.sum(), b.total)
	}
	told := []*history.Operation{s.Operation}
	return charge{
		story: story{anomaly: anomaly.WrongCount, key: b.key, told: told, witness: values(told), text: text, during: spanOf(told...)},
		first: s.Complete,
		explained: func(ctx context.Context, memory *court.Memory) (bool, error) {
			return court.Linearizable[bool](ctx, memory, []*glance{{s, b.total}})
		},
	}
}

// A glance is a read of any balances that a bank can hold.
type glance struct {
	*bankStep
	total int64
}

func (g *glance) Apply(state bool) (bool, bool) { return state, !g.amiss(g.total) }

// disorder is the story of a history that no order explains, told in a quarter of the
// time.
func (b *bank) disorder(ctx context.Context, memory *court.Memory) story {
	ctx, cancel := court.Share(ctx, 4)
	defer cancel()
	explains := func(step, other *bankStep) bool {
		return step.moves() && other.Outcome != history.Info && other.Complete >= step.Invoke
	}
	steps := fewest(ctx, b.steps, explains, func(steps []*bankStep) (bool, error) { return b.explained(ctx, memory, steps) })
	var told, unknown []*history.Operation
	for _, s := range steps {
		if s.Outcome == history.Info {
			unknown = append(unknown, s.Operation)
		} else {
			told = append(told, s.Operation)
		}
	}
	slices.SortStableFunc(told, func(a, b *history.Operation) int { return byCompletion(b, a) })
	told = append(told, unknown...)
	s := story{anomaly: anomaly.Disorder, key: b.key, told: told, witness: values(told), during: spanOf(told...)}
	because := ""
	if old, err := b.explained(ctx, memory, b.aged()); err == nil && old {
		s.anomaly, because = anomaly.StaleRead, ": whatever the order, a read was stale"
	}
	s.text = func(n narrator) string {
		return fmt.Sprintf("no order of %s explains what was answered%s%s", several(len(told), "operation"), n.until(told[0].Complete), because)
	}
	return s
}

// aged are the steps, but reads may be of any moment since the first was invoked.
func (b *bank) aged() []*bankStep {
	all := slices.Clone(b.steps)
	for i, s := range all {
		if s.Kind == history.ReadAll {
			read := *s.Operation
			read.Invoke = b.steps[0].Invoke
			all[i] = &bankStep{&read, s.rules}
		}
	}
	return all
}

func (b *bank) explained(ctx context.Context, memory *court.Memory, steps []*bankStep) (bool, error) {
	if b.rules.Accounts > len(balances{}) {
		return false, court.Reason(fmt.Sprintf("%d accounts are too many to search for an order; use %d", b.rules.Accounts, len(balances{})))
	}
	return court.Linearizable[balances](ctx, memory, steps)
}

// balances are what accounts hold more than in the beginning.
type balances [16]int64

// A bankStep is an operation on a bank of these rules.
type bankStep struct {
	*history.Operation
	rules *BankRules
}

// amiss: the balances that were read can be those of no moment.
func (s *bankStep) amiss(total int64) bool {
	account, _ := s.incomplete()
	return account >= 0 || s.negative() >= 0 || s.sum() != total
}

// incomplete returns the first account that was read, but does not exist, or else
// that exists and was not read; a negative number if there is none.
func (s *bankStep) incomplete() (account int, shown bool) {
	account = -1
	for i, balance := range s.Output.Ints() {
		exists := s.rules.Balances == nil || s.rules.Balances[i] != history.NoBalance
		switch read := balance != history.NoBalance; {
		case read && !exists:
			return i, true
		case !read && exists && account < 0:
			account = i
		}
	}
	return account, false
}

// negative returns the first account with a negative balance, if there must be none;
// else a negative number.
func (s *bankStep) negative() (account int) {
	return slices.IndexFunc(s.Output.Ints(), func(balance int64) bool {
		return balance < 0 && balance != history.NoBalance && !s.rules.Negative
	})
}

// sum is of the balances that were read; the largest number there is if it is
// larger.
func (s *bankStep) sum() (sum int64) {
	for _, balance := range s.Output.Ints() {
		switch {
		case balance == history.NoBalance:
		case balance > 0 && sum > math.MaxInt64-balance:
			return math.MaxInt64
		default:
			sum += max(balance, -maxBalance*maxAccounts)
		}
	}
	return sum
}

// moves means that the step may have changed balances.
func (s *bankStep) moves() bool { return s.Kind == history.Transfer && s.Outcome != history.Fail }

func (s *bankStep) Interval() (call, ret time.Duration) {
	if s.Outcome == history.Info {
		return s.Invoke, never
	}
	return s.Invoke, s.Complete
}

func (s *bankStep) Apply(held balances) (balances, bool) {
	if s.Kind == history.ReadAll {
		for i, balance := range s.Output.Ints() {
			if balance != s.rules.Balances[i]+held[i] {
				return held, false
			}
		}
		return held, true
	}
	from, to, amount := s.Input.At(0), s.Input.At(1), s.Input.At(2)
	suffices := s.rules.Negative || s.rules.Balances[from]+held[from] >= amount
	if s.Outcome == history.Fail || !suffices {
		// A refusal. One of unknown outcome may be one.
		return held, !suffices && s.Outcome != history.OK
	}
	held[from] -= amount
	held[to] += amount
	return held, true
}
