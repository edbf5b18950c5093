package reports

import (
	"fmt"
	"slices"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/counts"
)

// countFigures are those of counters, banks and ids, as far as an entry has them.
func countFigures(entries []Entry) []figure {
	return slices.Concat(
		figuresOf(entries, func(r checker.Result) *counts.Counter { return r.Counter }, []detail[counts.Counter]{
			{"counter: acknowledged / unknown", func(c *counts.Counter) string {
				return fmt.Sprintf("%d / %d", c.Acknowledged, c.Unknown)
			}},
			{"counter: final, lost", func(c *counts.Counter) string {
				return fmt.Sprintf("%d to %d, %d to %d", c.FinalLeast, c.FinalMost, c.LostLeast, c.LostMost)
			}},
		}),
		figuresOf(entries, func(r checker.Result) *counts.Bank { return r.Bank }, []detail[counts.Bank]{
			{"bank: moved / refused / unknown", func(b *counts.Bank) string {
				return count(b.Transferred) + " / " + count(b.Refused) + " / " + count(b.Unknown)
			}},
			{"bank: wrong totals / negative", func(b *counts.Bank) string {
				return count(b.WrongTotal) + " / " + count(b.Negative)
			}},
			{"bank: an order was found", func(b *counts.Bank) string {
				if b.Ordered {
					return "yes"
				}
				return "no"
			}},
		}),
		figuresOf(entries, func(r checker.Result) *counts.IDs { return r.IDs }, []detail[counts.IDs]{
			{"ids: given / given twice", func(i *counts.IDs) string {
				return count(i.Acknowledged) + " / " + count(i.Duplicated)
			}},
		}))
}

// A detail is a figure of one part of a result.
type detail[T any] struct {
	name  string
	value func(*T) string
}

// figuresOf makes figures of the details, none if no entry has them.
func figuresOf[T any](entries []Entry, of func(checker.Result) *T, details []detail[T]) []figure {
	if !slices.ContainsFunc(entries, func(e Entry) bool { return of(e.Result) != nil }) {
		return nil
	}
	var all []figure
	for _, p := range details {
		all = append(all, figure{p.name, func(e Entry) string {
			if of(e.Result) == nil {
				return unmeasured
			}
			return p.value(of(e.Result))
		}})
	}
	return all
}
