// Package pieces makes sets of operations smaller (after Zeller & Hildebrandt, "Simplifying
// and isolating failure-inducing input", IEEE Trans. Software Eng. 28(2), 2002).
package pieces

import "context"

// Leave tries to leave out ever smaller pieces of something of the given length, until ctx
// ends: leave is asked for those from a place up to another, and returns how many remain of
// all; if as many as before, it could not.
func Leave(ctx context.Context, length int, leave func(from, to int) int) {
	for size := (length + 1) / 2; size > 0; size /= 2 {
		for from := 0; from < length && ctx.Err() == nil; {
			left := leave(from, min(from+size, length))
			if left == length {
				from += size
			}
			length = left
		}
	}
}
