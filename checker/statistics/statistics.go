// Package statistics measures how a system served: how many operations were answered,
// how fast, in which phase, through which node and on which side of partitions, whatever
// the verdict on them.
package statistics

import (
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
// than a bare history; what the run does not tell stays zero. It goes through the
// operations once.
func Measure(run *history.Run) Statistics {
	count, begin, last, end := run.History.Span()
	s := Statistics{
		Operations: count,
		Faults:     map[string]int{},
		Kinds:      map[history.Kind]Service{},
		Nodes:      map[string]Service{},
		SeriesStep: minSlice,
	}
	for _, e := range run.Events {
		end = max(end, e.Time)
		s.countEvent(e)
	}
	for last/s.SeriesStep >= maxSlices {
		s.SeriesStep *= 2
	}
	m := measuring{
		kinds: run.Manifest.Kinds, step: s.SeriesStep, places: placements(run), cells: map[group]*cell{},
		phases:   []phase{phaseOf(run, history.Quiet, end), phaseOf(run, history.Faults, end), phaseOf(run, history.Recovery, end)},
		recovery: newRecovery(run),
		leaders:  newLeaderChanges(run),
		errors:   errorClasses{},
	}
	for o := range run.History.Each() {
		m.add(o, &s)
	}
	m.serve(&s, end-begin, end)
	if count > 0 && last >= 0 {
		s.Series = m.series(int(last / s.SeriesStep))
	}
	s.Recovery, s.LeaderChanges = m.recovery.took(run), m.leaders.changes()
	s.Troubles, s.Errors = troubles(run.Events), m.errors.foremost()
	return s
}

func (s *Statistics) countEvent(e history.Event) {
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

// A measuring goes through the operations.
type measuring struct {
	kinds    history.Kinds
	step     time.Duration
	places   []placement
	phases   []phase // quiet, faults, recovery
	cells    map[group]*cell
	recovery *recovery
	leaders  leaderChanges
	errors   errorClasses
}

// A group are the operations that belong to the same services.
type group struct {
	kind   history.Kind
	node   string
	phases uint8 // a bit for each of the measuring's
	side   side
	slice  int
}

// add counts an operation, which may be told in any order.
func (m *measuring) add(o *history.Operation, s *Statistics) {
	switch meaning := m.kinds.Of(o.Kind); {
	case meaning.Saw(o):
		s.Reads++
	case meaning.Changed(o):
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
	g := group{kind: o.Kind, node: o.Node, side: whole, slice: max(0, int(o.Invoke/m.step))}
	for i, phase := range m.phases {
		if phase.begin <= o.Invoke && o.Invoke < phase.end {
			g.phases |= 1 << i
		}
	}
	place := at(o.Invoke, m.places)
	if place.parted {
		g.side = place.sides[o.Node]
	}
	c := m.cells[g]
	if c == nil {
		c = &cell{}
		m.cells[g] = c
	}
	c.add(o)
	m.recovery.add(o)
	m.leaders.add(o, m.kinds, place)
	m.errors.add(o)
}

// serve tells of the services: but for phases and sides, all took place in span.
func (m *measuring) serve(s *Statistics, span, end time.Duration) {
	kinds, nodes := map[history.Kind][]*cell{}, map[string][]*cell{}
	var phases, sides [3][]*cell
	for g, c := range m.cells {
		kinds[g.kind] = append(kinds[g.kind], c)
		if g.node != "" {
			nodes[g.node] = append(nodes[g.node], c)
		}
		for i := range m.phases {
			if g.phases&(1<<i) != 0 {
				phases[i] = append(phases[i], c)
			}
		}
		if g.side != whole {
			sides[g.side] = append(sides[g.side], c)
		}
	}
	for kind, cells := range kinds {
		s.Kinds[kind] = service(cells, span)
	}
	for node, cells := range nodes {
		s.Nodes[node] = service(cells, span)
	}
	for i, into := range []*Service{&s.Before, &s.During, &s.After} {
		if phase := m.phases[i]; phase.begin != history.Never {
			*into = service(phases[i], phase.end-phase.begin)
		}
	}
	parted := parted(m.places, end)
	s.Majority, s.Minority = service(sides[majoritySide], parted), service(sides[minoritySide], parted)
}

// series are the slices up to the last one.
func (m *measuring) series(last int) []Slice {
	cells := make([][]*cell, last+1)
	for g, c := range m.cells {
		cells[g.slice] = append(cells[g.slice], c)
	}
	all := make([]Slice, last+1)
	for i, cells := range cells {
		service := service(cells, m.step)
		all[i] = Slice{Start: time.Duration(i) * m.step, OK: service.OK, P50: service.P50, P99: service.P99}
		for _, c := range cells {
			all[i].Failed += c.failed
			all[i].Unknown += c.operations - c.answered() - c.failed
			all[i].Max = max(all[i].Max, c.longest)
		}
	}
	return all
}

// service is of the operations of some cells.
func service(cells []*cell, span time.Duration) Service {
	var s Service
	for _, c := range cells {
		s.Operations += c.operations
		s.OK += c.answered()
	}
	percentiles(cells, map[int]*time.Duration{50: &s.P50, 99: &s.P99})
	if span > 0 {
		s.PerSecond = float64(s.OK) / span.Seconds()
	}
	return s
}

// Percentile is by nearest rank, of what is sorted; 0 of nothing.
func Percentile[T time.Duration | int](sorted []T, percent int) T {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[rank(len(sorted), percent)]
}

// A phase is when one of the run's was: never, if begin is.
type phase struct{ begin, end time.Duration }

// phaseOf finds a phase. A run that was cut off ends with its last event or operation.
func phaseOf(run *history.Run, name history.Phase, end time.Duration) phase {
	begin := run.PhaseBegins(name)
	for _, e := range run.Events {
		if e.Type == history.PhaseBegins && e.Time > begin {
			return phase{begin, e.Time}
		}
	}
	return phase{begin, end}
}

// A recovery is as Statistics defines it. Without any healing it counts from the
// begin of the recovery phase, when everything has been healed.
type recovery struct {
	healed  time.Duration
	crashed map[string]time.Duration // the last time that each node did
	served  map[string]time.Duration // the first completion through each node
	asked   map[string]bool          // nodes that clients went through; others' roles may serve none
}

func newRecovery(run *history.Run) *recovery {
	r := &recovery{run.Healed(), map[string]time.Duration{}, map[string]time.Duration{}, map[string]bool{}}
	for _, e := range run.Events {
		if e.Type == history.Crash && len(e.Nodes) > 0 {
			r.crashed[e.Nodes[0]] = e.Time
		}
	}
	return r
}

func (r *recovery) add(o *history.Operation) {
	r.asked[o.Node] = true
	if o.Invoke < r.healed || o.Invoke < r.crashed[o.Node] || !o.Answered() {
		return
	}
	if first, ok := r.served[o.Node]; !ok || o.Complete < first {
		r.served[o.Node] = o.Complete
	}
}

func (r *recovery) took(run *history.Run) time.Duration {
	latest := r.healed
	for _, node := range run.Nodes() {
		first, ok := r.served[node]
		if !ok && r.asked[node] {
			return -1
		}
		latest = max(latest, first)
	}
	if len(r.served) == 0 {
		return -1
	}
	return latest - r.healed
}
