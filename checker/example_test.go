package checker_test

import (
	"context"
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/history"
)

// The examples' times are in milliseconds.
const ms = time.Millisecond

// judge is what most programs do with a Result.
func judge(model checker.Model, operations ...history.Operation) {
	run := &history.Run{History: history.History{Operations: operations}}
	result := checker.Check(context.Background(), run, model, checker.Options{})
	fmt.Println(result.Verdict)
	for _, violation := range result.Violations {
		fmt.Println(violation.Sentence)
	}
}

func ExampleCheck_register() {
	run := &history.Run{History: history.History{Operations: []history.Operation{
		{Process: 2, Node: "n1", Kind: history.Write, Key: "k3", Input: history.Ints(41), Invoke: 1000 * ms, Complete: 2000 * ms, Outcome: history.OK},
		{Process: 2, Node: "n1", Kind: history.Write, Key: "k3", Input: history.Ints(57), Invoke: 3000 * ms, Complete: 4000 * ms, Outcome: history.OK},
		{Process: 7, Node: "n3", Kind: history.Read, Key: "k3", Output: history.Ints(41), Invoke: 6000 * ms, Complete: 7000 * ms, Outcome: history.OK},
	}}}
	result := checker.Check(context.Background(), run, checker.Register, checker.Options{})
	fmt.Println(result.Verdict, "with", result.StaleReads, "stale read")
	fmt.Println(result.Violations[0].Sentence)
	// Output:
	// invalid with 1 stale read
	// p7 read k3 = 41 through n3 at 6.000 s, 2.000 s after k3 = 57 had been acknowledged to p2 through n1.
}

// A write of unknown outcome may have taken effect, at any time; two reads may
// tell. An operation without an Outcome has an unknown one.
func ExampleCheck_unknownOutcome() {
	judge(checker.Register,
		history.Operation{Process: 1, Kind: history.Write, Input: history.Ints(1), Invoke: 0, Complete: 10 * ms},
		history.Operation{Process: 2, Kind: history.Read, Invoke: 20 * ms, Complete: 30 * ms, Outcome: history.OK},
		history.Operation{Process: 2, Kind: history.Read, Output: history.Ints(1), Invoke: 40 * ms, Complete: 50 * ms, Outcome: history.OK},
	)
	// Output:
	// valid
}

// A history that makes no sense is unknown, and the reason says which operation it
// is.
func ExampleCheck_reason() {
	run := &history.Run{History: history.History{Operations: []history.Operation{
		{Process: 1, Kind: history.Write, Key: "k3", Input: history.Ints(1), Invoke: 20 * ms, Complete: 10 * ms, Outcome: history.OK},
	}}}
	result := checker.Check(context.Background(), run, checker.Register, checker.Options{})
	fmt.Println(result.Verdict)
	fmt.Println(result.Reason)
	// Output:
	// unknown
	// operation 1 (p1 "write" "k3" at 0.020 s) completes before it is invoked; a register history cannot be judged with it
}

func ExampleCheck_set() {
	judge(checker.Set,
		history.Operation{Process: 1, Kind: history.Add, Input: history.Ints(17), Invoke: 0, Complete: 10 * ms, Outcome: history.OK},
		history.Operation{Process: 2, Kind: history.ReadAll, Invoke: 20 * ms, Complete: 30 * ms, Outcome: history.OK},
	)
	// Output:
	// invalid
	// element 17 had been acknowledged to p1 at 0.010 s, yet p2 read the set without 17 at 0.020 s: the element is lost.
}

func ExampleCheck_counter() {
	judge(checker.Counter,
		history.Operation{Process: 1, Kind: history.Increment, Input: history.Ints(1), Invoke: 0, Complete: 10 * ms, Outcome: history.OK},
		history.Operation{Process: 1, Kind: history.Increment, Input: history.Ints(1), Invoke: 20 * ms, Complete: 30 * ms, Outcome: history.OK},
		history.Operation{Process: 2, Kind: history.Read, Output: history.Ints(3), Invoke: 20 * ms, Complete: 40 * ms, Outcome: history.OK},
	)
	// Output:
	// invalid
	// p2 read the counter = 3 at 0.040 s, but the increments invoked by then come to 2 at most.
}

func ExampleCheck_queue() {
	judge(checker.Queue,
		history.Operation{Process: 1, Key: "jobs", Kind: history.Enqueue, Input: history.Ints(17), Invoke: 0, Complete: 10 * ms, Outcome: history.OK},
		history.Operation{Process: 2, Key: "jobs", Kind: history.Dequeue, Invoke: 20 * ms, Complete: 30 * ms, Outcome: history.OK},
	)
	// Output:
	// invalid
	// the enqueue of 17 had been acknowledged to p1 at 0.010 s, yet p2 found queue jobs empty at 0.020 s, and nobody ever dequeued 17: the element is lost.
}

func ExampleCheck_lock() {
	judge(checker.Lock,
		history.Operation{Process: 1, Key: "leader", Kind: history.Acquire, Invoke: 0, Complete: 10 * ms, Outcome: history.OK},
		history.Operation{Process: 2, Key: "leader", Kind: history.Acquire, Invoke: 20 * ms, Complete: 30 * ms, Outcome: history.OK},
		history.Operation{Process: 1, Key: "leader", Kind: history.Release, Invoke: 40 * ms, Complete: 50 * ms, Outcome: history.OK},
	)
	// Output:
	// invalid
	// p2 acquired lock leader at 0.030 s, while p1 held it, from 0.010 s to 0.040 s at least.
}

func ExampleBank() {
	judge(checker.Bank(2, 100),
		history.Operation{Process: 1, Kind: history.Transfer, Input: history.Ints(0, 1, 5), Invoke: 0, Complete: 10 * ms, Outcome: history.OK},
		history.Operation{Process: 2, Kind: history.ReadAll, Output: history.Ints(95, 100), Invoke: 20 * ms, Complete: 30 * ms, Outcome: history.OK},
	)
	// Output:
	// invalid
	// p2 read balances at 0.030 s that sum up to 195, and not to 200.
}

func ExampleCheck_uniqueIDs() {
	judge(checker.IDs,
		history.Operation{Process: 1, Kind: history.Generate, Output: history.Ints(8), Invoke: 0, Complete: 10 * ms, Outcome: history.OK},
		history.Operation{Process: 2, Kind: history.Generate, Output: history.Ints(8), Invoke: 5 * ms, Complete: 15 * ms, Outcome: history.OK},
	)
	// Output:
	// invalid
	// p2 got the id 8 at 0.015 s, 5 ms after p1 had got it.
}

// An engine is forced for a second opinion; a budget that does not suffice makes
// the verdict unknown.
func ExampleOptions() {
	run := &history.Run{History: history.History{Operations: []history.Operation{
		{Process: 1, Kind: history.Write, Input: history.Ints(1), Invoke: 0, Complete: 10 * ms, Outcome: history.OK},
		{Process: 2, Kind: history.Read, Output: history.Ints(1), Invoke: 20 * ms, Complete: 30 * ms, Outcome: history.OK},
	}}}
	for _, options := range []checker.Options{
		{Engine: checker.Porcupine, Budget: checker.Budget{Time: 10 * time.Second, MemoryBytes: 1 << 30}},
		{Engine: checker.Porcupine, Budget: checker.Budget{MemoryBytes: 1}},
	} {
		result := checker.Check(context.Background(), run, checker.Register, options)
		fmt.Println(result.Verdict)
		fmt.Println(result.Reason)
	}
	// Output:
	// valid
	//
	// unknown
	// key "": Porcupine needs more than the memory budget of 0 MiB for 2 operations, at least 1 MiB; raise it, or spread the operations over more keys
}

// A model that is written for Porcupine, here of a stack, and its histories.
func ExampleCheckOperations() {
	type push struct{ value string }
	type pop struct{}
	stack := porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			held := state.(string)
			if in, ok := input.(push); ok {
				return true, held + in.value
			}
			if held == "" {
				return output == "", held
			}
			top := len(held) - 1
			return output == held[top:], held[:top]
		},
		DescribeOperation: func(input, output any) string {
			if in, ok := input.(push); ok {
				return "push " + in.value
			}
			return fmt.Sprintf("pop of %q", output)
		},
	}
	operations := []porcupine.Operation{
		{ClientId: 0, Input: push{"a"}, Call: 0, Return: 10},
		{ClientId: 0, Input: push{"b"}, Call: 20, Return: 30},
		{ClientId: 1, Input: pop{}, Output: "a", Call: 40, Return: 50},
		{ClientId: 0, Input: push{"c"}, Call: 45, Return: 60},
	}
	result := checker.CheckOperations(context.Background(), stack, operations, checker.Options{})
	fmt.Println(result.Verdict)
	fmt.Println(result.Violations[0].Sentence)
	for _, o := range result.Violations[0].Witness {
		fmt.Println("  ", o.Kind, o.Outcome)
	}
	// Output:
	// invalid
	// no order explains p1's pop of "a" from 40 to 50 together with 2 operations that had returned by then, whatever became of 1 operation that had not.
	//    push a ok
	//    push b ok
	//    pop of "a" ok
	//    push c info
}

// A stream is told of events as they happen, and knows of a violation with the
// completion that proves it.
func ExampleStream() {
	stream := checker.NewStream()
	for _, o := range []history.Operation{
		{Process: 1, Kind: history.Write, Key: "x", Input: history.Ints(1), Invoke: 0, Complete: 10 * ms, Outcome: history.OK},
		{Process: 1, Kind: history.Write, Key: "x", Input: history.Ints(2), Invoke: 20 * ms, Complete: 30 * ms, Outcome: history.OK},
		{Process: 2, Kind: history.Read, Key: "x", Output: history.Ints(1), Invoke: 40 * ms, Complete: 50 * ms, Outcome: history.OK},
	} {
		stream.Invoke(&o)
		stream.Complete(&o)
	}
	fmt.Println(stream.Alarm())
	// Output:
	// stale read of "x" by p2 at 0.050 s
}
