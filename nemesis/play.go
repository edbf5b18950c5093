package nemesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
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
	// actionGrace is how much longer a family's function is waited for.
	actionGrace = time.Second
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

	clients bool // links between clients and nodes are there

	panicked string // the first panic of a family's function, after which nothing more is injected
	hung     error  // of one that has not returned
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
		clients: slices.ContainsFunc(faults, func(f fault) bool { return slices.Contains(f.requires(), cluster.ClientFault) }),
	}
	// Two deferred calls, so that a panic in the first leaves the second.
	defer func() {
		if left := p.sweep(ctx); left != nil {
			err = fmt.Errorf("nemesis: the cluster is not healed: %w", left)
		}
		if p.panicked != "" {
			panic(p.panicked)
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
		if p.panicked != "" {
			return nil
		}
	}
	p.wait(ctx, stage.Duration)
	return nil
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
	aims := f.shape.Leader || f.shape.Follower
	order := f.order
	switch {
	case aims && p.stage.Leader == nil:
		f.shape, f.leaderless = f.shape.atRandom(), true
	case aims:
		var err error
		if f.leader, err = p.awaitLeader(ctx, f); ctx.Err() != nil {
			return
		} else if err != nil {
			p.skip(f, err)
			return
		}
		order = f.around()
	case f.shape.role != "":
		var err error
		if order, err = p.ofRole(f); err != nil {
			p.skip(f, err)
			return
		}
	case f.shape.members != nil: // rooms: who leads decides what they do to a system
		f.leader = p.leaderNow(ctx)
	}
	f.hit = f.shape.Choose(order)
	if err := p.narrow(&f); err != nil {
		p.skip(f, err)
		return
	}

	p.inForce[f.number] = f // before, so that whatever happens is undone
	took, note, err := p.act(ctx, f.inject)
	if errors.Is(err, errors.ErrUnsupported) {
		delete(p.inForce, f.number) // refused, so nothing was done
		p.skip(f, err)
		return
	}
	event := f.event(history.Inject)
	event.Took = took
	if f.leaderless {
		event.Reason = "the system has no leader: a random node in its place"
	}
	if means := p.means(f); means != "" {
		note = strings.TrimSpace("by " + means + " " + note)
	}
	event.Detail = strings.TrimSpace(event.Detail + " " + note)
	if err != nil {
		event.Type, event.Reason = history.Trouble, oneLine(err)
	}
	p.stage.Record(event)
	if err != nil {
		p.heal(ctx, f.number)
	}
}

// narrow leaves of the victims those that can be hit, or returns why there are none.
func (p *player) narrow(f *fault) error {
	nodes := p.stage.Cluster.Nodes()
	for _, node := range f.hit.Nodes {
		if !slices.Contains(nodes, node) {
			return fmt.Errorf("%s chose %q, which is not in the cluster", f.shape.Name, node)
		}
	}
	if f.family.On == history.OnLinks && len(f.hit.Links) == 0 || f.family.On != history.OnLinks && len(f.hit.Nodes) == 0 {
		return fmt.Errorf("%s chose nobody", f.shape.Name)
	}
	if f.family.On != history.OnNodes {
		return nil
	}
	running, err := p.running(f.hit.Nodes)
	if err == nil {
		f.hit.Nodes = running
	}
	return err
}

// heal undoes the fault if it is in force. If that fails, it stays so, and is
// tried again at the end.
func (p *player) heal(ctx context.Context, number int) {
	f, found := p.inForce[number]
	if !found {
		return
	}
	leader := ""
	if f.shape.Leader { // which shows whether it was replaced
		leader = p.leaderNow(ctx)
	}
	took, _, err := p.act(ctx, f.heal)
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

// An action injects or heals a fault, and may return a note.
type action func(context.Context, *player) (note string, err error)

func (f fault) inject(ctx context.Context, p *player) (note string, err error) {
	switch f.family.On {
	case history.OnLinks:
		return "", p.setLinks(ctx, f.hit.Links, 0)
	case history.OnClocks:
		return "", p.setClocks(ctx, f.hit.Nodes, 0)
	}
	return p.call(ctx, f, f.family.Inject)
}

func (f fault) heal(ctx context.Context, p *player) (note string, err error) {
	switch {
	case f.family.On == history.OnLinks:
		return "", p.setLinks(ctx, f.hit.Links, f.number)
	case f.family.On == history.OnClocks:
		return "", p.setClocks(ctx, f.hit.Nodes, f.number)
	case f.family.Heal == nil:
		return "", nil
	}
	return p.call(ctx, f, func(ctx context.Context, hit Hit) (string, error) { return "", f.family.Heal(ctx, hit) })
}

// act times one action, which the end of ctx does not stop.
func (p *player) act(ctx context.Context, do action) (took time.Duration, note string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), actionBound)
	defer cancel()
	began := time.Now()
	note, err = do(ctx, p)
	return time.Since(began), note, err
}

// call has a family's own function work on the victims. That it panics is an error, and
// the end of the schedule. If it has not returned some time after ctx has ended, it is
// left behind, and told of at the end.
func (p *player) call(ctx context.Context, f fault, do func(context.Context, Hit) (string, error)) (string, error) {
	type answer struct {
		note     string
		err      error
		panicked string
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if value := recover(); value != nil {
				a.panicked = fmt.Sprintf("%s panicked: %v (%s)", f.family.Name, value, origin())
				a.err = errors.New(a.panicked)
			}
			answers <- a
		}()
		a.note, a.err = do(ctx, Hit{Cluster: p.stage.Cluster, Nodes: slices.Clone(f.hit.Nodes), Processes: f.processes, Mode: f.mode})
	}()
	var late <-chan time.Time
	ended := ctx.Done()
	for {
		select {
		case a := <-answers:
			p.panicked = cmp.Or(p.panicked, a.panicked)
			return a.note, a.err
		case <-ended:
			ended, late = nil, time.After(actionGrace)
		case <-late:
			p.hung = fmt.Errorf("%s ignores its context and has not returned", f.family.Name)
			return "", p.hung
		}
	}
}

// origin is where the panic began that is being recovered: "flush.go:12".
func origin() string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers)])
	for panicking := false; ; {
		frame, more := frames.Next()
		if panicking && !strings.HasPrefix(frame.Function, "runtime.") || !more {
			return fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
		}
		panicking = panicking || frame.Function == "runtime.gopanic"
	}
}

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

// awaitLeader returns who leads, or why nobody does in time.
func (p *player) awaitLeader(ctx context.Context, f fault) (leader cluster.Node, err error) {
	bound := min(leaderBound, (f.end-f.begin)/2)
	asking, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for {
		leader, failed := p.stage.Leader(asking)
		if failed == nil {
			if !slices.Contains(f.order, leader) {
				return "", fmt.Errorf("no leader: %q is not in the cluster", leader)
			}
			return leader, nil
		}
		if err == nil || asking.Err() == nil { // prefer an error that is not our own time-out
			err = fmt.Errorf("no leader within %v: %w", bound, failed)
		}
		select {
		case <-asking.Done():
			return "", err
		case <-time.After(leaderPoll):
		}
	}
}

// around is the fault's order with the leader where the shape wants it, in front or at
// the end.
func (f fault) around() []cluster.Node {
	rest := slices.DeleteFunc(slices.Clone(f.order), func(node cluster.Node) bool { return node == f.leader })
	if f.shape.Follower {
		return append(rest, f.leader)
	}
	return slices.Insert(rest, 0, f.leader)
}

// ofRole is the fault's order with the first node of the shape's role in front.
func (p *player) ofRole(f fault) ([]cluster.Node, error) {
	i := slices.IndexFunc(f.order, func(node cluster.Node) bool { return p.stage.Cluster.Role(node) == f.shape.role })
	if i < 0 {
		return nil, fmt.Errorf("no node is a %s", f.shape.role)
	}
	rest := slices.Delete(slices.Clone(f.order), i, i+1)
	return slices.Insert(rest, 0, f.order[i]), nil
}

// means says how the world injects a fault, if there is something to say.
func (p *player) means(f fault) string {
	var all []string
	for _, need := range f.requires() {
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
		if f.processes != "" && slices.Contains(f.hit.Nodes, node) {
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

// runNode makes the node run, whatever it does now.
func runNode(ctx context.Context, c cluster.Cluster, node cluster.Node) error {
	switch c.State(node) {
	case cluster.Running:
		return nil
	case cluster.Paused:
		return c.Resume(ctx, node)
	default:
		return c.Start(ctx, node)
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
	links := allLinks(nodes)
	if p.clients {
		links = append(links, between(clients, nodes)...)
	}
	err := p.stage.Cluster.SetLinks(ctx, links, cluster.Condition{})
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
		if err := runNode(ctx, p.stage.Cluster, node); err != nil {
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
		if f.processes != "" || f.family.own() != nil { // which no node's state shows
			if _, failed := f.heal(ctx, p); failed != nil {
				err = join(err, fmt.Errorf("%s of %s: %w", f.family.Name, strings.Join(f.hit.Nodes, " "), failed))
			}
		}
	}
	return join(err, p.hung)
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
