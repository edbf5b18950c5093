package reports

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A Schedule is what the nemesis had planned under one seed, and what became of
// it in each system. The plan is a function of seed, nodes, duration and world, and
// so is the same for all; what it hits depends on who leads when the time has
// come.
type Schedule struct {
	Seed uint64 `json:"seed"`
	// Differs names the first fault that was planned otherwise for some
	// system, which should not be; 0 if none was.
	Differs int              `json:"differs,omitempty"`
	Faults  []ScheduledFault `json:"faults"`

	leaderless []string // systems that have no leader, so that random nodes were hit in its place
}

// A ScheduledFault is one fault of the plan.
type ScheduledFault struct {
	Number int           `json:"fault"`
	At     time.Duration `json:"planned_ns"` // since the faults phase began
	Fault  string        `json:"what"`       // in words, without victims
	// Became says what it hit in each of the comparison's systems: nodes, or why
	// it was skipped; "–" where the run has no such fault.
	Became []string `json:"became"`

	plan plan
}

// A plan is what a schedule decides about a fault.
type plan struct {
	at                             time.Duration
	family, shape, mode, processes string
	condition                      *history.Condition
	clock                          *history.Clock
}

// same: a system without a leader, ever, has the shape "random-minority" in place of
// "leader-minority".
func (p plan) same(other plan) bool {
	if atRandom(p.shape) == other.shape || atRandom(other.shape) == p.shape {
		p.shape = other.shape
	}
	return reflect.DeepEqual(p, other)
}

const random = "random"

func atRandom(shape string) string {
	for _, aim := range []string{"leader", "follower"} {
		if rest, aims := strings.CutPrefix(shape, aim); aims {
			return random + rest
		}
	}
	return shape
}

// schedules collects the plans of all seeds from the runs' events.
func schedules(all [][]entry) []Schedule {
	bySeed := map[uint64]*Schedule{}
	var seeds []uint64
	for i, runs := range all {
		for _, entry := range runs {
			seed := entry.Run.Manifest.Seed
			if bySeed[seed] == nil {
				bySeed[seed] = &Schedule{Seed: seed}
				seeds = append(seeds, seed)
			}
			bySeed[seed].add(entry, i, len(all))
		}
	}
	slices.Sort(seeds)
	var schedules []Schedule
	for _, seed := range seeds {
		schedules = append(schedules, *bySeed[seed])
	}
	return schedules
}

// add tells what the faults became in one system. The first event of a number
// is what was done about that fault; later ones heal it.
func (s *Schedule) add(entry entry, system, systems int) {
	done := map[int]bool{}
	leads := true
	for _, e := range entry.Run.Events {
		if e.Fault < 1 || e.Type == history.Heal || done[e.Fault] {
			continue
		}
		done[e.Fault] = true
		leads = leads && !e.NoLeader
		planned := plan{e.Planned, e.Family, e.Shape, e.Mode, e.Processes, e.Condition, e.Clock}
		i, found := slices.BinarySearchFunc(s.Faults, e.Fault, func(f ScheduledFault, number int) int { return cmp.Compare(f.Number, number) })
		if !found {
			s.Faults = slices.Insert(s.Faults, i, ScheduledFault{Number: e.Fault, At: e.Planned, Became: slices.Repeat([]string{unmeasured}, systems), plan: planned})
		}
		fault := &s.Faults[i]
		if !fault.plan.same(planned) && (s.Differs == 0 || e.Fault < s.Differs) {
			s.Differs = e.Fault
		}
		if !found || strings.HasPrefix(fault.plan.shape, random) { // better the words of a system that has leaders
			fault.plan = planned
			fault.Fault = describe(history.Event{Family: e.Family, Shape: e.Shape, Mode: e.Mode, Processes: e.Processes, Detail: e.Detail})
		}
		fault.Became[system] = became(e)
	}
	if !leads {
		s.leaderless = append(s.leaderless, entry.name())
	}
}

// became is whom a fault hit, or why nobody.
func became(e history.Event) string {
	hit := foremost(e.Nodes, " ")
	switch {
	case e.Type == history.Skip:
		return "skipped: " + e.Reason
	case e.Type == history.Trouble:
		return "failed: " + e.Reason
	case e.Reason != "":
		return hit + " (" + e.Reason + ")"
	case hit == "":
		return "as planned" // links alone
	}
	return hit
}

// line is what a terminal shows of the schedule.
func (s Schedule) line() string {
	line := fmt.Sprintf("seed %d: %s, planned the same for every system", s.Seed, counted(len(s.Faults), "fault"))
	if s.Differs > 0 {
		line = fmt.Sprintf("seed %d: %s; NOT the same for every system: fault %d differs", s.Seed, counted(len(s.Faults), "fault"), s.Differs)
	}
	var elsewhere, skipped []string
	for _, f := range s.Faults {
		var hits []string
		lacking := false
		for _, became := range f.Became {
			switch {
			case strings.HasPrefix(became, "skipped") || strings.HasPrefix(became, "failed"):
				lacking = true
			case became != unmeasured:
				nodes, _, _ := strings.Cut(became, " (")
				hits = append(hits, nodes)
			}
		}
		if lacking {
			skipped = append(skipped, fmt.Sprint(f.Number))
		}
		slices.Sort(hits)
		if len(slices.Compact(hits)) > 1 {
			elsewhere = append(elsewhere, fmt.Sprint(f.Number))
		}
	}
	if len(elsewhere) > 0 {
		line += "; they hit other nodes in some: " + foremost(elsewhere, " ")
	}
	switch len(s.leaderless) {
	case 0:
	case 1:
		line += "; random nodes in place of a leader in " + s.leaderless[0] + ", which has none"
	default:
		line += "; random nodes in place of a leader in " + foremost(s.leaderless, ", ") + ", which have none"
	}
	if len(skipped) > 0 {
		line += "; skipped in some: " + foremost(skipped, " ")
	}
	return line
}

func foremost(names []string, separator string) string {
	const limit = 12
	if len(names) > limit {
		names = append(slices.Clone(names[:limit]), "…")
	}
	return strings.Join(names, separator)
}
