// Package banks decides histories of banks: the bank property, and, if a search finds
// out soon enough, whether there is an order.
package banks

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/counters"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Rules are checker.BankRules.
type Rules struct {
	Accounts int
	Balances []int64
	Total    int64
	Negative bool
}

// Decide judges a history of banks of these rules; the engine is model.Polynomial,
// model.Porcupine, or none.
func Decide(ctx context.Context, run *history.Run, budget court.Budget, engine string, rules Rules) (*model.Answer, *counts.Bank) {
	answer, counts := model.NewAnswer(), &counts.Bank{Ordered: true}
	answer.EachKey(ctx, run, budget, "bank", func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (model.Confirmed, error) {
		b, err := newBank(key, rules, operations)
		if err != nil {
			return model.Confirmed{}, err
		}
		return b.decide(ctx, memory, engine, answer, counts)
	})
	if answer.KeysInvalid+answer.KeysUnknown > 0 {
		counts.Ordered = false
	}
	return answer, counts
}

// A bank is the history of one bank.
type bank struct {
	key      string
	rules    Rules
	total    int64
	accounts []*counters.Counter // none if nobody knows with what they began
	steps    []*step             // by invocation
	wrong    []*step             // reads whose total or sign is wrong
}

// MaxAccounts bounds the accounts of a bank, maxBalance what each holds.
const (
	MaxAccounts = 1000
	maxBalance  = 1 << 40
)

// newBank takes operations by invocation.
func newBank(key string, rules Rules, operations []*history.Operation) (*bank, error) {
	if rules.Accounts < 1 || rules.Accounts > MaxAccounts {
		return nil, court.Reason(fmt.Sprintf("%d accounts cannot be judged; use 1 to %d", rules.Accounts, MaxAccounts))
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
		b.accounts = append(b.accounts, counters.NewAccount(key, fmt.Sprintf("account %d", i), balance))
	}
	for _, o := range operations {
		step := &step{Operation: o, rules: &b.rules}
		switch {
		case o.Kind == history.ReadAll && o.Outcome != history.OK, o.Outcome == history.Fail && (o.Error != "" || rules.Negative):
			continue // says nothing
		case o.Kind == history.ReadAll && o.Output.Len() != rules.Accounts:
			return nil, court.Reason(fmt.Sprintf("p%d read %d balances at %s, and the bank has %d accounts; read all of them", o.Process, o.Output.Len(), sentence.Seconds(o.Invoke), rules.Accounts))
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

func (b *bank) read(step *step) {
	if step.amiss(b.total) {
		b.wrong = append(b.wrong, step)
		return
	}
	for i, c := range b.accounts {
		if step.Output.At(i) != history.NoBalance {
			c.Read(step.Operation, step.Output.At(i))
		}
	}
}

func (b *bank) transfer(step *step) error {
	from, to, amount := step.Input.At(0), step.Input.At(1), step.Input.At(2)
	accounts := int64(b.rules.Accounts)
	if min(from, to) < 0 || max(from, to) >= accounts || amount < 0 {
		return court.Reason(fmt.Sprintf("p%d asked at %s for a transfer of %d from account %d to %d; the bank has %d accounts, and amounts are not negative",
			step.Process, sentence.Seconds(step.Invoke), amount, from, to, accounts))
	}
	for _, account := range []int64{from, to} {
		if b.accounts != nil && b.rules.Balances[account] == history.NoBalance {
			return court.Reason(fmt.Sprintf("p%d asked at %s for a transfer with account %d, which does not exist in the beginning", step.Process, sentence.Seconds(step.Invoke), account))
		}
	}
	if from == to || step.Outcome == history.Fail || b.accounts == nil {
		return nil
	}
	return errors.Join(b.accounts[from].Add(step.Operation, -amount), b.accounts[to].Add(step.Operation, amount))
}

func (b *bank) decide(ctx context.Context, memory *court.Memory, engine string, answer *model.Answer, counts *counts.Bank) (model.Confirmed, error) {
	b.count(counts)
	candidates := b.candidates(answer)
	if len(candidates) > 0 && (engine != model.Porcupine || b.accounts == nil) {
		answer.Decided(model.Polynomial, "a read is out of bounds", b.key)
		return model.Confirm(ctx, memory, candidates)
	}
	if b.accounts == nil {
		counts.Ordered = false
		answer.Decided(model.Polynomial, "totals and signs hold; what each account held at first is not known", b.key)
		return model.Confirmed{}, ctx.Err()
	}
	if engine == model.Polynomial {
		counts.Ordered = false
		answer.Decided(model.Polynomial, "totals, signs and bounds hold; no order was searched for", b.key)
		return model.Confirmed{}, ctx.Err()
	}
	part := ctx
	if engine != model.Porcupine {
		var cancel context.CancelFunc
		part, cancel = court.Share(ctx, 10)
		defer cancel()
	}
	explained, err := b.explained(part, memory, b.steps)
	switch {
	case err == nil && explained:
		answer.Decided(model.Porcupine, "an order explains all transfers and reads", b.key)
		return model.Confirmed{}, nil
	case err == nil:
		answer.Decided(model.Porcupine, "no order explains all transfers and reads", b.key)
		found := b.disorder(ctx, memory)
		if found.Anomaly == anomaly.StaleRead && len(candidates) == 0 {
			answer.StaleReads.Certain++
			answer.StaleReads.Possible++
		}
		return model.One(found), nil
	case engine == model.Porcupine || ctx.Err() != nil:
		return model.Confirmed{}, err
	}
	counts.Ordered = false
	answer.Decided(model.Polynomial, "totals, signs and bounds hold; an order was searched for in a tenth of the budget and neither found nor excluded", b.key)
	return model.Confirmed{}, nil
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

// candidates are those of each read alone, and of the accounts, by the time of the
// read at fault; they also count the stale reads.
func (b *bank) candidates(answer *model.Answer) []model.Candidate {
	var candidates []model.Candidate
	for _, s := range b.wrong {
		candidates = append(candidates, b.miscounted(s))
	}
	stale := map[*history.Operation]bool{}
	for _, account := range b.accounts {
		found, reads := account.Bound()
		candidates = append(candidates, found...)
		for _, r := range reads {
			stale[r] = true
		}
	}
	answer.StaleReads.Add(counts.Bounds{Certain: len(stale), Possible: len(stale)})
	model.ByTold(candidates)
	// Of what is wrong with one read, one account is enough.
	return slices.CompactFunc(candidates, func(a, b model.Candidate) bool { return a.Told[0] == b.Told[0] })
}

// miscounted tells of a read that is wrong by itself, whatever the order.
func (b *bank) miscounted(s *step) model.Candidate {
	text := func(t sentence.Teller) string {
		saw := fmt.Sprintf("p%d read balances%s%s", s.Process, sentence.Through(s.Operation), t.When(s.Operation, s.Complete))
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
	return model.Candidate{
		Anomaly: anomaly.WrongCount, Key: b.key, Told: told, Witness: model.Witness(told), Text: text, During: sentence.SpanOf(told...),
		First: s.Complete,
		Explained: func(ctx context.Context, memory *court.Memory) (bool, error) {
			return court.Linearizable[bool](ctx, memory, []*snapshot{{s, b.total}})
		},
	}
}

// A snapshot is a read of any balances that a bank can hold.
type snapshot struct {
	*step
	total int64
}

func (s *snapshot) Apply(state bool) (bool, bool) { return state, !s.amiss(s.total) }

// disorder tells of a history that no order explains, told in a quarter of the
// time.
func (b *bank) disorder(ctx context.Context, memory *court.Memory) model.Candidate {
	ctx, cancel := court.Share(ctx, 4)
	defer cancel()
	explains := func(step, other *step) bool {
		return step.moves() && other.Outcome != history.Info && other.Complete >= step.Invoke
	}
	steps := model.Fewest(ctx, b.steps, explains, func(steps []*step) (bool, error) { return b.explained(ctx, memory, steps) })
	var told, unknown []*history.Operation
	for _, s := range steps {
		if s.Outcome == history.Info {
			unknown = append(unknown, s.Operation)
		} else {
			told = append(told, s.Operation)
		}
	}
	slices.SortStableFunc(told, func(a, b *history.Operation) int { return model.ByCompletion(b, a) })
	told = append(told, unknown...)
	c := model.Candidate{Anomaly: anomaly.Disorder, Key: b.key, Told: told, Witness: model.Witness(told), During: sentence.SpanOf(told...)}
	because := ""
	if old, err := b.explained(ctx, memory, b.aged()); err == nil && old {
		c.Anomaly, because = anomaly.StaleRead, ": whatever the order, a read was stale"
	}
	c.Text = func(t sentence.Teller) string {
		return fmt.Sprintf("no order of %s explains what was answered%s%s", sentence.Several(len(told), "operation"), t.Until(told[0].Complete), because)
	}
	return c
}

// aged are the steps, but reads may be of any moment since the first was invoked.
func (b *bank) aged() []*step {
	all := slices.Clone(b.steps)
	for i, s := range all {
		if s.Kind == history.ReadAll {
			read := *s.Operation
			read.Invoke = b.steps[0].Invoke
			all[i] = &step{&read, s.rules}
		}
	}
	return all
}

func (b *bank) explained(ctx context.Context, memory *court.Memory, steps []*step) (bool, error) {
	if b.rules.Accounts > len(balances{}) {
		return false, court.Reason(fmt.Sprintf("%d accounts are too many to search for an order; use %d", b.rules.Accounts, len(balances{})))
	}
	return court.Linearizable[balances](ctx, memory, steps)
}

// balances are what accounts hold more than in the beginning.
type balances [16]int64

// A step is an operation on a bank of these rules.
type step struct {
	*history.Operation
	rules *Rules
}

// amiss: the balances that were read can be those of no moment.
func (s *step) amiss(total int64) bool {
	account, _ := s.incomplete()
	return account >= 0 || s.negative() >= 0 || s.sum() != total
}

// incomplete returns the first account that was read, but does not exist, or else
// that exists and was not read; a negative number if there is none.
func (s *step) incomplete() (account int, shown bool) {
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
func (s *step) negative() (account int) {
	return slices.IndexFunc(s.Output.Ints(), func(balance int64) bool {
		return balance < 0 && balance != history.NoBalance && !s.rules.Negative
	})
}

// sum is of the balances that were read; the largest number there is if it is
// larger.
func (s *step) sum() (sum int64) {
	for _, balance := range s.Output.Ints() {
		switch {
		case balance == history.NoBalance:
		case balance > 0 && sum > math.MaxInt64-balance:
			return math.MaxInt64
		default:
			sum += max(balance, -maxBalance*MaxAccounts)
		}
	}
	return sum
}

// moves means that the step may have changed balances.
func (s *step) moves() bool { return s.Kind == history.Transfer && s.Outcome != history.Fail }

func (s *step) Interval() (call, ret time.Duration) {
	return s.Invoke, model.Returns(s.Operation)
}

func (s *step) Apply(held balances) (balances, bool) {
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
