package jepsen

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rashomon-io/rashomon/harness/history"
)

// accounts are those of a bank, numbered by their order, and what is known of them.
type accounts struct {
	numbers map[string]int64 // by EDN
	known   *Bank
}

// newAccounts collects the accounts that calls and options name. Integers come
// first.
func newAccounts(calls []call, o Options) (accounts, error) {
	a := accounts{numbers: map[string]int64{}}
	initial, known, err := o.bank()
	if err != nil {
		return a, err
	}
	a.known = known
	var named []datum
	for i := range calls {
		c := &calls[i]
		if in := c.input.untagged(); c.f == "transfer" && in.kind == mapping {
			named = append(named, in.field("from"), in.field("to"))
		}
		if c.f == "read" && c.outcome == history.OK {
			for account := range shown(c.output) {
				named = append(named, account)
			}
		}
	}
	opening := map[string]datum{}
	for account, balance := range shown(initial) {
		named = append(named, account)
		opening[account.String()] = balance
	}
	slices.SortFunc(named, func(a, b datum) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.number, b.number), cmp.Compare(a.text, b.text))
	})
	for _, d := range named {
		name := d.String()
		if _, known := a.numbers[name]; known || d.kind <= null {
			continue
		}
		a.numbers[name] = int64(len(a.numbers))
		balance, exists := opening[name]
		switch {
		case initial.kind == integer:
			known.Balances = append(known.Balances, initial.number)
		case exists && balance.kind != integer:
			return a, fmt.Errorf("the initial balance %.40s of account %.40s is not an integer", balance, name)
		case exists:
			known.Balances = append(known.Balances, balance.number)
		case initial.kind != absent:
			known.Balances = append(known.Balances, history.NoBalance)
		}
	}
	return a, nil
}

// shown yields the accounts that a value shows, and what they hold.
func shown(d datum) func(yield func(account, balance datum) bool) {
	d = d.untagged()
	return func(yield func(account, balance datum) bool) {
		switch d.kind {
		case mapping:
			for pair := range slices.Chunk(d.items, 2) {
				if !yield(pair[0], pair[1]) {
					return
				}
			}
		case vector, list:
			for i, balance := range d.items {
				if !yield(datum{kind: integer, number: int64(i)}, balance) {
					return
				}
			}
		}
	}
}

// bank reads what Options tell of one: initial is a map from accounts to what they
// hold, a vector of that, or what each account holds.
func (o Options) bank() (initial datum, known *Bank, err error) {
	known = &Bank{NegativeBalances: o.NegativeBalances}
	switch {
	case o.Initial != "" && o.Total != "":
		return initial, nil, errors.New("a bank's initial balances tell its total; give either the initial balances or the total")
	case o.Total != "":
		d, err := newEDNReader(strings.NewReader(o.Total)).value(0)
		if err != nil || d.kind != integer {
			return initial, nil, fmt.Errorf("the total %.40q is not what all accounts of a bank hold together, which is an integer", o.Total)
		}
		known.Total = d.number
		return initial, known, nil
	case o.Initial != "":
		initial, err = newEDNReader(strings.NewReader(o.Initial)).value(0)
		if err != nil || !slices.Contains([]kind{integer, mapping, vector}, initial.kind) {
			return initial, nil, fmt.Errorf("the initial value %.40q is not the balance of an account, which is an integer, nor a map from accounts to balances", o.Initial)
		}
		return initial, known, nil
	}
	return initial, nil, nil
}

// names are the accounts' own, as EDN, by number.
func (a accounts) names() []string {
	names := make([]string, len(a.numbers))
	for name, number := range a.numbers {
		names[number] = name
	}
	return names
}

func (a accounts) functions() map[string]function {
	return map[string]function{
		"transfer": {history.Transfer, a.transfer, nothing},
		"read":     {history.ReadAll, nothing, a.read},
	}
}

func (a accounts) transfer(_ *numbers, d datum) (history.Value, error) {
	d = d.untagged()
	amount := d.field("amount")
	value := []int64{0, 0, amount.number}
	for i, side := range []string{"from", "to"} {
		name := d.field(side).String()
		number, ok := a.numbers[name]
		if amount.kind != integer || !ok {
			return history.Value{}, fmt.Errorf("has the :value %.60s; want {:from account, :to account, :amount n}", d)
		}
		if a.known != nil && a.known.Balances != nil && a.known.Balances[number] == history.NoBalance {
			return history.Value{}, fmt.Errorf("names the account %.40s, of which the initial balances do not tell", name)
		}
		value[i] = number
	}
	return history.Ints(value...), nil
}

// read is a balance for each account, history.NoBalance where none was shown.
func (a accounts) read(_ *numbers, d datum) (history.Value, error) {
	if d = d.untagged(); d.kind != mapping && d.kind != vector && d.kind != list && d.kind > null {
		return history.Value{}, fmt.Errorf("has the :value %.40s; want the balances of accounts", d)
	}
	value := slices.Repeat([]int64{history.NoBalance}, len(a.numbers))
	for account, balance := range shown(d) {
		switch {
		case balance.kind == null || account.kind <= null:
		case balance.kind != integer:
			return history.Value{}, fmt.Errorf("has the balance %.40s; want an integer", balance)
		default:
			value[a.numbers[account.String()]] = balance.number
		}
	}
	return history.Ints(value...), nil
}
