// Package checker judges histories: does one sequential history explain what
// every client saw? It decides linearizability (Herlihy & Wing, "Linearizability:
// a correctness condition for concurrent objects", TOPLAS 12(3), 1990), says what
// went wrong in a sentence, and proves it with a few operations. It knows
// harness/history and nothing else of this module, and is meant to be used alone,
// on a history from anywhere:
//
//	run := &history.Run{History: history.History{Operations: operations}}
//	result := checker.Check(ctx, run, checker.Register, checker.Options{})
//
// CheckOperations judges histories and models that are written for Porcupine, as
// they are. A Stream watches registers while a history is being made.
//
// # Models
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
//	any of Porcupine's                         porcupine,   exponential at worst
//	                                           search
//
// To decide is NP-complete in general (Gibbons & Korach, "Testing shared memories",
// SIAM J. Comput. 26(4), 1997). What is not exponential here needs an assumption
// on the history: that no value is written, added or enqueued twice, or that all
// increments are equal. Each model says what it assumes and why its method is
// exact. Where the assumption does not hold, registers are searched, counters put
// before Porcupine, and sets and queues left unknown.
//
// # Verdicts
//
// Valid and Invalid are proven, everything else is Unknown: an exhausted budget, a
// cancelled context, an operation that the model does not know, overlapping
// operations of one process on a lock. Result.Reason says which, and what to do.
// Result.Decisions name the engine that decided each key. The verdict on a bank is
// one on less than linearizability; see Bank.
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
// # Engines
//
// Options.Engine forces one; else each key gets the first that is exact for it.
//
// Zones decides registers by intervals (internal/zones holds the theory, after
// Gibbons & Korach), with one exception: a compare-and-set that failed without
// telling what it saw, for which it finds neither a place nor a proof that there is
// none.
//
// Search is just-in-time linearization (Lowe, "Testing for linearizability",
// Concurrency and Computation: Practice and Experience 29(4), 2017, which goes back
// to Wing & Gong, J. Parallel Distrib. Comput. 17, 1993), narrow at first. It takes
// registers with repeated values and Porcupine's models; all keys take turns, so
// that one which is hard starves no other.
//
// Porcupine is Wing & Gong's search as well, depth first, with Lowe's cache of
// configurations and partitions by key (Horn & Kroening, "Faster linearizability
// checking via P-compositionality", FORTE 2015). It is the court of appeal, and
// says whether a witness is one.
//
// Polynomial stands for the other models' own methods. Those of queues follow
// Henzinger, Sezgin & Vafeiadis (CONCUR 2013) and Bouajjani, Emmi, Enea & Hamza
// (ICALP 2015); that of sets, Jepsen's set-full.
//
// # Budget
//
// Options.Budget bounds time and memory. When the time is over, what has been
// decided counts, and all other keys are unknown; so is a key whose search would
// outgrow the memory, while the others go on.
//
// # Witnesses
//
// Every violation shows operations that Porcupine has found not linearizable on
// their own, as few as were found. What it does not confirm is not shown, and does
// not make a verdict. Two facts make that possible for registers.
//
// Unneeded unknowns may go. Call a value needed if an acknowledged operation
// observed it, or if a compare-and-set of unknown outcome, whose own new value
// is needed, expects it. An operation of unknown outcome whose value is not
// needed can be taken out of any order that explains the history: only others
// of its sort observed it. So dropping them all changes no verdict, and spares
// Porcupine a factor for each. They stay where a failed compare-and-set may need
// them to have replaced what it expected.
//
// Closed subsets suffice. A subset of a key's operations is closed if it holds,
// with an operation that observes a value, whatever may have written what it saw:
// every write or compare-and-set of the value, here called a source, except
//
//   - those invoked after the observer completed;
//   - those that are superseded: x is, for observer r, if the subset holds an
//     acknowledged write, compare-and-set or read that was invoked after x
//     completed, and completed before r was invoked;
//   - of those whose outcome is unknown and which have the same effect, all but the
//     first invoked, as many as there are observers of the value in the subset.
//
// A closed subset that is not linearizable convicts the whole, so a witness of
// three operations outweighs a history of a million. For take an order that
// explains the whole; we show that an order explains the subset.
//
// Consider an observer r of the subset, and x, the last to have written before it.
// It was invoked before r completed. If it is superseded, an operation of the
// subset comes between the two in every order; as that did not write, it is an
// observer that saw x as well, and the first of these in the order cannot find x
// superseded. So x is in the subset, or its outcome is unknown. Such x of unknown
// outcome, of all r, are exchanged: in their places in the order, put those of the
// same effect that were invoked first, in the order of their invocation. They have
// been invoked by then, as before the n-th place n of them were. They are in the
// subset, as no two of the x share an observer. Now take out whatever is not in the
// subset, and move its other operations of unknown outcome to the end, where they
// harm nobody. The last to write before each observer has the same effect as
// before; who saw nothing had nobody write before, and has nobody now. (A
// compare-and-set of unknown outcome is an observer if it is exchanged; then it
// takes effect before an acknowledged observer, and needs no source invoked after
// the last of these completed.)
//
// A failed compare-and-set that says what was not there, v, observes anything
// else. Its sources are the writes of other values, as above, which may have come
// after the first invocation of a write of v in the subset: without one of
// these it needs none. Nor does it if the subset holds one write of v only and an
// acknowledged operation that observed v later: then that write had not come before.
//
// A witness also holds one write of what was seen, even if it is superseded, so that
// it tells where the value came from. No operation of the history that is added to it
// makes it linearizable.
//
// A witness closes a contradiction that zones found, a stale read, lost commit or
// double swap as package anomaly defines them, or some of the operations that a search found
// impossible. It is put before Porcupine, and made smaller as long as it stays
// closed and not linearizable. If it is more than a handful because of
// compare-and-sets, each of which needs the sources of what it expects, then these
// are cut: the first one shown counts as a write, whatever it expected, which only
// makes the history easier to explain. A write that supersedes many sources is
// taken into it. Of a compare-and-set that failed although zones has proven that
// nothing replaced what it expected, it holds what zones proves it with.
package checker
