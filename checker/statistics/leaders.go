package statistics

import (
	"slices"
	"sort"
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

// leaderChanges are as LeaderChange defines them. The operations are ordered by
// Invoke.
func leaderChanges(run *history.Run, places []placement, operations []*history.Operation) []LeaderChange {
	var all []LeaderChange
	heals := map[int]time.Duration{} // by fault
	for _, e := range slices.Backward(run.Events) {
		switch {
		case e.Type == history.Heal:
			heals[e.Fault] = e.Time
		default:
			leader := e.TakesLeader()
			if leader == "" {
				continue
			}
			healed, known := heals[e.Fault]
			if !known {
				healed = history.Never
			}
			all = append(all, leaderChange(e, leader, healed, places, run.Manifest.Kinds, operations))
		}
	}
	slices.Reverse(all)
	return all
}

func leaderChange(e history.Event, leader string, healed time.Duration, places []placement, kinds history.Kinds, operations []*history.Operation) LeaderChange {
	first := healed // completion of what another leader served
	since := sort.Search(len(operations), func(i int) bool { return operations[i].Invoke >= e.Time })
	for _, o := range operations[since:] {
		if o.Invoke >= first {
			break
		}
		m := kinds.Of(o.Kind)
		if (m.Changed(o) || m.Granted(o)) && o.Complete < first && o.Node != leader && at(o.Invoke, places).sides[o.Node] == majoritySide {
			first = o.Complete
		}
	}
	change := LeaderChange{Fault: e.Fault, At: e.Time, Took: -1}
	if first < healed {
		change.Took = first - e.Time
	}
	return change
}
