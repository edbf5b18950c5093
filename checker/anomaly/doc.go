// Package anomaly names what a history can show that no order explains, and what a
// trial can show besides.
//
// # Cases
//
// An observer is an acknowledged read or compare-and-set, or a failed
// compare-and-set that recorded what it saw. Its sources are the writes and
// compare-and-sets of the value that it saw, without those that failed and
// those invoked after it completed. Where there are several, nobody knows which
// of them it saw; and nobody knows when an operation of unknown outcome was
// over. A case settles both, for each of them. In a case, an operation is over
// when it was acknowledged, when an observer that saw it completed, or, its
// outcome being unknown, at any moment from its invocation on or never,
// whichever is earliest. It is shown when it was acknowledged, or when an
// observer that saw it completed. An observer saw older than w, a write or
// compare-and-set of another value than it saw, if it saw nothing, if what it
// saw was over before w was invoked, or if w is an acknowledged compare-and-set
// that replaced just that.
//
// Stale reads and lost commits are counted with bounds (counts.Bounds): certain are those of
// every case, possible those of some. With values that are written once they
// differ only by reads of values whose writes have an unknown outcome. A
// linearizable history has none that is certain. Both bounds are exact. An operation that nobody saw and nobody acknowledged was
// promised to nobody, so it makes no read stale. A compare-and-set of a value to
// itself changes nothing, and is a read where it was acknowledged.
//
// # Stale reads
//
// A read is an observer that wrote nothing. In a case, it is stale if it saw
// older than some w that had been shown when the read was invoked; if all there
// is to say is that w replaced what it saw, w must have been acknowledged by
// then. A read that saw something without a source is a phantom read, and not
// stale. Each read is judged by itself.
//
// A certainly stale read has an age: from the moment when the first such w was
// shown to the read's invocation, in the case where that is least. Its versions
// are the operations that took effect in every case before the read was
// invoked, and were invoked after what it saw was over; at least one.
//
// Several reads may be at odds although none is stale by itself: one saw the
// newer of two concurrent writes, a later one the older. If the writes and
// compare-and-sets of a witness can be ordered without its reads, then one of
// the reads was stale, whichever the order was; the violation is a stale read,
// and if none of them is stale by itself it counts as one. Of those that share
// a read, one is counted.
//
// # Lost commits
//
// An acknowledged write or compare-and-set w is lost, in a case, if what was
// seen of its key later was older, in one of two ways.
//
//   - At the end: at least one read of the key was invoked in the final phase,
//     all of those were invoked after w.Complete, and each saw older than w.
//   - By a swap: an acknowledged compare-and-set that was invoked after
//     w.Complete saw older than w.
//
// A history without a final phase knows only the second. A value that was duly
// overwritten is not lost. A read that misses a lost commit is told as that of it if
// nobody who completed later had seen it again, and as a stale read if somebody had.
//
// # Resurrected values
//
// A value is resurrected if it was seen, or written, then another, then the
// first again, and that cannot be told as one stale read, lost commit or double
// swap: the writes and compare-and-sets alone are at odds already.
//
// # Counts of other models
//
// The definitions above are of registers. Of a set, stale reads are the reads that
// miss an element which they had to show, and which is not lost or was shown again
// before it was; if there is none, and its reads are at odds all the same, that is one.
// Lost commits are the lost elements. Elements are added once, so both bounds are the
// same. Of a counter and a queue, see the models.
package anomaly
