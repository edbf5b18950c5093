package reports

import (
	"fmt"
	"slices"

	"github.com/rashomon-io/rashomon/checker"
)

// countFigures are those of counters, banks and ids, as far as an entry has them.
func countFigures(entries []Entry) []figure {
	return slices.Concat(
		figuresOf(entries, func(r checker.Result) *checker.CounterResult { return r.Counter }, []detail[checker.CounterResult]{
			{"counter: acknowledged / unknown", func(c *checker.CounterResult) string {
				return fmt.Sprintf("%d / %d", c.Acknowledged, c.Unknown)
			}},
			{"counter: final, lost", func(c *checker.CounterResult) string {
				return fmt.Sprintf("%d to %d, %d to %d", c.FinalLeast, c.FinalMost, c.LostLeast, c.LostMost)
			}},
		}),
		figuresOf(entries, func(r checker.Result) *checker.BankResult { return r.Bank }, []detail[checker.BankResult]{
			{"bank: moved / refused / unknown", func(b *checker.BankResult) string {
				return count(b.Transferred) + " / " + count(b.Refused) + " / " + count(b.Unknown)
			}},
			{"bank: wrong totals / negative", func(b *checker.BankResult) string {
				return count(b.WrongTotal) + " / " + count(b.Negative)
			}},
			{"bank: an order was found", func(b *checker.BankResult) string {
				if b.Ordered {
					return "yes"
				}
				return "no"
			}},
		}),
		figuresOf(entries, func(r checker.Result) *checker.IDsResult { return r.IDs }, []detail[checker.IDsResult]{
			{"ids: given / given twice", func(i *checker.IDsResult) string {
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
