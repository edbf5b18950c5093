package line

import (
	"context"
	"fmt"
	"strconv"

	"github.com/rashomon-io/rashomon/workloads"
)

// Numbers that change by what they were need no store of their own: a counter, the
// accounts of a bank and the last id given are values under keys that no workload
// writes. A node that carries out one request at a time carries these out
// atomically.
const (
	counterKey = "-counter"
	idKey      = "-id"
)

func accountKey(account int64) string { return fmt.Sprintf("-account.%d", account) }

// maxAccounts bounds the accounts that one request can name.
const maxAccounts = 1000

// IsRead reports whether a request with this verb changes nothing.
func IsRead(verb string) bool {
	switch verb {
	case "get", "elements", "value", "balances":
		return true
	}
	return false
}

// answerNumbers is Answer, of requests about numbers; false means that this is none:
//
//	increment DELTA            ok
//	value                      value V
//	transfer FROM TO AMOUNT    ok | insufficient
//	balances COUNT             balances B…
//	generate                   id N
func answerNumbers(store Store, verb string, words []string) (reply string, known bool) {
	arity, known := map[string]int{"increment": 1, "value": 0, "transfer": 3, "balances": 1, "generate": 0}[verb]
	if !known {
		return "", false
	}
	numbers, err := Numbers(words)
	switch {
	case len(words) != arity:
		return Refused(verb + " takes " + strconv.Itoa(arity) + " words"), true
	case err != nil:
		return Refused(err.Error()), true
	}
	switch verb {
	case "increment":
		return done(store.Set(counterKey, number(store, counterKey, 0)+numbers[0])), true
	case "value":
		return fmt.Sprint("value ", number(store, counterKey, 0)), true
	case "transfer":
		return transfer(store, numbers[0], numbers[1], numbers[2]), true
	case "balances":
		return balances(store, numbers[0]), true
	default:
		id := number(store, idKey, 0) + 1
		if err := store.Set(idKey, id); err != nil {
			return done(err), true
		}
		return fmt.Sprint("id ", id), true
	}
}

// number is the value under a key, or what it is before it has been set.
func number(store Store, key string, unset int64) int64 {
	if value, found := store.Get(key); found {
		return value
	}
	return unset
}

func transfer(store Store, from, to, amount int64) string {
	if min(from, to) < 0 || max(from, to) >= maxAccounts || from == to || amount < 0 {
		return Refused(fmt.Sprintf("want two accounts below %d and an amount that is not negative", maxAccounts))
	}
	held := number(store, accountKey(from), workloads.BankBalance)
	if held < amount {
		return "insufficient"
	}
	return done(store.SetBoth(
		accountKey(from), held-amount,
		accountKey(to), number(store, accountKey(to), workloads.BankBalance)+amount))
}

func balances(store Store, count int64) string {
	if count < 0 || count > maxAccounts {
		return Refused(fmt.Sprintf("want at most %d accounts", maxAccounts))
	}
	reply := []byte("balances")
	for account := range count {
		reply = strconv.AppendInt(append(reply, ' '), number(store, accountKey(account), workloads.BankBalance), 10)
	}
	return string(reply)
}

func (c *Client) Increment(ctx context.Context, delta int64) error {
	return c.do(ctx, "increment", strconv.FormatInt(delta, 10))
}

func (c *Client) Value(ctx context.Context) (int64, error) {
	return c.number(ctx, "value", "value")
}

func (c *Client) Transfer(ctx context.Context, from, to int, amount int64) (transferred bool, err error) {
	reply, err := c.call(ctx, "transfer", strconv.Itoa(from), strconv.Itoa(to), strconv.FormatInt(amount, 10))
	switch {
	case err != nil:
		return false, err
	case len(reply) == 1 && (reply[0] == "ok" || reply[0] == "insufficient"):
		return reply[0] == "ok", nil
	}
	return false, unexpected(reply)
}

func (c *Client) Balances(ctx context.Context, accounts int) ([]int64, error) {
	reply, err := c.call(ctx, "balances", strconv.Itoa(accounts))
	switch {
	case err != nil:
		return nil, err
	case reply[0] != "balances" || len(reply) != 1+accounts:
		return nil, unexpected(reply)
	}
	return Numbers(reply[1:])
}

func (c *Client) Generate(ctx context.Context) (int64, error) {
	return c.number(ctx, "generate", "id")
}

// number calls for one number, which comes after a word.
func (c *Client) number(ctx context.Context, request, word string) (int64, error) {
	reply, err := c.call(ctx, request)
	switch {
	case err != nil:
		return 0, err
	case len(reply) != 2 || reply[0] != word:
		return 0, unexpected(reply)
	}
	return strconv.ParseInt(reply[1], 10, 64)
}
