package trial

import (
	"fmt"
	"maps"
	"slices"

	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Fewer operations than enough, or a smaller share of them than enoughShare,
// test nothing.
const (
	enough      = 10
	enoughShare = 0.1
)

// Vacuous says why the run tested nothing; empty if it did. A history from elsewhere
// is what it is: it may be short, and of one kind of operation.
func Vacuous(run *history.Run, s statistics.Statistics) string {
	wanted := run.Manifest.Nemesis
	landed := slices.ContainsFunc(run.Events, func(e history.Event) bool {
		return e.Type == history.Inject && felt(run, e) || e.Type == history.Stop // a violation came before any fault
	})
	switch {
	case s.OK == 0:
		return fmt.Sprintf("None of %d operations succeeded.", s.Operations)
	case !run.IsTrial():
		return ""
	case s.OK < enough:
		return fmt.Sprintf("Only %d of %d operations succeeded; fewer than %d test nothing.", s.OK, s.Operations, enough)
	case float64(s.OK) < enoughShare*float64(s.Operations):
		return fmt.Sprintf("Only %d of %d operations succeeded, less than %.0f %%.", s.OK, s.Operations, 100*enoughShare)
	}
	if reason := idle(run); reason != "" {
		return reason
	}
	if why, wholly := unlinked(run, s); wholly {
		return why
	}
	if wanted != "" && wanted != "none" && !landed {
		return fmt.Sprintf("The nemesis %q was asked for, and no fault landed.", wanted)
	}
	return ""
}

// felt: a fault of clients' links hits nobody if no client went through its nodes.
func felt(run *history.Run, e history.Event) bool {
	var ends []string
	for _, link := range e.Directed() {
		ends = append(ends, link.From, link.To)
	}
	for o := range run.History.Each() {
		if slices.Contains(ends, o.Node) {
			return true
		}
	}
	return !e.OnlyClients()
}

// idle names the first kind of operation that clients issued and of which none was
// acknowledged; or says that nothing was read, or nothing updated, at all. A
// release, and a use of what a lock protects, may all be refused.
func idle(run *history.Run) string {
	issued, acknowledged := map[history.Kind]int{}, map[history.Kind]int{}
	for o := range run.History.Each() {
		issued[o.Kind]++
		if o.Outcome == history.OK {
			acknowledged[o.Kind]++
		}
	}
	observed, updated := false, false
	for kind := range issued {
		meaning := run.Manifest.Kinds.Of(kind)
		unclear := meaning == history.Meaning{}
		observed = observed || (unclear || meaning.Observes()) && acknowledged[kind] > 0
		updated = updated || (unclear || meaning.Updates) && acknowledged[kind] > 0
	}
	for _, kind := range slices.Sorted(maps.Keys(issued)) {
		if meaning := run.Manifest.Kinds.Of(kind); (meaning.Observes() || meaning.Updates) && acknowledged[kind] == 0 {
			return fmt.Sprintf("None of %d operations of the kind %q was acknowledged.", issued[kind], kind)
		}
	}
	switch {
	case !observed:
		return "No read succeeded, so nothing was observed."
	case !updated:
		return "No update was acknowledged, so there was nothing to lose."
	}
	return ""
}
