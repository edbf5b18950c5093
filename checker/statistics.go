package checker

import (
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// Slices are at least minSlice long, and at most maxSlices of them.
const (
	minSlice  = 250 * time.Millisecond
	maxSlices = 400
)

// Measure computes the statistics of a run. It needs no verdict, and no more
// than a bare history; what the run does not tell stays zero.
func Measure(run *history.Run) Statistics {
	operations := ordered(run.History.Operations)
	s := Statistics{
		Operations: len(operations),
		Recovery:   recovery(run, operations),
		Faults:     map[string]int{},
		Kinds:      map[history.Kind]Service{},
		Nodes:      map[string]Service{},
	}
	var end time.Duration
	kinds := map[history.Kind]*group{}
	nodes := map[string]*group{}
	for _, o := range operations {
		end = max(end, o.Invoke, o.Complete)
		switch {
		case saw(o):
			s.Reads++
		case changes(o):
			s.Writes++
		}
		switch {
		case o.Answered():
			s.OK++
		case o.Outcome == history.Fail:
			s.Failed++
		default:
			s.Unknown++
		}
		in(kinds, o.Kind).add(o)
		if o.Node != "" {
			in(nodes, o.Node).add(o)
		}
	}
	for _, e := range run.Events {
		end = max(end, e.Time)
		switch e.Type {
		case history.Inject:
			s.Faults[e.Family]++
		case history.Unrecognized:
			s.Faults[string(e.Type)]++
		case history.Skip:
			if s.Skipped == nil {
				s.Skipped = map[string]int{}
			}
			s.Skipped[e.Reason]++
		}
	}
	var span time.Duration
	if len(operations) > 0 {
		span = end - operations[0].Invoke
	}
	for kind, g := range kinds {
		s.Kinds[kind] = g.service(span)
	}
	for node, g := range nodes {
		s.Nodes[node] = g.service(span)
	}
	s.Before = phaseService(run, operations, history.Quiet, end)
	s.During = phaseService(run, operations, history.Faults, end)
	s.After = phaseService(run, operations, history.Recovery, end)
	stands := stands(run)
	s.Majority, s.Minority = sides(stands, operations, end)
	s.LeaderChanges = leaderChanges(run, stands, operations)
	s.SeriesStep, s.Series = series(operations)
	s.Troubles, s.Errors = troubles(run.Events), errorClasses(operations)
	return s
}

// ordered are the operations by their invocation.
func ordered(operations []history.Operation) []*history.Operation {
	all := make([]*history.Operation, len(operations))
	for i := range operations {
		all[i] = &operations[i]
	}
	slices.SortStableFunc(all, byInvocation)
	return all
}

// A group collects operations for their Service.
type group struct {
	operations int
	latencies  []time.Duration // of those answered
}

func (g *group) add(o *history.Operation) {
	g.operations++
	if o.Answered() {
		g.latencies = append(g.latencies, o.Complete-o.Invoke)
	}
}

func (g *group) service(span time.Duration) Service {
	slices.Sort(g.latencies)
	s := Service{
		Operations: g.operations,
		OK:         len(g.latencies),
		P50:        percentile(g.latencies, 50),
		P99:        percentile(g.latencies, 99),
	}
	if span > 0 {
		s.PerSecond = float64(s.OK) / span.Seconds()
	}
	return s
}

// in returns the group of a key, making it if there is none.
func in[K comparable](groups map[K]*group, key K) *group {
	g, ok := groups[key]
	if !ok {
		g = &group{}
		groups[key] = g
	}
	return g
}

// percentile is by nearest rank, of what is sorted; 0 of nothing.
func percentile[T time.Duration | int](sorted []T, percent int) T {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}

// phaseService is of the operations invoked in a phase. A run that was cut off
// ends with its last event or operation.
func phaseService(run *history.Run, operations []*history.Operation, phase history.Phase, end time.Duration) Service {
	begin := phaseBegins(run, phase)
	if begin == never {
		return Service{}
	}
	for _, e := range run.Events {
		if e.Type == history.PhaseBegins && e.Time > begin {
			end = e.Time
			break
		}
	}
	var g group
	for _, o := range operations {
		if begin <= o.Invoke && o.Invoke < end {
			g.add(o)
		}
	}
	return g.service(end - begin)
}

// recovery is as Statistics defines it. Without any healing it counts from the
// begin of the recovery phase, when everything has been healed.
func recovery(run *history.Run, operations []*history.Operation) time.Duration {
	healed := healedAt(run)
	crashed := map[string]time.Duration{} // the last time that each node did
	for _, e := range run.Events {
		if e.Type == history.Crash && len(e.Nodes) > 0 {
			crashed[e.Nodes[0]] = e.Time
		}
	}
	served := map[string]time.Duration{} // the first completion through each node
	for _, o := range operations {
		if o.Invoke < max(healed, crashed[o.Node]) || !o.Answered() {
			continue
		}
		if first, ok := served[o.Node]; !ok || o.Complete < first {
			served[o.Node] = o.Complete
		}
	}
	latest := healed
	for _, node := range nodesOf(run) {
		first, ok := served[node]
		if !ok {
			return -1
		}
		latest = max(latest, first)
	}
	if len(served) == 0 {
		return -1
	}
	return latest - healed
}

// healedAt returns when the last fault was healed, or else when the recovery phase
// began.
func healedAt(run *history.Run) time.Duration {
	for _, e := range slices.Backward(run.Events) {
		if e.Type == history.Heal {
			return e.Time
		}
	}
	return phaseBegins(run, history.Recovery)
}

// nodesOf names the cluster's nodes, where the run has no manifest those seen.
func nodesOf(run *history.Run) []string {
	if len(run.Manifest.Nodes) > 0 {
		return run.Manifest.Nodes
	}
	seen := map[string]bool{}
	for _, o := range run.History.Operations {
		if o.Node != "" {
			seen[o.Node] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// A side is where a node is during a partition.
type side int

const (
	noSide side = iota // the node is killed or paused
	majoritySide
	minoritySide
)

// A stand is who is where, from a moment on until the next stand.
type stand struct {
	since  time.Duration
	parted bool // a link is cut
	sides  map[string]side
}

// stands returns those of a run, in order; the first one has been for ever.
func stands(run *history.Run) []stand {
	nodes := nodesOf(run)
	inForce := map[int]history.Event{}
	all := []stand{standing(nodes, inForce)}
	all[0].since = -never
	for _, e := range run.Events {
		switch e.Type {
		case history.Inject:
			inForce[e.Fault] = e
		case history.Heal:
			delete(inForce, e.Fault)
		default:
			continue
		}
		next := standing(nodes, inForce)
		next.since = e.Time
		all = append(all, next)
	}
	return all
}

// at returns the stand at a moment.
func at(moment time.Duration, stands []stand) stand {
	return stands[sort.Search(len(stands)-1, func(i int) bool { return stands[i+1].since > moment })]
}

// standing is who is where under the faults in force. The majority side are
// nodes with whole links both ways to enough others to be, with themselves,
// more than half.
func standing(nodes []string, inForce map[int]history.Event) stand {
	cut := map[string]bool{}
	away := map[string]bool{} // killed or paused
	for _, e := range inForce {
		switch e.Family {
		case "partition":
			for _, link := range e.Links {
				cut[link] = true
			}
		case "kill", "pause":
			for _, node := range e.Nodes {
				away[node] = true
			}
		}
	}
	s := stand{parted: len(cut) > 0, sides: map[string]side{}}
	for _, node := range nodes {
		if away[node] {
			continue
		}
		reached := 0
		for _, peer := range nodes {
			if !away[peer] && !cut[node+">"+peer] && !cut[peer+">"+node] {
				reached++ // itself, too
			}
		}
		s.sides[node] = minoritySide
		if 2*reached > len(nodes) {
			s.sides[node] = majoritySide
		}
	}
	return s
}

// sides returns the service on either side of partitions.
func sides(stands []stand, operations []*history.Operation, end time.Duration) (majority, minority Service) {
	var groups [3]group // by side
	for _, o := range operations {
		if s := at(o.Invoke, stands); s.parted {
			groups[s.sides[o.Node]].add(o)
		}
	}
	var parted time.Duration
	for i, s := range stands {
		until := end
		if i+1 < len(stands) {
			until = stands[i+1].since
		}
		if s.parted {
			parted += until - s.since
		}
	}
	return groups[majoritySide].service(parted), groups[minoritySide].service(parted)
}

// anomaliesBySide counts operations by the side of a partition on which they
// were invoked.
func anomaliesBySide(run *history.Run, staleReads, lostCommits []*history.Operation) (majority, minority SideAnomalies) {
	stands := stands(run)
	var counts [3]SideAnomalies // by side
	for _, o := range staleReads {
		if s := at(o.Invoke, stands); s.parted {
			counts[s.sides[o.Node]].StaleReads++
		}
	}
	for _, o := range lostCommits {
		if s := at(o.Invoke, stands); s.parted {
			counts[s.sides[o.Node]].LostCommits++
		}
	}
	return counts[majoritySide], counts[minoritySide]
}

// leaderChanges are as LeaderChange defines them. The operations are ordered by
// Invoke.
func leaderChanges(run *history.Run, stands []stand, operations []*history.Operation) []LeaderChange {
	var all []LeaderChange
	heals := map[int]time.Duration{} // by fault
	for _, e := range slices.Backward(run.Events) {
		switch {
		case e.Type == history.Heal:
			heals[e.Fault] = e.Time
		default:
			leader := taken(e)
			if leader == "" {
				continue
			}
			healed, known := heals[e.Fault]
			if !known {
				healed = never
			}
			all = append(all, leaderChange(e, leader, healed, stands, operations))
		}
	}
	slices.Reverse(all)
	return all
}

func leaderChange(e history.Event, leader string, healed time.Duration, stands []stand, operations []*history.Operation) LeaderChange {
	first := healed // completion of what another leader served
	since := sort.Search(len(operations), func(i int) bool { return operations[i].Invoke >= e.Time })
	for _, o := range operations[since:] {
		if o.Invoke >= first {
			break
		}
		if (changes(o) || grants(o)) && o.Complete < first && o.Node != leader && at(o.Invoke, stands).sides[o.Node] == majoritySide {
			first = o.Complete
		}
	}
	change := LeaderChange{Fault: e.Fault, At: e.Time, Took: -1}
	if first < healed {
		change.Took = first - e.Time
	}
	return change
}

// taken returns the leader that the fault takes away, as LeaderChange means it;
// empty if it takes none. Of a fault at the leader, that is the first of the nodes.
// Where a system has no leader, ever, the nemesis hits a random node instead, and
// gives that as the event's reason.
func taken(e history.Event) (leader string) {
	switch {
	case e.Type != history.Inject || len(e.Nodes) == 0:
	case slices.Contains(e.Nodes, e.Leader): // in the smaller room
		return e.Leader
	case slices.Contains([]string{"kill", "pause", "partition"}, e.Family) && strings.HasPrefix(e.Shape, "leader") && e.Reason == "":
		return e.Nodes[0]
	}
	return ""
}

// saw: the operation told what it saw, and changed nothing.
func saw(o *history.Operation) bool {
	switch o.Kind {
	case history.Read, history.ReadAll:
		return o.Outcome == history.OK
	case history.CompareAndSet:
		return o.Outcome == history.Fail && o.Output.Len() > 0 || o.Outcome == history.OK && toItself(o)
	}
	return false
}

// changes: the operation was acknowledged, and so changed something.
func changes(o *history.Operation) bool {
	switch o.Kind {
	case history.Write, history.Add, history.Increment, history.Enqueue, history.Transfer:
		return o.Outcome == history.OK
	case history.CompareAndSet:
		return o.Outcome == history.OK && !toItself(o)
	}
	return false
}

// grants: the operation gave something that nobody else gets, which only a leader
// can do.
func grants(o *history.Operation) bool {
	switch o.Kind {
	case history.Dequeue:
		return o.Outcome == history.OK && o.Output.Len() > 0 // else it was empty
	case history.Acquire, history.Release, history.Generate:
		return o.Outcome == history.OK
	}
	return false
}

func toItself(swap *history.Operation) bool {
	return swap.Input.Len() == 2 && swap.Input.At(0) == swap.Input.At(1)
}

// series cuts the operations, ordered by Invoke, into slices.
func series(operations []*history.Operation) (step time.Duration, all []Slice) {
	step = minSlice
	if len(operations) == 0 {
		return step, nil
	}
	last := operations[len(operations)-1].Invoke
	for last/step >= maxSlices {
		step *= 2
	}
	next := 0
	for i := range last/step + 1 {
		slice := Slice{Start: i * step}
		var g group
		for ; next < len(operations) && operations[next].Invoke/step <= i; next++ {
			o := operations[next]
			g.add(o)
			switch {
			case o.Answered():
				slice.OK++
			case o.Outcome == history.Fail:
				slice.Failed++
			default:
				slice.Unknown++
			}
		}
		service := g.service(step)
		slice.P50, slice.P99 = service.P50, service.P99
		if len(g.latencies) > 0 {
			slice.Max = g.latencies[len(g.latencies)-1]
		}
		all = append(all, slice)
	}
	return step, all
}
