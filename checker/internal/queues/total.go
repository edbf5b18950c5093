package queues

import (
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A history is one of a queue that keeps no order iff it has no phantom read, nothing is
// dequeued twice, no dequeue finds nothing although one element or another was inside
// all the time that it took, and nothing is left in the end. For these the package
// comment tells what is certain where outcomes are unknown, and that needs no order.

// newTotalQueue adds a dequeue after all others that finds nothing.
func newTotalQueue(key string, operations []*history.Operation) (*fifo, error) {
	end := &history.Operation{Kind: history.Dequeue, Key: key, Outcome: history.OK}
	for _, o := range operations {
		end.Invoke = max(end.Invoke, o.Invoke+1, o.Complete+1)
	}
	end.Complete = end.Invoke
	q, err := newFIFO(key, append(slices.Clone(operations), end))
	if err == nil {
		q.total, q.end = true, end
	}
	return q, err
}

// byTotalSteps leaves the end, which is no operation, out of what is shown.
func (q *fifo) byTotalSteps(c model.Candidate) model.Candidate {
	c = model.ByWitness(c, newTotalSteps)
	if c.Told[0] != q.end {
		return c
	}
	lost := c.Told[1]
	c.Witness = slices.DeleteFunc(slices.Clone(c.Witness), func(o history.Operation) bool { return o.Invoke == q.end.Invoke })
	c.First = lost.Complete
	return c
}

// A totalState is what such a queue holds: elements that are to be dequeued, a
// letter each, in alphabetical order; how many others; and how many dequeues of
// unknown outcome were carried out.
type totalState struct {
	inside           string
	orphans, carried int
}

// A totalStep is an operation of such a queue as Porcupine sees it.
//
// A dequeue of unknown outcome takes an orphan, if there is one: all are alike, and
// without any other element an acknowledged dequeue would fail. When it is carried
// out is as a step says.
type totalStep struct {
	step
	orphan bool
}

// newTotalSteps takes operations ordered by Invoke.
func newTotalSteps(operations []history.Operation) []*totalStep {
	dequeued := map[int64]bool{}
	for _, o := range operations {
		if o.Kind == history.Dequeue && o.Output.Len() > 0 {
			dequeued[o.Output.At(0)] = true
		}
	}
	var steps []*totalStep
	for i, s := range newSteps(operations) {
		steps = append(steps, &totalStep{*s, s.enqueues && !dequeued[operations[i].Input.At(0)]})
	}
	return steps
}

func (s *totalStep) Interval() (call, ret time.Duration) { return s.call, s.ret }

func (s *totalStep) Apply(q totalState) (totalState, bool) {
	at := strings.Index(q.inside, s.element)
	switch {
	case s.orphan:
		q.orphans++
		return q, true
	case s.enqueues:
		letters := append([]rune(q.inside), []rune(s.element)...)
		slices.Sort(letters)
		q.inside = string(letters)
		return q, true
	case s.number > 0:
		possible := s.number == q.carried+1
		q.carried, q.orphans = s.number, max(0, q.orphans-1)
		return q, possible
	case s.element == "":
		return q, q.inside == "" && q.orphans == 0
	case at < 0:
		return q, false
	}
	q.inside = q.inside[:at] + q.inside[at+len(s.element):]
	return q, true
}
