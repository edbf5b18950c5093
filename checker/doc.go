// Package checker judges histories: does one sequential history explain what
// every client saw? It says what went wrong in a sentence, and proves it with a few
// operations:
//
//	run := &history.Run{History: history.History{Operations: []history.Operation{
//		{Process: 2, Node: "n1", Kind: history.Write, Key: "k3", Input: history.Ints(41), Invoke: 1 * s, Complete: 2 * s, Outcome: history.OK},
//		{Process: 2, Node: "n1", Kind: history.Write, Key: "k3", Input: history.Ints(57), Invoke: 3 * s, Complete: 4 * s, Outcome: history.OK},
//		{Process: 7, Node: "n3", Kind: history.Read, Key: "k3", Output: history.Ints(41), Invoke: 6 * s, Complete: 7 * s, Outcome: history.OK},
//	}}}
//	result := checker.Check(ctx, run, checker.Register, checker.Options{})
//	fmt.Println(result.Verdict)                // invalid
//	fmt.Println(result.Violations[0].Sentence) // p7 read k3 = 41 through n3 at 6.000 s, 2.000 s after k3 = 57 had been acknowledged to p2 through n1.
//
// It knows harness/history and nothing else of this module, so it can be used alone, on
// a history from anywhere. ModelOf holds a history against a porcupine.Model of your own,
// CheckOperations judges Porcupine's own operations, Compose makes one model of several,
// and a Stream watches registers while a history is being made.
//
// # Verdicts
//
// Valid and Invalid are proven, everything else is Unknown: an exhausted budget, a
// cancelled context, an operation that the model does not know, overlapping
// operations of one process on a lock. Result.Reason says which, and what to do.
// Result.Decisions name the engine that decided each key. A Violation has operations
// that Porcupine, on these alone, has found not linearizable (Herlihy & Wing,
// "Linearizability: a correctness condition for concurrent objects", TOPLAS 12(3), 1990);
// what it does not confirm is not told, unless a ModelFunc says so. Package anomaly says what each anomaly is, and how
// stale reads and lost commits are counted.
//
// # What an operation says
//
// An acknowledged operation took effect at one moment of its closed interval. A
// failed one never did. One of unknown outcome may take effect at any moment after
// its invocation, or never: it returns at infinity. If it only observes, it says
// nothing.
//
// A register holds nothing until it is written. A failed compare-and-set that
// recorded what it saw instead is a read of that; one that did not, and failed
// without an error, says that the register held anything else than it expected, or
// nothing; with an error it says nothing. A compare-and-set of a value for itself
// is a read of it.
//
// # Models and engines
//
// Keys are independent objects, so each is judged alone.
//
//	Register  read, write, compare-and-set     zones        n log n
//	                                           search       exponential at worst
//	Set       add, read all                    polynomial   reads × elements
//	Counter   increment, read                  polynomial   n log n, equal increments
//	                                           porcupine    exponential at worst
//	Queue     enqueue, dequeue; FIFO           polynomial   n log n
//	TotalQueue  the same, in no order          polynomial   n log n
//	VersionedRegister  as Register, versions   porcupine    exponential at worst
//	Lock, ReentrantLock  acquire, release,     polynomial   n log n
//	          use; tokens
//	Bank(Of)  transfer, read all               polynomial   n log n, of the bank property
//	                                           porcupine    exponential at worst, of an order
//	IDs       generate                         polynomial   n log n
//	ModelOf   any of Porcupine's               search,      exponential at worst
//	                                           porcupine
//
// To decide is NP-complete in general (Gibbons & Korach, "Testing shared memories",
// SIAM J. Comput. 26(4), 1997). What is not exponential here needs an assumption on the
// history: that no value is written, added or enqueued twice, or that all increments are
// equal. Where it does not hold, registers are searched, counters put before Porcupine,
// and sets and queues left unknown. The theory and the proofs stand beside the code, in
// the rooms of checker/internal: zones after Gibbons & Korach, search after Lowe, court
// around Porcupine, a room a model.
//
// Options.Engine forces an engine; else each key gets the first that is exact for it.
// Options.Budget bounds time and memory. When the time is over, what has been
// decided counts, and all other keys are unknown; so is a key whose search would
// outgrow the memory, while the others go on.
//
// # Trials
//
// A run of this harness, unlike a history from elsewhere, says what else happened, and
// promises more: that clients used all that the workload has, and looked for what they
// had stored. So Check asks more of it.
//
//   - A node that ended by itself, a line in a log that the target's patterns forbid,
//     and a cluster that served no read, or no update, in all its time for recovery
//     are violations, though no operation is their witness. A claim can admit them.
//   - An acknowledged update is covered if, after the faults were healed and after its
//     acknowledgement, a read of its key, or of the whole set, succeeded, or a dequeue
//     found its queue empty, through any node. Ids and locks need no cover. If an
//     update is not covered, if a node did not serve again, or if the final phase is
//     missing, the verdict is Unknown unless it is Invalid, and Result.Gaps say why.
//   - A run in which fewer than a tenth of the operations were answered, or in which no
//     operation of some kind was acknowledged, is Vacuous unless it is Invalid: it
//     tested nothing, and is no pass.
package checker
