package anymodel

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/search"
)

// A race is between those who decide.
type race struct {
	who     Who
	objects []*object
	court   *court.Memory
	memory  *search.Memory

	// doubted are those that Porcupine is to be asked about.
	doubted chan *contest

	began   time.Time
	details time.Duration // for the others when one is invalid; 0 is as long as it took
	once    sync.Once
	timer   *time.Timer // nil if none is invalid
	ended   atomic.Bool // the details did
	cancel  context.CancelFunc
}

// newRace shares the memory among those who take part.
func newRace(who Who, objects []*object, bytes uint64, details time.Duration) *race {
	searches, porcupines := bytes, bytes
	if who == All {
		searches, porcupines = bytes/2, bytes/2
	}
	return &race{
		who: who, objects: objects, court: court.NewMemory(porcupines), memory: search.NewMemory(searches),
		doubted: make(chan *contest, len(objects)),
		began:   time.Now(), details: details,
	}
}

// quickEffort is of each search before the race: half a millisecond's.
const quickEffort = 1 << 13

// invalid notes that an object is, and so is the whole: the others get the time for
// details.
func (r *race) invalid() {
	r.once.Do(func() {
		if r.details == 0 {
			r.details = max(minDetails, time.Since(r.began))
		}
		r.timer = time.AfterFunc(max(0, r.details), func() {
			r.ended.Store(true)
			r.cancel()
		})
	})
}

func (r *race) run(outer context.Context) {
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	r.cancel = cancel
	if r.who == Porcupine {
		court.Parallel(len(r.objects), func(i int) {
			share, cancel := court.Share(ctx, len(r.objects)-i)
			defer cancel()
			o := r.objects[i]
			explained, err := o.runner(share).whole(r.court)
			switch {
			case err != nil:
				o.err = err
			case explained:
				o.verdict = search.Valid
			default:
				o.verdict = search.Invalid
			}
		})
		return
	}
	contests := make([]*contest, len(r.objects))
	for i, o := range r.objects {
		contests[i] = &contest{object: o, race: r}
		contests[i].ctx, contests[i].cancel = context.WithCancel(ctx)
	}
	if !r.spare(len(contests)) {
		court.Parallel(len(contests), func(i int) { contests[i].tryQuickly() })
	}
	r.contend(ctx, contests)
	if r.timer != nil {
		r.timer.Stop()
	}
	for _, c := range contests {
		c.cancel()
		c.conclude(outer)
	}
}

// spare: there is a core for Porcupine for each of so many, beside one for the searches.
func (r *race) spare(left int) bool { return r.who == All && left < runtime.GOMAXPROCS(0) }

// tryQuickly gives each of those who may decide a little time, one after the other. One
// that finds no order says so of a history that hardly needs more of Porcupine.
func (c *contest) tryQuickly() {
	began := time.Now()
	runner := c.runner(c.ctx)
	c.quick(&c.depth, runner, search.NewDepthFirst(c.knowing(runner), c.spans, c.race.memory))
	if c.race.who == All && c.depth.verdict == search.Invalid {
		c.confirm(max(quickTime, 4*time.Since(began)))
	}
	if c.ctx.Err() == nil && c.depth.verdict == search.Invalid {
		runner = c.runner(c.ctx)
		c.quick(&c.breadth, runner, search.NewGeneric(c.knowing(runner), c.spans, c.race.memory))
	}
}

// quickTime is the least that Porcupine has for such a one.
const quickTime = 4 * time.Millisecond

// confirm asks Porcupine for so long.
func (c *contest) confirm(limit time.Duration) {
	share, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel()
	if explained, err := c.runner(share).whole(c.race.court); err == nil && explained {
		c.note(&c.porcupine, finding{verdict: search.Valid})
	} else if err == nil {
		c.note(&c.porcupine, finding{verdict: search.Invalid})
	}
}

// quick lets a search try for a short while.
func (c *contest) quick(of *finding, runner *runner, s *search.Search) {
	tried := &contender{c, of, runner, s}
	tried.Run(c.ctx, quickEffort)
	s.Stop()
}

// knowing is the model for a search, with what is declared.
func (o *object) knowing(r *runner) search.Model[any] {
	model := r.searched()
	if o.ReadOnly != nil {
		model.ReadOnly = o.declared
	}
	return model
}

// errDetails means that another object was known to be invalid.
const errDetails = court.Reason("another one is invalid, and the time for this one did not suffice after that; raise the budget for the witness")

const errDeclared = court.Reason("the engines do not agree; the model may declare an operation read-only that changes a state")

// A contest is about one object.
type contest struct {
	*object
	race   *race
	ctx    context.Context
	cancel context.CancelFunc

	mu                        sync.Mutex
	racing, asked             bool // with Porcupine; and it has been asked
	porcupine, depth, breadth finding
}

// A finding is what one contender found, once it is over.
type finding struct {
	over    bool
	verdict search.Verdict
	step    int
	err     error
}

// note enters what one found, and ends the contest if that decides it.
func (c *contest) note(of *finding, found finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil && found.verdict == search.Unknown {
		return // it was stopped
	}
	found.over = true
	*of = found
	said := map[search.Verdict]bool{}
	for _, f := range []finding{c.porcupine, c.depth, c.breadth} {
		said[f.verdict] = true
	}
	switch {
	case said[search.Valid] && said[search.Invalid]:
		c.verdict, c.err = search.Unknown, court.ErrDisagree
		if c.ReadOnly != nil {
			c.err = errDeclared
		}
	case said[search.Valid]:
		c.verdict = search.Valid
	case c.porcupine.verdict == search.Invalid, c.depth.verdict == search.Invalid && c.breadth.verdict == search.Invalid:
		c.verdict = search.Invalid
		c.race.invalid()
	default:
		return
	}
	c.cancel()
}

// doubts reports whether Porcupine is to be asked now, as the depth-first search is over.
func (c *contest) doubts() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.racing || c.asked || !c.depth.over || c.ctx.Err() != nil {
		return false
	}
	c.asked = true
	return true
}

// hasUnknown: with operations of unknown outcome, which one finds an order first is luck.
func (c *contest) hasUnknown() bool {
	return slices.ContainsFunc(c.spans, func(o search.Operation) bool { return o.Ret == search.Never })
}

// conclude says what came out.
func (c *contest) conclude(ctx context.Context) {
	c.refuted = -1
	for _, f := range []finding{c.breadth, c.depth} {
		if f.verdict == search.Invalid {
			c.agreed = f.step == c.refuted
			c.refuted = f.step
		}
	}
	if c.verdict != search.Unknown || c.err != nil {
		return
	}
	switch {
	case c.refuted >= 0:
		c.err = court.ErrUnconfirmed
	case ctx.Err() != nil:
		c.err = ctx.Err()
	case c.race.ended.Load():
		c.err = errDetails
	default:
		c.err = cmp.Or(reasonIn(c.depth.err, c.breadth.err, c.porcupine.err), c.breadth.err, c.depth.err, c.porcupine.err, context.DeadlineExceeded)
	}
}

// reasonIn is the first that is a court.Reason.
func reasonIn(all ...error) error {
	for _, err := range all {
		var reason court.Reason
		if errors.As(err, &reason) {
			return err
		}
	}
	return nil
}

// contend decides the contests that are left.
func (r *race) contend(ctx context.Context, contests []*contest) {
	left := undecided(contests)
	if len(left) == 0 {
		return
	}
	spare := r.spare(len(left))
	workers, askers := runtime.GOMAXPROCS(0), 1
	if spare {
		workers, askers = workers-len(left), len(left)
	}
	for _, c := range left {
		c.racing = r.who == All
		if c.racing && (spare || c.hasUnknown()) || c.doubts() {
			c.asked = true
			r.doubted <- c
		}
	}
	var asking sync.WaitGroup
	for range askers {
		asking.Go(r.ask)
	}
	if spare {
		headStart(left)
	}
	court.Dovetail(ctx, workers, r.contenders(undecided(left)))
	close(r.doubted)
	asking.Wait()
}

func undecided(contests []*contest) []*contest {
	return slices.DeleteFunc(slices.Clone(contests), func(c *contest) bool { return c.ctx.Err() != nil })
}

// aloneFor is how long Porcupine is then left alone: two searches at once share the
// processor's caches, and the collector of memory has no core of its own.
const aloneFor = 100 * time.Millisecond

// headStart leaves Porcupine, which has been asked, alone, but for a quick try of each.
func headStart(contests []*contest) {
	alone := time.NewTimer(aloneFor)
	defer alone.Stop()
	for _, c := range contests {
		if c.ctx.Err() == nil && !c.depth.over {
			runner := c.runner(c.ctx)
			c.quick(&c.depth, runner, search.NewDepthFirst(c.knowing(runner), c.spans, c.race.memory))
		}
	}
	for _, c := range contests {
		select {
		case <-c.ctx.Done():
		case <-alone.C:
			return
		}
	}
}

// contenders are the searches that are not over.
func (r *race) contenders(contests []*contest) (all []*contender) {
	for _, c := range contests {
		if !c.depth.over {
			runner := c.runner(c.ctx)
			model, classes := c.knowing(runner), c.classes()
			model.Class = func(operation int) int32 { return classes[operation] }
			all = append(all, &contender{c, &c.depth, runner, search.NewDepthFirst(model, c.spans, r.memory)})
		}
		if !c.breadth.over {
			runner := c.runner(c.ctx)
			all = append(all, &contender{c, &c.breadth, runner, search.NewGeneric(c.knowing(runner), c.spans, r.memory)})
		}
	}
	return all
}

// ask asks Porcupine about those that a search took for invalid, or could not decide.
func (r *race) ask() {
	for c := range r.doubted {
		if c.ctx.Err() != nil {
			continue
		}
		share, cancel := court.Share(c.ctx, 1+len(r.doubted))
		explained, err := c.runner(share).whole(r.court)
		cancel()
		found := finding{err: err}
		switch {
		case err != nil:
		case explained:
			found.verdict = search.Valid
		default:
			found.verdict = search.Invalid
		}
		c.note(&c.porcupine, found)
	}
}

// A contender is a search that takes turns with others.
type contender struct {
	*contest
	finding *finding
	runner  *runner
	search  *search.Search
}

func (c *contender) Run(_ context.Context, effort int) (over bool) {
	if over = c.search.Run(c.ctx, effort); !over {
		return false
	}
	answer := c.search.Answer()
	found := finding{verdict: answer.Verdict, step: answer.Step, err: answer.Err}
	if c.runner.stopped != nil && answer.Verdict != search.Valid {
		found = finding{err: c.runner.stopped}
	}
	c.note(c.finding, found)
	if c.doubts() {
		c.race.doubted <- c.contest
	}
	return true
}

// whole asks Porcupine about all operations.
func (r *runner) whole(memory *court.Memory) (bool, error) {
	initial := r.model.Init()
	if r.incomparable(initial) {
		return false, r.stopped
	}
	model := porcupine.Model{
		Init: func() any { return initial },
		StepContext: func(ctx context.Context, state, input, _ any) (bool, any) {
			after, possible := r.certain(state, input.(int))
			return possible, after
		},
		Equal: r.model.Equal, Hash: r.model.Hash,
	}
	operations := make([]porcupine.Operation, len(r.spans))
	for i, span := range r.spans {
		operations[i] = porcupine.Operation{Input: i, Call: span.Call, Return: span.Ret}
	}
	explained, err := court.Ask(r.ctx, memory, model, operations, r.sizes.Estimate)
	return explained, cmp.Or(err, r.stopped)
}
