package counters

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/harness/history"
)

// What is wrong with a counter is told here, with the operations that prove it; and
// where bounds do not decide, an order is searched for.

// candidates are, by the time of the read at fault, the earliest of each anomaly.
func (c *Counter) candidates(lost loss) []model.Candidate {
	var candidates []model.Candidate
	if lost.amount() > 0 {
		candidates = append(candidates, c.gone(lost))
	}
	count := map[anomaly.Name]int{}
	for _, r := range c.readsByCompletion() {
		var name anomaly.Name
		switch {
		case r.wrong(c.divisor):
			name = anomaly.WrongCount
		case r.behind() && (lost.amount() == 0 || r.value < lost.shown):
			name = anomaly.StaleRead
		}
		if name == "" || count[name] == model.PerKey {
			continue
		}
		count[name]++
		switch {
		case name == anomaly.WrongCount:
			candidates = append(candidates, c.miscounted(r))
		case c.mixed:
			candidates = append(candidates, c.outside(r))
		default:
			candidates = append(candidates, c.missing(r, r.value))
		}
	}
	model.ByTold(candidates)
	return candidates
}

// miscounted tells of a read of what no subset of the increments gives.
func (c *Counter) miscounted(r *reading) model.Candidate {
	var invoked []*addition
	for _, a := range c.additions {
		if a.call <= r.Complete {
			invoked = append(invoked, a)
		}
	}
	e := evidence{read: r}
	why := ""
	switch {
	case r.value > r.high:
		e.fits, e.may = atMost, only(invoked, up)
		why = fmt.Sprintf("the %ss invoked by then %s", c.update, c.come(r.high, "most"))
	case r.value < r.low:
		e.fits, e.may = atLeast, only(invoked, down)
		why = fmt.Sprintf("the %ss invoked by then %s", c.update, c.come(r.low, "least"))
	default:
		e.fits, e.may = func(value, sum int64) bool { return (value-sum)%c.divisor == 0 }, invoked
		why = fmt.Sprintf("all %ss are multiples of %d", c.update, c.divisor)
	}
	return c.candidate(e, anomaly.WrongCount, func(t sentence.Teller) string {
		return c.did(r) + t.When(r.Operation, r.Complete) + ", but " + why
	})
}

func up(a *addition) bool   { return a.amount > 0 }
func down(a *addition) bool { return a.amount < 0 }

func only(all []*addition, which func(*addition) bool) []*addition {
	return slices.DeleteFunc(slices.Clone(all), func(a *addition) bool { return !which(a) })
}

// come says how far increments go: "come to 7 at least".
func (c *Counter) come(sum int64, most string) string {
	if c.sign < 0 {
		most = map[string]string{"most": "least", "least": "most"}[most]
	}
	return fmt.Sprintf("come to %d at %s", c.start+c.sign*sum, most)
}

// outside tells of a read of a mixed counter, which misses what must count
// for it by the increments alone, or else since the last read before.
func (c *Counter) outside(r *reading) model.Candidate {
	e := evidence{read: r, fits: atLeast}
	bound, most, helpful := r.floor, "least", down
	if r.value > r.ceiling {
		e.fits = atMost
		bound, most, helpful = r.ceiling, "most", up
	}
	from, until := time.Duration(-1), time.Duration(-1) // the earlier read's interval
	text := func(t sentence.Teller) string {
		return fmt.Sprintf("%s%s, but the %ss acknowledged before, and those under way that help, %s",
			c.did(r), t.When(r.Operation, r.Invoke), c.update, c.come(bound, most))
	}
	if r.doneUp+r.low <= r.value && r.value <= r.doneDown+r.high {
		e.anchor = r.since
		from, until = r.since.Invoke, r.since.Complete
		text = func(t sentence.Teller) string {
			return fmt.Sprintf("%s%s, but %s%s, and the %ss since then, with those under way that help, %s",
				c.did(r), t.When(r.Operation, r.Invoke), c.had(r.since), t.At(r.since.Complete), c.update, c.come(bound, most))
		}
	}
	for _, a := range c.additions {
		switch {
		case a.call > until && a.ret < r.Invoke:
			e.must = append(e.must, a)
		case a.ret >= from && a.call <= r.Complete && helpful(a):
			e.may = append(e.may, a)
		}
	}
	return c.candidate(e, anomaly.StaleRead, text)
}

// missing tells of a read below its floor: that the counter had come above
// level, which is not less than what was read, before the read was invoked. Of the
// earlier reads that prove it, it tells of the greatest.
func (c *Counter) missing(r *reading, level int64) model.Candidate {
	var before []*addition // acknowledged before the read, by invocation
	for _, a := range c.additions {
		if a.ret < r.Invoke {
			before = append(before, a)
		}
	}
	since := make([]int64, len(before)+1) // the sum from each of them on
	for i := len(before) - 1; i >= 0; i-- {
		since[i] = since[i+1] + before[i].amount
	}
	first := 0 // of before that count besides the anchor
	e := evidence{read: r, fits: atLeast}
	for _, anchor := range c.reads {
		if anchor.Complete >= r.Invoke || anchor.wrong(c.divisor) || e.anchor != nil && anchor.value <= e.anchor.value {
			continue
		}
		from, _ := slices.BinarySearchFunc(before, anchor.Complete+1, func(a *addition, call time.Duration) int { return cmp.Compare(a.call, call) })
		if anchor.value+since[from] > level {
			e.anchor, first = anchor, from
		}
	}
	reached := int64(0)
	if e.anchor != nil {
		reached = e.anchor.value
	}
	sum := int64(0)
	for _, a := range slices.SortedStableFunc(slices.Values(before[first:]), func(a, b *addition) int { return cmp.Compare(a.ret, b.ret) }) {
		if reached+sum > level {
			break
		}
		sum += a.amount
		e.must = append(e.must, a)
	}

	var had []string
	var at time.Duration
	if e.anchor != nil {
		had, at = append(had, c.had(e.anchor)), e.anchor.Complete
	}
	if n := len(e.must); n > 0 {
		had, at = append(had, fmt.Sprintf("%s by %d in all had been acknowledged", sentence.Several(n, c.update), c.sign*sum)), e.must[n-1].ret
	}
	return c.candidate(e, anomaly.StaleRead, func(t sentence.Teller) string {
		return c.did(r) + t.When(r.Operation, r.Invoke) + t.After(r.Invoke-at) + strings.Join(had, " and then ")
	})
}

// gone tells of a loss. As it takes as many increments to prove it in the end
// as were counted since, it tells first of the greatest fall from one read to
// another, if there was one.
func (c *Counter) gone(lost loss) model.Candidate {
	fell := c.missing(lost.last, lost.shown)
	var high *reading // the greatest that has completed
	fall := int64(0)
	byCompletion := c.readsByCompletion()
	done := 0
	for _, r := range c.reads {
		for ; byCompletion[done].Complete < r.Invoke; done++ {
			if d := byCompletion[done]; !d.wrong(c.divisor) && (high == nil || d.value > high.value) {
				high = d
			}
		}
		if high != nil && high.value-r.value > fall && !r.wrong(c.divisor) {
			fall = high.value - r.value
			before := high
			fell = c.candidate(evidence{read: r, anchor: high, fits: atLeast}, anomaly.StaleRead, func(t sentence.Teller) string {
				return c.had(before) + t.At(before.Complete) + ", yet " + c.did(r) + t.When(r.Operation, r.Invoke)
			})
		}
	}
	how := fell.Text
	fell.Anomaly = anomaly.LostCommit
	fell.Text = func(t sentence.Teller) string {
		return how(t) + fmt.Sprintf("; and when it had to be %d in the end, nobody read more than %d: at least %d of it is lost",
			c.start+c.sign*lost.last.floor, c.start+c.sign*lost.shown, c.sign*lost.amount())
	}
	return fell
}

// did says what a read saw: "p7 read the counter = 41 through n3".
func (c *Counter) did(r *reading) string {
	return fmt.Sprintf("p%d read %s = %d%s", r.Process, c.name, r.shown, sentence.Through(r.Operation))
}

// had says the same of one that came first.
func (c *Counter) had(r *reading) string {
	return fmt.Sprintf("p%d had read %s = %d%s", r.Process, c.name, r.shown, sentence.Through(r.Operation))
}

// Evidence is why a read is at fault: it comes after all increments that must count
// and may come after those that may, and it is after the anchor, if there is one.
// Increments that are left out only add to this: fits says whether a value can have
// been read when these come to a sum.
type evidence struct {
	read, anchor *reading
	must, may    []*addition
	fits         func(value, sum int64) bool
}

func atLeast(value, sum int64) bool { return value >= sum }
func atMost(value, sum int64) bool  { return value <= sum }
func exactly(value, sum int64) bool { return value == sum }
func whatever(_, _ int64) bool      { return true }

func (c *Counter) candidate(e evidence, name anomaly.Name, text func(sentence.Teller) string) model.Candidate {
	told := []*history.Operation{e.read.Operation}
	steps := []*countStep{{call: e.read.Invoke, ret: e.read.Complete, amount: e.read.value, fits: e.fits}}
	if e.anchor != nil {
		told = append(told, e.anchor.Operation)
		steps = append(steps, &countStep{call: e.anchor.Invoke, ret: e.anchor.Complete, amount: e.anchor.value, fits: whatever})
	}
	// No read tells the increments of a group apart, so each group is one.
	must, may := fold(e.must), fold(e.may)
	if may != nil {
		may.ret = history.Never
	}
	for _, step := range []*countStep{must, may} {
		if step != nil {
			steps = append(steps, step)
		}
	}
	for _, a := range e.must {
		told = append(told, a.Operation)
	}
	during := sentence.SpanOf(told...)
	for _, a := range e.may {
		told = append(told, a.Operation)
	}
	return model.Candidate{
		Anomaly: name, Key: c.key, Told: told, Witness: model.Witness(told), Text: text, During: during,
		First: e.read.Complete,
		Explained: func(ctx context.Context, memory *court.Memory) (bool, error) {
			return court.Linearizable[int64](ctx, memory, steps)
		},
	}
}

// fold makes one increment of many, which takes place at any time from the first
// to the last; nil if there are none.
func fold(additions []*addition) *countStep {
	if len(additions) == 0 {
		return nil
	}
	all := &countStep{call: history.Never}
	for _, a := range additions {
		all.call, all.ret = min(all.call, a.call), max(all.ret, a.ret)
		all.amount += a.amount
	}
	return all
}

// A countStep adds an amount to the sum or, if it fits, has read that amount.
type countStep struct {
	call, ret time.Duration
	amount    int64
	fits      func(value, sum int64) bool // nil for increments
}

func (s *countStep) Interval() (call, ret time.Duration) { return s.call, s.ret }

func (s *countStep) Apply(sum int64) (int64, bool) {
	if s.fits == nil {
		return sum + s.amount, true
	}
	return s.amount, s.fits(s.amount, sum)
}

// maxReads bounds the reads that a sentence tells of.
const maxReads = 4

// search puts the whole counter before Porcupine.
func (c *Counter) search(ctx context.Context, memory *court.Memory) (model.Confirmed, error) {
	explained, err := c.explained(ctx, memory, c.reads)
	if err != nil || explained {
		return model.Confirmed{}, err
	}
	reads := c.fewest(ctx, memory)
	last := slices.MaxFunc(reads, func(a, b *reading) int { return model.ByCompletion(a.Operation, b.Operation) })
	told := []*history.Operation{last.Operation}
	for _, r := range reads {
		if r != last {
			told = append(told, r.Operation)
		}
	}
	during := sentence.SpanOf(told...)
	for _, a := range c.additions {
		if a.call <= last.Complete {
			told = append(told, a.Operation)
		}
	}
	text := func(t sentence.Teller) string {
		var saw []string
		for _, r := range reads[:min(maxReads, len(reads))] {
			saw = append(saw, c.did(r)+t.When(r.Operation, r.Complete))
		}
		text := fmt.Sprintf("no order of the %s invoked by then explains that %s", sentence.Several(len(told)-len(reads), c.update), strings.Join(saw, ", that "))
		if more := len(reads) - len(saw); more > 0 {
			text += fmt.Sprintf(", and %s more", sentence.Several(more, "read"))
		}
		return text
	}
	return model.One(model.Candidate{Anomaly: anomaly.Disorder, Key: c.key, Told: told, Witness: model.Witness(told), Text: text, During: during}), nil
}

// explained asks Porcupine about some reads and all increments. One that was
// invoked after these reads completed comes last, and says nothing.
func (c *Counter) explained(ctx context.Context, memory *court.Memory, reads []*reading) (bool, error) {
	var steps []*countStep
	end := time.Duration(-1)
	for _, r := range reads {
		end = max(end, r.Complete)
		steps = append(steps, &countStep{call: r.Invoke, ret: r.Complete, amount: r.value, fits: exactly})
	}
	for _, a := range c.additions {
		if a.call <= end {
			steps = append(steps, &countStep{call: a.call, ret: a.ret, amount: a.amount})
		}
	}
	return court.Linearizable[int64](ctx, memory, steps)
}

// fewest takes reads out as long as the others cannot be explained, for at most a
// quarter of the time.
func (c *Counter) fewest(ctx context.Context, memory *court.Memory) []*reading {
	ctx, cancel := court.Share(ctx, 4)
	defer cancel()
	reads := c.reads
	for i := len(reads) - 1; i >= 0 && ctx.Err() == nil; i-- {
		without := slices.Delete(slices.Clone(reads), i, i+1)
		if explained, err := c.explained(ctx, memory, without); err == nil && !explained {
			reads = without
		}
	}
	return reads
}
