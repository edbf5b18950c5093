package reports

import (
	"fmt"
	"strings"

	"github.com/rashomon-io/rashomon/checker"
)

// countRows are what the result's model counts beside the figures, if it does.
func countRows(r checker.Result) (rows [][]string) {
	add := func(name, value string) { rows = append(rows, []string{name, value}) }
	if s := r.Set; s != nil {
		add("set: ok / lost / stale", slashed(s.OK, s.Lost, s.Stale))
		add("set: recovered / never read", slashed(s.Recovered, s.NeverRead))
		add("set: unexpected", slashed(s.Unexpected))
	}
	if q := r.Queue; q != nil {
		add("queue: acknowledged / dequeued", slashed(q.Acknowledged, q.Dequeued))
		add("queue: duplicated / unexpected", slashed(q.Duplicated, q.Unexpected))
		add("queue: out of order / not empty", slashed(q.OutOfOrder, q.NotEmpty))
	}
	if l := r.Lock; l != nil {
		add("lock: holds / held twice", slashed(l.Holds, l.HeldTwice))
		add("lock: uses / refused", slashed(l.Uses, l.Refused))
		add("lock: corrupted", slashed(l.Corrupted))
	}
	if c := r.Counter; c != nil {
		add("counter: acknowledged / unknown", fmt.Sprintf("%d / %d", c.Acknowledged, c.Unknown))
		add("counter: final, lost", fmt.Sprintf("%d to %d, %d to %d", c.FinalLeast, c.FinalMost, c.LostLeast, c.LostMost))
	}
	if b := r.Bank; b != nil {
		ordered := "no"
		if b.Ordered {
			ordered = "yes"
		}
		add("bank: moved / refused / unknown", slashed(b.Transferred, b.Refused, b.Unknown))
		add("bank: wrong totals / negative", slashed(b.WrongTotal, b.Negative))
		add("bank: an order was found", ordered)
	}
	if i := r.IDs; i != nil {
		add("ids: given / given twice", slashed(i.Acknowledged, i.Duplicated))
	}
	return rows
}

// slashed is counts side by side: "12 / 3".
func slashed(counts ...int) string {
	var texts []string
	for _, n := range counts {
		texts = append(texts, count(n))
	}
	return strings.Join(texts, " / ")
}
