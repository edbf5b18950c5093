package statistics

import (
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A LeaderChange is how a system came by another leader. There is one for each
// kill, pause or partition that aimed at the leader, whom the system itself had
// just named, and for each separation of rooms that left the leader in the smaller
// one. The change takes from the moment when the fault was in force
// until, with the fault still in force, a write or another update was
// acknowledged that was invoked since, through a node other than the
// leader's that then reached a majority of nodes. Whom that node asked for it, nobody sees:
// where clients are sent to a leader that is cut off, and it goes on
// acknowledging, the change takes no time.
type LeaderChange struct {
	Fault int           `json:"fault"`
	At    time.Duration `json:"at_ns"`
	// Took is negative if the fault was healed, or the run over, before that
	// was seen.
	Took time.Duration `json:"took_ns"`
}

// leaderChanges are as LeaderChange defines them, in the order of their faults.
type leaderChanges []leaderChange

type leaderChange struct {
	fault         int
	since, healed time.Duration
	leader        string
	first         time.Duration // completion of what another leader served
}

func newLeaderChanges(run *history.Run) leaderChanges {
	var all leaderChanges
	heals := map[int]time.Duration{} // by fault
	for _, e := range slices.Backward(run.Events) {
		switch leader := e.TakesLeader(); {
		case e.Type == history.Heal:
			heals[e.Fault] = e.Time
		case leader != "":
			healed, known := heals[e.Fault]
			if !known {
				healed = history.Never
			}
			all = append(all, leaderChange{fault: e.Fault, since: e.Time, healed: healed, leader: leader, first: healed})
		}
	}
	slices.Reverse(all)
	return all
}

// add looks at an operation; operations may be told in any order.
func (l leaderChanges) add(o *history.Operation, kinds history.Kinds, place placement) {
	for i := range l {
		c := &l[i]
		if o.Invoke < c.since || o.Complete >= c.first || o.Invoke >= c.first || o.Node == c.leader || place.sides[o.Node] != majoritySide {
			continue
		}
		if m := kinds.Of(o.Kind); m.Changed(o) || m.Granted(o) {
			c.first = o.Complete
		}
	}
}

func (l leaderChanges) changes() []LeaderChange {
	var all []LeaderChange
	for _, c := range l {
		change := LeaderChange{Fault: c.fault, At: c.since, Took: -1}
		if c.first < c.healed {
			change.Took = c.first - c.since
		}
		all = append(all, change)
	}
	return all
}
