// Package statistics measures how a system served: how many operations were answered,
// how fast, in which phase, through which node and on which side of partitions, whatever
// the verdict on them.
package statistics

import (
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// Slices are at least minSlice long, and at most maxSlices of them.
const (
	minSlice  = 250 * time.Millisecond
	maxSlices = 400
)

// Statistics describe how the system served, whatever the verdict.
type Statistics struct {
	Operations int `json:"operations"`
	OK         int `json:"ok"`
	Failed     int `json:"failed"` // refused; a precondition that did not hold counts as OK
	Unknown    int `json:"unknown"`
	// Reads counts the operations that told what they saw and changed nothing,
	// Writes those that were acknowledged to have changed something. Stale reads
	// are among the one, lost commits among the other, but for the elements of a
	// set that were lost after an add of unknown outcome.
	Reads  int `json:"reads"`
	Writes int `json:"writes"`
	// Before, During and After are the phases quiet, faults and recovery.
	Before Service `json:"before"`
	During Service `json:"during"`
	After  Service `json:"after"`
	// Majority and Minority are of the operations invoked while a partition
	// was in force, by the side of the client's node: a node is on the
	// majority side if it has whole links both ways with enough nodes to be,
	// with itself, more than half. Nodes that were then killed or paused do
	// not count.
	Majority Service `json:"majority"`
	Minority Service `json:"minority"`
	// Recovery is from the healing of the last fault until an operation
	// invoked after it had succeeded through every node; negative if that was
	// not seen.
	Recovery      time.Duration  `json:"recovery_ns"`
	LeaderChanges []LeaderChange `json:"leader_changes,omitempty"`
	// Faults counts those that landed, by family, or as history.Unrecognized what
	// may be one; Skipped those that did not, by reason.
	Faults  map[string]int `json:"faults"`
	Skipped map[string]int `json:"skipped,omitempty"`
	// Troubles are what went wrong with faults: those that could not be injected,
	// or not be healed, each with its time. The last may be "and 7 more".
	Troubles []string `json:"troubles,omitempty"`
	// Errors are the clients', the most frequent first, at most MaxErrors. Where
	// there are more, the last one has no Kind, and counts the others.
	Errors []ErrorClass `json:"errors,omitempty"`
	// Series is the whole run in slices of SeriesStep.
	SeriesStep time.Duration `json:"series_step_ns"`
	Series     []Slice       `json:"series"`
	// Kinds gives each kind of operation alone.
	Kinds map[history.Kind]Service `json:"kinds"`
	// Nodes gives each node's clients alone.
	Nodes map[string]Service `json:"nodes"`
}

// Service is what a group of operations got.
type Service struct {
	Operations int `json:"operations"`
	OK         int `json:"ok"` // answered: acknowledged, or a precondition that did not hold
	// PerSecond is OK per second; P50 and P99 are latencies of OK.
	PerSecond float64       `json:"per_second"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
}

// Availability is the share of operations answered, in [0, 1]; negative if
// there were none.
func (s Service) Availability() float64 {
	if s.Operations == 0 {
		return -1
	}
	return float64(s.OK) / float64(s.Operations)
}

// A Slice is a stretch of the run, by time of invocation.
type Slice struct {
	Start   time.Duration `json:"start_ns"`
	OK      int           `json:"ok"`
	Failed  int           `json:"failed"`
	Unknown int           `json:"unknown"`
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	Max     time.Duration `json:"max_ns"`
}

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
		switch m := run.Manifest.Kinds.Of(o.Kind); {
		case m.Saw(o):
			s.Reads++
		case m.Changed(o):
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
	places := placements(run)
	s.Majority, s.Minority = services(places, operations, end)
	s.LeaderChanges = leaderChanges(run, places, operations)
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
	slices.SortStableFunc(all, history.ByInvocation)
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
		P50:        Percentile(g.latencies, 50),
		P99:        Percentile(g.latencies, 99),
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

// Percentile is by nearest rank, of what is sorted; 0 of nothing.
func Percentile[T time.Duration | int](sorted []T, percent int) T {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}

// phaseService is of the operations invoked in a phase. A run that was cut off
// ends with its last event or operation.
func phaseService(run *history.Run, operations []*history.Operation, phase history.Phase, end time.Duration) Service {
	begin := run.PhaseBegins(phase)
	if begin == history.Never {
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
	healed := run.Healed()
	crashed := map[string]time.Duration{} // the last time that each node did
	for _, e := range run.Events {
		if e.Type == history.Crash && len(e.Nodes) > 0 {
			crashed[e.Nodes[0]] = e.Time
		}
	}
	served := map[string]time.Duration{} // the first completion through each node
	asked := map[string]bool{}           // nodes that clients went through; others' roles may serve none
	for _, o := range operations {
		asked[o.Node] = true
		if o.Invoke < max(healed, crashed[o.Node]) || !o.Answered() {
			continue
		}
		if first, ok := served[o.Node]; !ok || o.Complete < first {
			served[o.Node] = o.Complete
		}
	}
	latest := healed
	for _, node := range run.Nodes() {
		first, ok := served[node]
		if !ok && asked[node] {
			return -1
		}
		latest = max(latest, first)
	}
	if len(served) == 0 {
		return -1
	}
	return latest - healed
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
