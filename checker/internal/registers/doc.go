// Package registers decides histories of registers: read, write and compare-and-set.
//
// Zones decides them by intervals (internal/zones holds the theory, after Gibbons &
// Korach), with two exceptions: repeated values, and a compare-and-set that failed
// without telling what it saw, for which it finds neither a place nor a proof that there
// is none. These are searched (internal/search, after Lowe), and all keys take turns, so
// that one which is hard starves no other.
//
// # Witnesses
//
// Every violation shows operations that Porcupine has found not linearizable on
// their own, as few as were found. What it does not confirm is not shown, and does
// not make a verdict. Two facts make that possible.
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
// A closed subset that is not linearizable shows that the whole is not, so a witness of
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
// A witness closes a candidate that zones found, a stale read, lost commit or
// double swap as package anomaly defines them, or some of the operations that a search found
// impossible. It is put before Porcupine, and made smaller as long as it stays
// closed and not linearizable. If it is more than a handful because of
// compare-and-sets, each of which needs the sources of what it expects, then these
// are cut: the first one shown counts as a write, whatever it expected, which only
// makes the history easier to explain. A write that supersedes many sources is
// taken into it. Of a compare-and-set that failed although zones has proven that
// nothing replaced what it expected, it holds what zones proves it with.
package registers
