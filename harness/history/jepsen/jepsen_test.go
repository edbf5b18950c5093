package jepsen_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/harness/history/jepsen"
)

// brief writes what was read, an operation a line.
func brief(made jepsen.Import) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", made.Model)
	for _, o := range made.History.Operations {
		fmt.Fprintf(&b, "p%d %s %q %v -> %v [%d,%d] %s %s\n", o.Process, o.Kind, o.Key, o.Input.Ints(), o.Output.Ints(), o.Invoke, o.Complete, o.Outcome, o.Error)
	}
	for _, e := range made.Events {
		fmt.Fprintf(&b, "%s %s %v %v at %d\n", e.Type, e.Family, e.Nodes, e.Links, e.Time)
	}
	for _, number := range slices.Sorted(maps.Keys(made.Names)) {
		fmt.Fprintf(&b, "%d is %s\n", number, made.Names[number])
	}
	return b.String()
}

func TestRead(t *testing.T) {
	for name, want := range map[string]string{
		"register.edn": `register
p0 read "" [] -> [] [14210000,15400000] ok 
p1 write "" [3] -> [] [14310000,16100000] ok 
p0 cas "" [3 4] -> [] [17000000,22000000] info :timeout
p1 cas "" [1 2] -> [] [17100000,18000000] fail [:not-found "100: Key not found"]
p5 read "" [] -> [4] [22100000,23000000] ok 
p1 write "" [1] -> [] [25000000,25000000] info no completion recorded
inject partition [] [n1>n2 n1>n3 n2>n1 n3>n1] at 16900000
heal partition [] [] at 24500000
`,
		"register_stale.edn": `register
p0 write "" [1] -> [] [1,2] ok 
p0 write "" [2] -> [] [3,4] ok 
p1 read "" [] -> [1] [5,6] ok 
1 is :a
2 is "b"
`,
		"independent.edn": `register
p0 write "1" [3] -> [] [1,3] ok 
p1 read "2" [] -> [] [2,4] ok 
p0 cas "1" [3 4] -> [] [5,6] fail failed
p1 read "1" [] -> [3] [7,8] ok 
`,
		"set.edn": `set
p0 add "" [0] -> [] [10,20] ok 
p1 add "" [1] -> [] [30,40] info indeterminate
p0 read-all "" [] -> [0 1] [50,60] ok 
p0 read-all "" [] -> [1 0] [70,80] ok 
`,
		"set_lost.edn": `set
p0 add "" [0] -> [] [10,20] ok 
p0 read-all "" [] -> [] [50,60] ok 
`,
		"counter.edn": `counter
p0 increment "" [2] -> [] [10,20] ok 
p1 read "" [] -> [2] [15,30] ok 
`,
		"queue.edn": `queue
p0 enqueue "" [1] -> [] [10,20] ok 
p0 enqueue "" [2] -> [] [30,40] ok 
p1 dequeue "" [] -> [1] [50,60] ok 
p1 dequeue "" [] -> [] [70,80] fail :empty
p3 dequeue "" [] -> [2] [90,100] ok 
p4 dequeue "" [] -> [] [90,100] ok 
1 is "a"
2 is "b"
`,
		"mutex.edn": `lock
p0 acquire "" [] -> [] [1,2] ok 
p1 acquire "" [] -> [] [3,4] fail failed
p0 release "" [] -> [] [5,6] ok 
`,
		"bank.edn": `bank
p0 transfer "" [0 2 5] -> [] [10,20] ok 
p1 read-all "" [] -> [5 10 15] [30,40] ok 
p1 read-all "" [] -> [5 10 15] [50,60] ok 
`,
		"unique_ids.edn": `unique-ids
p0 generate "" [] -> [1] [1,2] ok 
p1 generate "" [] -> [2] [3,4] ok 
1 is "7f1a"
2 is "7f1b"
`,
		"etcd.log": `register
p2 write "" [4] -> [] [1,3] ok 
p1 cas "" [1 2] -> [] [2,4] fail failed
p2 read "" [] -> [] [5,7] fail :timed-out
p2 cas "" [4 5] -> [] [8,9] info :timed-out
unrecognized  [] [] at 6
`,
		"history.txt": `register
p0 write "" [4] -> [] [1,2] ok 
p1 cas "" [4 5] -> [] [3,4] fail :refused
`,
		"kv.edn": `register
p2 write "1" [3] -> [] [0,0] ok 
p3 write "2" [3] -> [] [0,0] ok 
p0 write "1" [1] -> [] [2,3] ok 
p1 cas "1" [1 2] -> [] [4,5] ok 
p0 read "1" [] -> [2] [6,7] ok 
p0 read "2" [] -> [3] [8,9] ok 
1 is "x 0 0 y"
2 is "x 0 0 yx 1 0 y"
3 is ""
`,
	} {
		t.Run(name, func(t *testing.T) {
			made := read(t, name)
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(brief(made), "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func read(t *testing.T, name string) jepsen.Import {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if !jepsen.IsHistory(text) {
		t.Errorf("%s is not recognized", name)
	}
	made, err := jepsen.Read(strings.NewReader(string(text)), jepsen.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestVerdicts(t *testing.T) {
	for name, want := range map[string]checker.Verdict{
		"register.edn":       checker.Valid,
		"register_stale.edn": checker.Invalid,
		"independent.edn":    checker.Valid,
		"set.edn":            checker.Valid,
		"set_lost.edn":       checker.Invalid,
		"kv.edn":             checker.Valid,
	} {
		made := read(t, name)
		model := checker.Register
		if made.Model == "set" {
			model = checker.Set
		}
		result := checker.Check(t.Context(), &history.Run{History: made.History}, model, checker.Options{})
		if result.Verdict != want {
			t.Errorf("%s: got %s %s, want %s", name, result.Verdict, result.Reason, want)
		}
	}
}

// op writes one operation, with a type, a function and a value.
func op(process int, what, f, value string) string {
	return fmt.Sprintf("{:process %d, :type :%s, :f :%s, :value %s}\n", process, what, f, value)
}

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		name, text string
		options    jepsen.Options
		want       string
	}{
		{"pairs as values", op(0, "invoke", "write", "[1 2]"), jepsen.Options{Independent: jepsen.No},
			"register\np0 write \"\" [3] -> [] [1,1] info no completion recorded\n3 is [1 2]\n"},
		{"an initial value", op(0, "invoke", "read", "nil") + op(0, "ok", "read", "0"), jepsen.Options{Initial: "0"},
			"register\np1 write \"\" [0] -> [] [0,0] ok \np0 read \"\" [] -> [0] [2,3] ok \n"},
		{"nil as a value", op(0, "invoke", "cas", "[nil 1]") + op(0, "ok", "cas", "[nil 1]"), jepsen.Options{},
			"register\np1 write \"\" [2] -> [] [0,0] ok \np0 cas \"\" [2 1] -> [] [2,3] ok \n2 is nil\n"},
		{"a versioned register", op(0, "invoke", "write", "[nil 3]") + op(0, "ok", "write", "[1 3]") + op(0, "invoke", "cas", "[nil [3 4]]") + op(1, "invoke", "read", "nil") + op(1, "ok", "read", "[2 4]"), jepsen.Options{},
			"versioned-register\np0 write \"\" [3] -> [1] [1,2] ok \np0 cas \"\" [3 4] -> [] [3,5] info no completion recorded\np1 read \"\" [] -> [2 4] [4,5] ok \n"},
		{"a swap of a key", op(0, "invoke", "write", `["k" 1]`) + op(1, "invoke", "cas", `["k" 1 2]`) + op(1, "ok", "cas", `["k" 1 2]`), jepsen.Options{},
			"register\np0 write \"k\" [1] -> [] [1,3] info no completion recorded\np1 cas \"k\" [1 2] -> [] [2,3] ok \n"},
		{"a counter that nobody reads", op(0, "invoke", "add", "1") + op(1, "invoke", "add", "1"), jepsen.Options{},
			"counter\np0 increment \"\" [1] -> [] [1,2] info no completion recorded\np1 increment \"\" [1] -> [] [2,2] info no completion recorded\n"},
		{"a bank that is only read", op(0, "invoke", "read", "nil") + op(0, "ok", "read", "{0 1}"), jepsen.Options{Total: "1"},
			"bank\np0 read-all \"\" [] -> [1] [1,2] ok \n"},
		{"words in capitals", `{"process":0,"type":"INVOKE","f":"WRITE","value":1,"time":1.65E12}`, jepsen.Options{},
			"register\np0 write \"\" [1] -> [] [1,1] info no completion recorded\n"},
		{"a completion's key and value", op(0, "invoke", "write", "[1 nil]") + op(0, "ok", "write", "[1 3]"), jepsen.Options{},
			"register\np0 write \"1\" [3] -> [] [1,2] ok \n"},
		{"a bank by its accounts", op(0, "invoke", "read", "nil") + op(0, "ok", "read", "{:a 5, :c nil}"), jepsen.Options{Model: "bank", Initial: "{:a 5, :b 2}"},
			"bank\np0 read-all \"\" [] -> [5 -9223372036854775808 -9223372036854775808] [1,2] ok \n"},
		{"a set that nobody reads", op(0, "invoke", "add", "1"), jepsen.Options{Model: "set"},
			"set\np0 add \"\" [1] -> [] [1,1] info no completion recorded\n"},
		{"keys that print alike", op(0, "invoke", "read", "[3 nil]") + op(1, "invoke", "read", `["3" nil]`), jepsen.Options{},
			"register\np0 read \"3\" [] -> [] [1,2] info no completion recorded\np1 read \"\\\"3\\\"\" [] -> [] [2,2] info no completion recorded\n"},
		{"what a failed swap saw", op(0, "invoke", "cas", "[1 2]") + "{:process 0, :type :fail, :f :cas, :saw 5}", jepsen.Options{},
			"register\np0 cas \"\" [1 2] -> [5] [1,2] fail \n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			made, err := jepsen.Read(strings.NewReader(test.text), test.options)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, brief(made)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	invoke := op(3, "invoke", "read", "nil")
	for _, test := range []struct{ text, want string }{
		{"", "holds no operation of a client"},
		{"; only a comment\n", "holds no operation of a client"},
		{"\n" + op(3, "ok", "read", "1"), "line 2: p3 completes :read, but it has no open operation"},
		{invoke + op(3, "ok", "write", "1"), "line 2: p3 completes :write, but its open operation is the :read of line 1"},
		{invoke + "\n" + invoke, "line 3: p3 invokes :read, but its :read of line 1 is still open"},
		{invoke + op(3, "info", "read", "nil") + invoke, "line 3: p3 invokes :read, but retired with the :info of line 2"},
		{"{:process 0 :type :invoke :f :read :time -5}", "line 1: :time -5 is out of range"},
		{op(0, "invoke", "write", "1") + op(1, "invoke", "fly", "1"), "line 2: unknown :f :fly (there are :cas, :get, :put, :read, :write)"},
		{op(0, "begin", "write", "1"), `line 1: unknown :type "begin"`},
		{"{:type :invoke, :f :read}", "line 1: an operation without a :process"},
		{"{:type :invoke, :process 0}", "line 1: an operation without an :f"},
		{"[1 2]", "line 1: \"1\" is not an operation"},
		{op(0, "invoke", "txn", "[]"), "Elle"},
		{op(0, "invoke", "fly", "1"), "no model is recognized by the operations, which are :fly; name it with --model"},
		{op(0, "invoke", "cas", "1"), "line 1: the :cas of p0 has the :value 1; want [expected new]"},
		{op(0, "invoke", "write", "1") + "{:process 0", "line 2 is cut off"},
		{op(0, "invoke", "write", "1") + "{:process 0}}", "line 2: unknown :type"},
		{op(0, "invoke", "write", "1") + "}", `line 2: unexpected '}'`},
		{op(0, "invoke", "write", `"\q"`), `line 1: unknown escape \q in a string`},
		{op(0, "invoke", "write", "{1}"), "line 1: a map has a key without a value"},
		{op(0, "invoke", "write", strings.Repeat("[", 200)), "line 1: values are nested more than 100 deep"},
		{op(0, "invoke", "drain", "nil"), "line 1: the :drain of p0 has no known outcome"},
		{op(0, "invoke", "write", "[1 2]") + op(0, "ok", "write", "[3 2]"), "line 2: p0 completes :write of the key 1 with [3 2]; want a [key value] tuple of that key"},
		{op(0, "invoke", "append", `"a"`) + op(1, "invoke", "append", `"ab"`), `line 2: "ab" begins with "a"`},
		{op(0, "invoke", "append", `"a"`) + op(1, "invoke", "append", `"a"`) + op(2, "invoke", "get", "nil") + op(2, "ok", "get", `"a"`),
			`line 2: "a" was written on line 1, too, and it cannot be told`},
		// Here each of the appends creates "a" once, because the key is emptied in between.
		{op(0, "invoke", "append", `"a"`) + op(0, "ok", "append", "nil") + op(1, "invoke", "get", "nil") + op(1, "ok", "get", `"a"`) +
			op(0, "invoke", "put", `""`) + op(0, "ok", "put", `""`) + op(0, "invoke", "append", `"a"`) + op(0, "ok", "append", "nil") +
			op(1, "invoke", "get", "nil") + op(1, "ok", "get", `"a"`), `line 7: "a" was written on line 1, too`},
		{op(0, "invoke", "transfer", "{:from 0}"), "line 1: the :transfer of p0 has the :value {:from 0}"},
		{op(0, "invoke", "transact", "[[:w 1 2] [:r 1 nil]]"), "line 1: an operation of this history is a transaction"},
		{"{:type :invoke, :process 0, :value [[:append 1 2]]}", "Elle"},
		{"{:type :invoke, :f :read, :value [[:r 1 2]]}", "Elle"},
		{"{\"type\":\"invoke\",\"f\":\"read\"}", "line 1: an operation without a :process"},
		{"[{\"type\":\"invoke\",\"process\":0,\"f\":\"read\"},\n{\"type", "line 2 is cut off"},
		{"INFO - 1\t:ok\t:read\t3\n", "line 1: p1 completes :read"},
	} {
		made, err := jepsen.Read(strings.NewReader(test.text), jepsen.Options{})
		message := fmt.Sprint(err)
		if err == nil {
			message = made.History.Torn
		}
		if !strings.Contains(message, test.want) || strings.Contains(message, "\n") {
			t.Errorf("%.80q: got %q, want %q", test.text, message, test.want)
		}
	}
}

// An invocation that stands behind a completion of the same time comes later,
// and so does what follows; times that differ stay as they are.
func TestOrderOfLinesIsOrderOfEvents(t *testing.T) {
	at := func(time int, text string) string { return fmt.Sprintf("{:time %d, %s", time, text[1:]) }
	made, err := jepsen.Read(strings.NewReader(
		at(5, op(0, "invoke", "write", "1"))+at(5, op(0, "ok", "write", "1"))+at(5, op(1, "invoke", "read", "nil"))+
			at(6, op(1, "ok", "read", "1"))+at(9, op(1, "invoke", "read", "nil"))), jepsen.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var times []time.Duration
	for _, o := range made.History.Operations {
		times = append(times, o.Invoke, o.Complete)
	}
	if diff := cmp.Diff([]time.Duration{5, 5, 6, 6, 9, 9}, times); diff != "" {
		t.Error(diff)
	}
}
