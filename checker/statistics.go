package checker

import (
	"cmp"
	"maps"
	"slices"
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
	operations := make([]*history.Operation, len(run.History.Operations))
	for i := range operations {
		operations[i] = &run.History.Operations[i]
	}
	slices.SortStableFunc(operations, func(a, b *history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })

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
		case answered(o):
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
	s.Majority, s.Minority = sides(run, operations, end)
	s.SeriesStep, s.Series = series(operations)
	return s
}

// answered: acknowledged, or a precondition that did not hold.
func answered(o *history.Operation) bool {
	return o.Outcome == history.OK || o.Outcome == history.Fail && o.Error == ""
}

// A group collects operations for their Service.
type group struct {
	operations int
	latencies  []time.Duration // of those answered
}

func (g *group) add(o *history.Operation) {
	g.operations++
	if answered(o) {
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
	healed := never
	for _, e := range run.Events {
		if e.Type == history.Heal || e.Type == history.PhaseBegins && e.Phase == history.Recovery {
			healed = e.Time
		}
	}
	served := map[string]time.Duration{} // the first completion through each node
	for _, o := range operations {
		if o.Invoke < healed || !answered(o) {
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
	noSide side = iota // no partition is in force, or the node is killed or paused
	majoritySide
	minoritySide
)

// sides returns the service on either side of partitions.
func sides(run *history.Run, operations []*history.Operation, end time.Duration) (majority, minority Service) {
	nodes := nodesOf(run)
	inForce := map[int]history.Event{}
	var current map[string]side
	var groups [3]group // by side
	var parted, since time.Duration
	next := 0
	advance := func(until time.Duration) {
		for ; next < len(operations) && operations[next].Invoke < until; next++ {
			o := operations[next]
			groups[current[o.Node]].add(o)
		}
		if current != nil {
			parted += until - since
		}
		since = until
	}
	for _, e := range run.Events {
		switch e.Type {
		case history.Inject:
			advance(e.Time)
			inForce[e.Fault] = e
		case history.Heal:
			advance(e.Time)
			delete(inForce, e.Fault)
		default:
			continue
		}
		current = parting(nodes, inForce)
	}
	advance(end + 1) // an operation may be invoked at the very end
	return groups[majoritySide].service(parted), groups[minoritySide].service(parted)
}

// parting returns the side of each node under the faults in force; nil if no
// link is cut.
func parting(nodes []string, inForce map[int]history.Event) map[string]side {
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
	if len(cut) == 0 {
		return nil
	}
	sides := map[string]side{}
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
		sides[node] = minoritySide
		if 2*reached > len(nodes) {
			sides[node] = majoritySide
		}
	}
	return sides
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
			case answered(o):
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
