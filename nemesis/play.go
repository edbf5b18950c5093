package nemesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

const (
	// actionBound bounds one action on the cluster. Actions are not cut short
	// when the trial is: half a fault would be neither injected nor healed.
	actionBound = 10 * time.Second
	// leaderBound bounds the wait for a leader, as does half the fault's
	// length: elections go on at a fault's beginning, since the last one has
	// just been healed.
	leaderBound = time.Second
	// leaderGlance bounds the only question of who leads where any leader will
	// do.
	leaderGlance = 200 * time.Millisecond
	// leaderPoll is the pause between two questions who leads.
	leaderPoll = 50 * time.Millisecond
)

// A player carries out one plan. It has no goroutine of its own.
type player struct {
	stage   harness.Stage
	began   time.Time
	inForce map[int]fault                      // by number
	links   map[cluster.Link]cluster.Condition // what they have; absent means healthy
	clocks  map[cluster.Node]cluster.Clock     // what they have; absent means right
}

// A step injects or heals one fault.
type step struct {
	at    time.Duration
	heal  bool
	fault fault
}

// play injects and heals the faults at their times, until stage.Duration is
// over or ctx ends.
func play(ctx context.Context, stage harness.Stage, faults []fault) (err error) {
	p := &player{
		stage:   stage,
		began:   time.Now(),
		inForce: map[int]fault{},
		links:   map[cluster.Link]cluster.Condition{},
		clocks:  map[cluster.Node]cluster.Clock{},
	}
	// Two deferred calls, so that a panic in the first leaves the second.
	defer func() {
		if left := p.sweep(ctx); left != nil {
			err = fmt.Errorf("nemesis: the cluster is not healed: %w", left)
		}
	}()
	defer p.healAll(ctx)

	for _, s := range steps(faults) {
		if !p.wait(ctx, s.at) {
			return nil
		}
		if s.heal {
			p.heal(ctx, s.fault.number)
		} else {
			p.inject(ctx, s.fault)
		}
	}
	p.wait(ctx, stage.Duration)
	return nil
}

// An injection is what a nemesis has: a pick of a schedule, a fault of a replay.
type injection interface {
	of() *family
	alone() (processes string) // hit by name; empty means whole nodes
	among() []shape
}

// requires returns what the world must be able to inject.
func requires(i injection) []cluster.Fault {
	if i.alone() != "" {
		return []cluster.Fault{cluster.SignalFault}
	}
	return i.of().needs
}

// unsupported returns why the world cannot inject it, in a line.
func unsupported(ctx context.Context, world cluster.World, i injection) error {
	for _, need := range requires(i) {
		if err := world.Supports(ctx, need); err != nil {
			return errors.New(oneLine(err))
		}
	}
	return nil
}

// supported leaves out what the world cannot inject, and reports each family and
// reason once.
func supported[I injection](ctx context.Context, stage harness.Stage, all []I) []I {
	reported := map[[2]string]bool{} // families, with the reason
	return slices.DeleteFunc(slices.Clone(all), func(one I) bool {
		why := unsupported(ctx, stage.World, one)
		if why == nil {
			return false
		}
		family, reason := one.of().name, why.Error()
		if !reported[[2]string{family, reason}] {
			stage.Record(history.Event{Type: history.Skip, Family: family, Reason: reason})
		}
		reported[[2]string{family, reason}] = true
		return true
	})
}

// needs are what the world must prepare for.
func needs[I injection](all []I) (needs []cluster.Fault) {
	for _, one := range all {
		for _, need := range requires(one) {
			if !slices.Contains(needs, need) {
				needs = append(needs, need)
			}
		}
	}
	return needs
}

// possible returns nil if one of all can be injected, or there is none; else why
// not the first.
func possible[I injection](ctx context.Context, world cluster.World, nodes []cluster.Node, all []I) (first error) {
	for _, one := range all {
		err := unsupported(ctx, world, one)
		for _, shape := range one.among() {
			impossible := cmp.Or(err, shape.possible(nodes))
			if impossible == nil {
				return nil
			}
			first = cmp.Or(first, impossible)
		}
	}
	return first
}

// steps orders what is to be done; at the same time, healing goes first.
func steps(faults []fault) []step {
	var all []step
	for _, f := range faults {
		all = append(all, step{f.begin, false, f}, step{f.end, true, f})
	}
	slices.SortStableFunc(all, func(a, b step) int {
		switch {
		case a.at != b.at:
			return cmp.Compare(a.at, b.at)
		case a.fault.number == b.fault.number || a.heal == b.heal:
			return 0
		case a.heal:
			return -1
		default:
			return 1
		}
	})
	return all
}

// wait returns true at that time, or false if ctx has ended.
func (p *player) wait(ctx context.Context, at time.Duration) bool {
	timer := time.NewTimer(at - time.Since(p.began))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return ctx.Err() == nil
}

func (p *player) inject(ctx context.Context, f fault) {
	order, note := f.order, ""
	if (f.shape.leader || f.shape.follower) && p.stage.Leader == nil {
		f.shape, note = f.shape.atRandom(), noLeader
	} else if f.shape.leader || f.shape.follower {
		var err error
		if order, err = p.around(ctx, f); ctx.Err() != nil {
			return
		} else if err != nil {
			p.skip(f, err)
			return
		}
	}
	f.hit = f.shape.choose(order)
	if f.family.on == onNodes {
		running, err := p.running(f.hit.nodes)
		if err != nil {
			p.skip(f, err)
			return
		}
		f.hit.nodes = running
	}

	leader := ""
	if f.shape.members != nil { // rooms: who leads decides what they do to a system
		leader = p.leaderNow(ctx)
	}

	p.inForce[f.number] = f // before, so that whatever happens is undone
	took, err := p.act(ctx, f, f.family.inject)
	if errors.Is(err, errors.ErrUnsupported) {
		delete(p.inForce, f.number) // refused, so nothing was done
		p.skip(f, err)
		return
	}
	event := f.event(history.Inject)
	event.Took, event.Reason, event.Leader = took, note, leader
	if means := p.means(f); means != "" {
		event.Detail = strings.TrimSpace(event.Detail + " by " + means)
	}
	if err != nil {
		event.Type, event.Reason = history.Trouble, oneLine(err)
	}
	p.stage.Record(event)
	if err != nil {
		p.heal(ctx, f.number)
	}
}

// heal undoes the fault if it is in force. If that fails, it stays so, and is
// tried again at the end.
func (p *player) heal(ctx context.Context, number int) {
	f, found := p.inForce[number]
	if !found {
		return
	}
	leader := ""
	if f.shape.leader { // which shows whether it was replaced
		leader = p.leaderNow(ctx)
	}
	took, err := p.act(ctx, f, f.family.heal)
	event := f.event(history.Heal)
	event.Took, event.Leader = took, leader
	if err != nil {
		event.Type, event.Reason = history.Trouble, oneLine(err)
	} else {
		delete(p.inForce, number)
	}
	p.stage.Record(event)
}

func (p *player) skip(f fault, why error) {
	event := f.event(history.Skip)
	event.Reason = oneLine(why)
	p.stage.Record(event)
}

// act times one action, which the end of ctx does not stop.
func (p *player) act(ctx context.Context, f fault, action func(context.Context, *player, fault) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), actionBound)
	defer cancel()
	began := time.Now()
	err := action(ctx, p, f)
	return time.Since(began), err
}

// noLeader is the reason that comes with a shape that would have aimed at the leader.
const noLeader = "the system has no leader: a random node in its place"

// leaderNow returns who leads; empty if nobody tells at once. The end of ctx does not
// stop the question.
func (p *player) leaderNow(ctx context.Context) cluster.Node {
	if p.stage.Leader == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaderGlance)
	defer cancel()
	leader, err := p.stage.Leader(ctx)
	if err != nil {
		return ""
	}
	return leader
}

// around returns the fault's order with the leader where the shape wants it, in
// front or at the end.
func (p *player) around(ctx context.Context, f fault) (order []cluster.Node, err error) {
	bound := min(leaderBound, (f.end-f.begin)/2)
	asking, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for {
		leader, failed := p.stage.Leader(asking)
		if failed == nil {
			rest := slices.DeleteFunc(slices.Clone(f.order), func(node cluster.Node) bool { return node == leader })
			if len(rest) == len(f.order) {
				return nil, fmt.Errorf("no leader: %q is not in the cluster", leader)
			}
			if f.shape.follower {
				return append(rest, leader), nil
			}
			return slices.Insert(rest, 0, leader), nil
		}
		if err == nil || asking.Err() == nil { // prefer an error that is not our own time-out
			err = fmt.Errorf("no leader within %v: %w", bound, failed)
		}
		select {
		case <-asking.Done():
			return nil, err
		case <-time.After(leaderPoll):
		}
	}
}

// means says how the world injects a fault, if there is something to say.
func (p *player) means(f fault) string {
	var all []string
	for _, need := range requires(f) {
		if means := p.stage.Cluster.Means(need); means != "" && !slices.Contains(all, means) {
			all = append(all, means)
		}
	}
	return strings.Join(all, ", ")
}

// single returns the processes of the node that a fault in force has hit alone;
// empty if none has.
func (p *player) single(node cluster.Node) string {
	for _, f := range p.inForce {
		if f.processes != "" && slices.Contains(f.hit.nodes, node) {
			return f.processes
		}
	}
	return ""
}

// running returns those of the nodes that run, or an error if none does. The
// others are down or paused by another fault, wholly or in part, or have exited.
func (p *player) running(nodes []cluster.Node) (running []cluster.Node, err error) {
	var states []string
	for _, node := range nodes {
		state, single := p.stage.Cluster.State(node), p.single(node)
		switch {
		case state != cluster.Running:
			states = append(states, fmt.Sprintf("%s is %s", node, state))
		case single != "":
			states = append(states, fmt.Sprintf("%s lacks its %s", node, single))
		default:
			running = append(running, node)
		}
	}
	if len(running) == 0 {
		return nil, errors.New("no victim runs: " + strings.Join(states, ", "))
	}
	return running, nil
}

// run makes the node run, whatever it does now.
func (p *player) run(ctx context.Context, node cluster.Node) error {
	switch p.stage.Cluster.State(node) {
	case cluster.Running:
		return nil
	case cluster.Paused:
		return p.stage.Cluster.Resume(ctx, node)
	default:
		return p.stage.Cluster.Start(ctx, node)
	}
}

// healAll undoes the faults that are still in force.
func (p *player) healAll(ctx context.Context) {
	for _, number := range slices.Sorted(maps.Keys(p.inForce)) {
		p.heal(ctx, number)
	}
}

// sweep makes every link healthy, every clock right if one was wrong, and every
// node run, without trusting what this player knows, and returns what could not
// be had.
func (p *player) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), actionBound)
	defer cancel()
	nodes := p.stage.Cluster.Nodes()
	err := p.stage.Cluster.SetLinks(ctx, allLinks(nodes), cluster.Condition{})
	if len(p.clocks) > 0 {
		err = join(err, each(ctx, nodes, func(ctx context.Context, node cluster.Node) error {
			return p.stage.Cluster.SetClock(ctx, node, cluster.Clock{})
		}))
	}
	err = join(err, each(ctx, nodes, func(ctx context.Context, node cluster.Node) error {
		before := p.stage.Cluster.State(node)
		if before == cluster.Running {
			return nil
		}
		if err := p.run(ctx, node); err != nil {
			return err
		}
		switch state := p.stage.Cluster.State(node); state {
		case cluster.Running:
		case cluster.Exited: // it was started, and has ended again by itself: no matter of healing
			return nil
		default:
			return fmt.Errorf("%s is %s", node, state)
		}
		p.stage.Record(history.Event{
			Type: history.Heal, Nodes: []string{node},
			Reason: fmt.Sprintf("%s was %s at the end, and runs again", node, before),
		})
		return nil
	}))
	for _, f := range p.others(0) { // what healing failed on
		if f.processes != "" { // which no node's state shows
			err = join(err, f.family.heal(ctx, p, f))
		}
	}
	return err
}

// each acts on all nodes at once and returns when all have answered.
func each(ctx context.Context, nodes []cluster.Node, act func(context.Context, cluster.Node) error) (err error) {
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, node := range nodes {
		all.Go(func() { errs[i] = act(ctx, node) })
	}
	all.Wait()
	for _, one := range errs {
		err = join(err, one)
	}
	return err
}

// join keeps errors in one line, as errors.Join does not.
func join(err, next error) error {
	if err == nil || next == nil {
		return cmp.Or(err, next)
	}
	return fmt.Errorf("%w; %w", err, next)
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
