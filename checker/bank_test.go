package checker

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/harness/history"
)

func TestCheckBank(t *testing.T) {
	for _, test := range []struct {
		name    string
		history string
		verdict Verdict
		engine  Engine
		bank    counts.Bank
		stale   int
		anomaly anomaly.Name
		witness []string
		says    string
	}{
		{
			name: "moved, refused, unknown",
			history: `p1 n1 transfer b 0 1 4 [0,1] ok
			          p2 n1 transfer b 2 1 5 [0,1] info
			          p3 n1 transfer b 0 1 10 [2,3] fail
			          p4 n2 read-all b -> 6 14 10 [2,3] ok
			          p4 n2 read-all b -> 6 19 5 [4,5] ok
			          p4 n2 read-all b [4,5] info`,
			verdict: Valid, engine: Porcupine,
			bank: counts.Bank{Transferred: 1, Refused: 1, Unknown: 1, Reads: 2, Ordered: true},
		},
		{
			name: "money is made",
			history: `p1 n1 transfer b 0 1 4 [0,1] ok
			          p4 n2 read-all b -> 10 14 10 [2,3] ok`,
			verdict: Invalid, engine: Polynomial,
			bank:    counts.Bank{Transferred: 1, Reads: 1, WrongTotal: 1},
			anomaly: anomaly.WrongCount,
			witness: []string{"read-all -> 10 14 10"},
			says:    "p4 read balances through n2 at 3.000 s that sum up to 34, and not to 30.",
		},
		{
			name:    "nearly too much money",
			history: `p4 n2 read-all b -> 9223372036854775807 9223372036854775807 32 [2,3] ok`,
			verdict: Invalid, engine: Polynomial,
			bank:    counts.Bank{Reads: 1, WrongTotal: 1},
			anomaly: anomaly.WrongCount,
			witness: []string{"read-all -> 9223372036854775807 9223372036854775807 32"},
			says:    "p4 read balances through n2 at 3.000 s that sum up to 9223372036854775807, and not to 30.",
		},
		{
			name: "overdrawn",
			history: `p1 n1 transfer b 0 1 6 [0,1] ok
			          p1 n1 transfer b 0 1 6 [0,1] info
			          p4 n2 read-all b -> -2 22 10 [2,3] ok
			          partition n1 from 0 to 9`,
			verdict: Invalid, engine: Polynomial,
			bank:    counts.Bank{Transferred: 1, Unknown: 1, Reads: 1, Negative: 1},
			anomaly: anomaly.WrongCount,
			witness: []string{"read-all -> -2 22 10"},
			says:    "p4 read balances through n2 at 3.000 s of which that of account 0 is -2; n1 had been cut off from n2 n3 since 0.000 s.",
		},
		{
			name: "a transfer is missing",
			history: `p1 n1 transfer b 0 1 4 [0,1] ok
			          p1 n1 transfer b 1 2 1 [1,5] ok
			          p4 n2 read-all b -> 10 9 11 [2,3] ok`,
			verdict: Invalid, engine: Polynomial, stale: 1,
			bank:    counts.Bank{Transferred: 2, Reads: 1},
			anomaly: anomaly.StaleRead,
			witness: []string{"transfer 0 1 4", "read-all -> 10 9 11"},
			says:    "p4 read account 0 = 10 through n2 at 2.000 s, but the transfers acknowledged before, and those under way that help, come to 6 at most.",
		},
		{
			name: "back in time",
			history: `p1 n1 transfer b 0 1 4 [0,1] info
			          p4 n2 read-all b -> 6 14 10 [2,3] ok
			          p5 n2 read-all b -> 10 10 10 [4,5] ok`,
			verdict: Invalid, engine: Polynomial, stale: 1,
			bank:    counts.Bank{Unknown: 1, Reads: 2},
			anomaly: anomaly.StaleRead,
			witness: []string{"read-all -> 6 14 10", "read-all -> 10 10 10"},
			says:    "p5 read account 0 = 10 through n2 at 4.000 s, but p4 had read account 0 = 6 through n2 at 3.000 s, and the transfers since then, with those under way that help, come to 6 at most.",
		},
		{
			name: "out of nowhere",
			history: `p1 n1 transfer b 0 1 4 [0,1] ok
			          p4 n2 read-all b -> 1 19 10 [2,3] ok`,
			verdict: Invalid, engine: Polynomial,
			bank:    counts.Bank{Transferred: 1, Reads: 1},
			anomaly: anomaly.WrongCount,
			witness: []string{"transfer 0 1 4", "read-all -> 1 19 10"},
			says:    "p4 read account 0 = 1 through n2 at 3.000 s, but the transfers invoked by then come to 6 at least.",
		},
		{
			name: "old as a whole",
			history: `p1 n1 transfer b 0 1 4 [0,1] ok
			          p2 n1 transfer b 1 0 7 [2,9] ok
			          p4 n2 read-all b -> 10 10 10 [3,4] ok
			          p4 n2 read-all b -> 13 7 10 [5,6] ok`,
			verdict: Invalid, engine: Porcupine, stale: 1,
			bank:    counts.Bank{Transferred: 2, Reads: 2},
			anomaly: anomaly.StaleRead,
			witness: []string{"transfer 0 1 4", "transfer 1 0 7", "read-all -> 10 10 10"},
			says:    "no order of 3 operations explains what was answered until 9.000 s: whatever the order, a read was stale.",
		},
		{
			name: "never there as a whole",
			history: `p1 n1 transfer b 0 1 4 [0,1] ok
			          p2 n1 transfer b 1 0 7 [2,9] ok
			          p4 n2 read-all b -> 8 12 10 [3,4] ok`,
			verdict: Invalid, engine: Porcupine,
			bank:    counts.Bank{Transferred: 2, Reads: 1},
			anomaly: anomaly.Disorder,
			witness: []string{"transfer 0 1 4", "transfer 1 0 7", "read-all -> 8 12 10"},
			says:    "no order of 3 operations explains what was answered until 9.000 s.",
		},
		{
			name: "not only old",
			history: `p1 n1 transfer b 0 1 4 [0,1] ok
			          p2 n1 transfer b 1 0 7 [2,9] ok
			          p4 n2 read-all b -> 10 10 10 [3,4] ok
			          p5 n2 transfer b 2 0 1 [10,11] fail`,
			verdict: Invalid, engine: Porcupine,
			bank:    counts.Bank{Transferred: 2, Refused: 1, Reads: 1},
			anomaly: anomaly.Disorder,
			witness: []string{"transfer 0 1 4", "transfer 1 0 7", "read-all -> 10 10 10"},
			says:    "no order of 3 operations explains what was answered until 9.000 s.",
		},
		{
			name: "each account for itself",
			history: `p1 n1 transfer b 0 1 4 [0,9] ok
			          p2 n1 transfer b 2 0 4 [0,9] ok
			          p4 n2 read-all b -> 10 10 10 [2,3] ok
			          p4 n2 read-all b -> 14 6 10 [10,11] info
			          p4 n2 read-all b -> 14 10 6 [4,5] ok
			          p4 n2 read-all b -> 10 10 10 [12,13] fail
			          p5 n2 transfer b 1 0 14 [3,4] fail
			          p5 n2 transfer b 1 0 11 [6,7] fail
			          p5 n2 transfer b 1 0 10 [6,7] fail`,
			verdict: Invalid, engine: Porcupine,
			bank:    counts.Bank{Transferred: 2, Refused: 3, Reads: 2},
			anomaly: anomaly.Disorder,
			witness: []string{"transfer 0 1 4", "transfer 2 0 4", "transfer 1 0 10"},
			says:    "no order of 3 operations explains what was answered until 9.000 s.",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := Check(t.Context(), script.Parse(t, test.history), Bank(3, 10), Options{})
			if result.Verdict != test.verdict || result.StaleReads.Certain != test.stale || result.LostCommits.Certain != 0 {
				t.Errorf("%s: %s, %d stale, %d lost", result.Verdict, result.Reason, result.StaleReads, result.LostCommits)
			}
			if diff := cmp.Diff(&test.bank, result.Bank); diff != "" {
				t.Error(diff)
			}
			if len(result.Decisions) != 1 || result.Decisions[0].Engine != test.engine {
				t.Errorf("decisions %v", result.Decisions)
			}
			checkStory(t, result, test.verdict, test.anomaly, test.witness, test.says)
		})
	}
}

func TestBankUnknown(t *testing.T) {
	for _, test := range []struct{ history, reason string }{
		{"p1 n1 read-all b -> 10 10 [0,1] ok", "p1 read 2 balances at 0.000 s, and the bank has 3 accounts"},
		{"p1 n1 transfer b 0 3 1 [0,1] ok", "from account 0 to 3; the bank has 3 accounts"},
		{"p1 n1 transfer b 0 1 -1 [0,1] info", "amounts are not negative"},
		{"p1 n1 transfer b 0 1 1152921504606846977 [0,1] ok", "more than 2^60"},
	} {
		if r := Check(t.Context(), script.Parse(t, test.history), Bank(3, 10), Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, test.reason) {
			t.Errorf("%s: %s, want %s", r.Verdict, r.Reason, test.reason)
		}
	}
	if r := Check(t.Context(), script.Parse(t, "p1 n1 read-all b [0,1] ok"), Bank(0, 10), Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, "0 accounts") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
}

// hardBank is a history whose order cannot be found: no transfers of unknown
// outcome come to what is read last.
func hardBank() *history.Run {
	run := &history.Run{}
	for i := range 40 {
		run.History.Operations = append(run.History.Operations, history.Operation{
			Process: i, Kind: history.Transfer, Input: history.Ints(0, 1, int64(1000*i+1001)), Invoke: 0, Complete: 1, Outcome: history.Info})
	}
	run.History.Operations = append(run.History.Operations, history.Operation{
		Process: 40, Kind: history.ReadAll, Output: history.Ints(1_000_000-500_000, 1_000_000+500_000), Invoke: 1, Complete: 2, Outcome: history.OK})
	return run
}

// What the bank property does not decide is left open, and said.
func TestBankPropertyAlone(t *testing.T) {
	r := Check(t.Context(), hardBank(), Bank(2, 1_000_000), Options{Budget: Budget{Time: 5 * time.Second}})
	if r.Verdict != Valid || r.Bank.Ordered || r.Decisions[0].Engine != Polynomial || !strings.Contains(r.Decisions[0].Why, "neither found nor excluded") {
		t.Errorf("%s, ordered %v: %v", r.Verdict, r.Bank.Ordered, r.Decisions)
	}
	r = Check(t.Context(), hardBank(), Bank(2, 1_000_000), Options{Budget: Budget{Time: 300 * time.Millisecond}, Engine: Porcupine})
	if r.Verdict != Unknown || r.Bank.Ordered || !strings.Contains(r.Reason, "were not decided") {
		t.Errorf("%s, ordered %v: %s", r.Verdict, r.Bank.Ordered, r.Reason)
	}
	r = Check(t.Context(), hardBank(), Bank(2, 1_000_000), Options{Engine: Polynomial})
	if r.Verdict != Valid || r.Bank.Ordered {
		t.Errorf("%s, ordered %v: %s", r.Verdict, r.Bank.Ordered, r.Reason)
	}
}

const testAccounts = 3

// bankTests are those that the differential fuzz tries.
var bankTests = []struct {
	name  string
	rules BankRules
}{
	{"alike", BankRules{Accounts: testAccounts, Balances: []int64{5, 5, 5}}},
	{"not alike", BankRules{Accounts: testAccounts, Balances: []int64{9, 0, 4}}},
	{"negative", BankRules{Accounts: testAccounts, Balances: []int64{3, -2, 0}, Negative: true}},
}

// plainPorcupineBank judges one bank with a model of its own.
func plainPorcupineBank(operations []history.Operation, rules BankRules) bool {
	type state = [testAccounts]int64
	var entries []porcupine.Operation
	for _, o := range operations {
		ret := int64(o.Complete)
		if o.Outcome == history.Info {
			ret = math.MaxInt64
		}
		entries = append(entries, porcupine.Operation{Input: o, Call: int64(o.Invoke), Return: ret})
	}
	return porcupine.CheckOperations(porcupine.Model{
		Init: func() any { return state(rules.Balances) },
		Step: func(before, input, _ any) (bool, any) {
			held, o := before.(state), input.(history.Operation)
			if o.Kind == history.ReadAll {
				return o.Outcome != history.OK || slices.Equal(held[:], o.Output.Ints()), held
			}
			enough := rules.Negative || held[o.Input.At(0)] >= o.Input.At(2)
			if enough && o.Outcome != history.Fail {
				held[o.Input.At(0)] -= o.Input.At(2)
				held[o.Input.At(1)] += o.Input.At(2)
				return true, held
			}
			return o.Outcome == history.Info || !enough && o.Outcome == history.Fail || o.Error != "" || rules.Negative, held
		},
	}, entries)
}

// drawBank returns a random history of one bank: a real one is simulated, and then
// some reads are spoilt.
func drawBank(r *rand.Rand, rules BankRules) []history.Operation {
	n := 1 + r.IntN(11)
	span := 2 + r.IntN(3*n)
	spoil := []float64{0, 0.1, 0.5}[r.IntN(3)]
	width := 1 + r.IntN(span)
	type effect struct {
		at int
		*history.Operation
	}
	operations := make([]history.Operation, n)
	effects := make([]effect, n)
	for i := range operations {
		call := r.IntN(span)
		ret := call + r.IntN(width)
		o := history.Operation{Process: i, Key: "b", Kind: history.Transfer, Outcome: history.OK, Invoke: time.Duration(call), Complete: time.Duration(ret),
			Input: history.Ints(r.Int64N(testAccounts), r.Int64N(testAccounts), 1+r.Int64N(4))}
		if r.IntN(2) == 0 {
			o.Kind, o.Input = history.ReadAll, history.Value{}
		}
		at := call + r.IntN(1+ret-call)
		switch r.IntN(10) {
		case 0, 1:
			o.Outcome, at = history.Info, call+r.IntN(2*span)
		case 2:
			o.Outcome, o.Error = history.Fail, "refused connection"
		}
		operations[i] = o
		effects[i] = effect{at, &operations[i]}
	}
	slices.SortStableFunc(effects, func(a, b effect) int { return a.at - b.at })
	held := slices.Clone(rules.Balances)
	var before []int64
	for _, o := range effects {
		switch {
		case o.Kind == history.ReadAll:
			seen := slices.Clone(held)
			if r.Float64() < spoil/2 && before != nil {
				seen = slices.Clone(before)
			}
			if r.Float64() < spoil/4 {
				seen[r.IntN(testAccounts)] += r.Int64N(5) - 2
			}
			if r.Float64() < spoil/4 {
				by := r.Int64N(9) - 4
				seen[r.IntN(testAccounts)] += by
				seen[r.IntN(testAccounts)] -= by
			}
			if r.Float64() < spoil/8 {
				seen[r.IntN(testAccounts)] = history.NoBalance
			}
			o.Output = history.Ints(seen...)
		case o.Outcome == history.OK || o.Outcome == history.Info && r.IntN(2) == 0:
			if held[o.Input.At(0)] < o.Input.At(2) && !rules.Negative {
				if o.Outcome == history.OK && r.Float64() >= spoil/4 {
					o.Outcome = history.Fail
				}
				continue
			}
			before = slices.Clone(held)
			held[o.Input.At(0)] -= o.Input.At(2)
			held[o.Input.At(1)] += o.Input.At(2)
		}
	}
	slices.SortStableFunc(operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return operations
}

func TestBankAgreesWithPorcupine(t *testing.T) {
	for _, bank := range bankTests {
		t.Run(bank.name, func(t *testing.T) {
			t.Parallel()
			compareBanks(t, bank.rules)
		})
	}
}

func compareBanks(t *testing.T, rules BankRules) {
	anomalies := map[anomaly.Name]int{}
	invalid, cheap := 0, 0
	for seed := range uint64(script.Histories(t)) {
		operations := drawBank(rand.New(rand.NewPCG(seed, 19)), rules)
		run := &history.Run{History: history.History{Operations: operations}}
		want := Valid
		if !plainPorcupineBank(operations, rules) {
			want = Invalid
			invalid++
		}
		got := Check(t.Context(), run, BankOf(rules), Options{})
		if got.Verdict != want || got.Bank.Ordered != (want == Valid) {
			t.Fatalf("seed %d: verdict %s (%s), but Porcupine says %s, of\n%s", seed, got.Verdict, got.Reason, want, script.List(operations))
		}
		if got.StaleReads.Certain > 0 && want == Valid {
			t.Fatalf("seed %d: %d stale in a valid history\n%s", seed, got.StaleReads, script.List(operations))
		}
		// What is known of the total alone suffices for no more.
		total := BankRules{Accounts: rules.Accounts, Total: 13, Negative: rules.Negative}
		if rules.Balances[0] == 9 {
			if less := Check(t.Context(), run, BankOf(total), Options{}); want == Valid && less.Verdict != Valid || (less.Verdict == Invalid) != (got.Bank.WrongTotal+got.Bank.Negative+got.Bank.Incomplete > 0) {
				t.Fatalf("seed %d: by the total alone %s\n%s", seed, less.Verdict, script.List(operations))
			}
		}
		if want == Invalid && got.Decisions[0].Engine == Polynomial {
			cheap++
		}
		for _, v := range got.Violations {
			anomalies[v.Anomaly]++
			if plainPorcupineBank(v.Witness, rules) || v.Sentence == "" {
				t.Fatalf("seed %d: %s, not a witness:\n%s\nof\n%s", seed, v.Sentence, script.List(v.Witness), script.List(operations))
			}
		}
	}
	t.Logf("%d of %d invalid, %d of these without a search: %v", invalid, script.Histories(t), cheap, anomalies)
	if invalid == 0 || invalid == script.Histories(t) {
		t.Error("the histories are all alike")
	}
}

func TestBankRules(t *testing.T) {
	for _, test := range []struct {
		name    string
		rules   BankRules
		history string
		verdict Verdict
		says    string // or the reason
	}{
		{"not alike", BankRules{Accounts: 2, Balances: []int64{9, 0}}, "p1 n1 transfer b 0 1 4 [0,1] ok\n p1 n1 read-all b -> 5 4 [2,3] ok", Valid, ""},
		{"the total alone", BankRules{Accounts: 2, Total: 9}, "p1 n1 transfer b 0 1 4 [0,1] ok\n p1 n1 read-all b -> 9 0 [2,3] ok", Valid, ""},
		{"another total", BankRules{Accounts: 2, Total: 9}, "p1 n1 read-all b -> 9 1 [2,3] ok", Invalid, "p1 read balances through n1 at 3.000 s that sum up to 10, and not to 9."},
		{"in debt", BankRules{Accounts: 2, Total: 9}, "p1 n1 read-all b -> 10 -1 [2,3] ok", Invalid, "p1 read balances through n1 at 3.000 s of which that of account 1 is -1."},
		{"in debt, as it may be", BankRules{Accounts: 2, Total: 9, Negative: true}, "p1 n1 read-all b -> 10 -1 [2,3] ok", Valid, ""},
		{"a balance is missing", BankRules{Accounts: 2, Total: 9}, "p1 n1 read-all b -> 9 -9223372036854775808 [2,3] ok", Invalid, "p1 read balances through n1 at 3.000 s without that of account 1."},
		{"an account too much", BankRules{Accounts: 2, Balances: []int64{9, history.NoBalance}}, "p1 n1 read-all b -> 9 0 [2,3] ok", Invalid, "p1 read balances through n1 at 3.000 s with 0 in account 1, which does not exist."},
		{"no account too much", BankRules{Accounts: 2, Balances: []int64{9, history.NoBalance}}, "p1 n1 read-all b -> 9 -9223372036854775808 [2,3] ok", Valid, ""},
		{"a transfer to nowhere", BankRules{Accounts: 2, Balances: []int64{9, history.NoBalance}}, "p1 n1 transfer b 0 1 4 [0,1] ok", Unknown, "account 1, which does not exist in the beginning"},
		{"debt at first", BankRules{Accounts: 1, Balances: []int64{-9}}, "p1 n1 read-all b -> -9 [2,3] ok", Unknown, "account 0 with -9 at first cannot be judged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := Check(t.Context(), script.Parse(t, test.history), BankOf(test.rules), Options{})
			said := result.Reason
			if len(result.Violations) > 0 {
				said = result.Violations[0].Sentence
			}
			if result.Verdict != test.verdict || !strings.Contains(said, test.says) {
				t.Errorf("%s: %s", result.Verdict, said)
			}
		})
	}
}
