package reports

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A fault is a stretch of the run with one fault in force.
type fault struct {
	Family   string // one of families, and so a name that CSS knows
	Label    string
	From, To time.Duration
}

// families are the faults with a colour of their own; the rest is "other".
var families = []string{"partition", "kill", "pause", "latency", "loss", "flaky", "slow", "clock", "crash", "other"}

func family(name string) string {
	if slices.Contains(families, name) {
		return name
	}
	return "other"
}

// faults pairs each of the first maxFaults injections with its healing, and has
// each crash among them. What was never healed lasts until end.
func faults(events []history.Event, end time.Duration) []fault {
	var all []fault
	open := map[int]int{} // from a fault's number to its place in all
	for _, event := range events {
		switch event.Type {
		case history.Inject:
			if len(all) < maxFaults {
				open[event.Fault] = len(all)
				all = append(all, fault{family(event.Family), describe(event), event.Time, end})
			}
		case history.Heal:
			if i, found := open[event.Fault]; found {
				all[i].To = max(all[i].From, event.Time)
				delete(open, event.Fault)
			}
		case history.Crash: // a moment; when the node came back, other events tell
			if len(all) < maxFaults {
				all = append(all, fault{"crash", describe(event), event.Time, event.Time})
			}
		}
	}
	return all
}

// describe is a fault in a few words: "partition majority-minority n1 n2".
func describe(event history.Event) string {
	const limit = 12
	words := []string{Clean(event.Family, 20), Clean(event.Shape, 40)}
	if event.Type == history.Crash {
		words = []string{"crash of"}
	}
	for i, node := range event.Nodes {
		if i == limit {
			words = append(words, "and "+count(len(event.Nodes)-limit)+" more")
			break
		}
		words = append(words, Clean(node, 20))
	}
	if event.Processes != "" {
		words = append(words, "@"+Clean(event.Processes, 20))
	}
	how := []string{Clean(event.Mode, 20), Clean(event.Detail, 120)}
	if event.Leader != "" {
		how = append(how, Clean(event.Leader, 20)+" led")
	}
	how = slices.DeleteFunc(how, func(part string) bool { return part == "" })
	if len(how) > 0 {
		words = append(words, "("+strings.Join(how, ", ")+")")
	}
	return strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), " ")
}

// A phase is where one begins.
type phase struct {
	Name string
	From time.Duration
}

func phases(events []history.Event) []phase {
	var all []phase
	for _, event := range events {
		known := []history.Phase{history.Quiet, history.Faults, history.Recovery, history.Final}
		if event.Type == history.PhaseBegins && slices.Contains(known, event.Phase) && len(all) < len(known) {
			all = append(all, phase{string(event.Phase), event.Time})
		}
	}
	return all
}

// end is when the run was over, as far as anything tells.
func end(e Entry) time.Duration {
	var latest time.Duration
	if n := len(e.Run.Events); n > 0 {
		latest = e.Run.Events[n-1].Time
	}
	if n := len(e.Result.Statistics.Series); n > 0 {
		latest = max(latest, e.Result.Statistics.Series[n-1].Start+e.Result.Statistics.SeriesStep)
	}
	return latest
}

// thin joins neighbouring slices until at most limit are left. Counts are
// summed; latencies are the worst of those joined. It returns the new step.
func thin(series []statistics.Slice, step time.Duration, limit int) ([]statistics.Slice, time.Duration) {
	factor := (len(series) + limit - 1) / limit
	if factor <= 1 {
		return series, step
	}
	var thinned []statistics.Slice
	for some := range slices.Chunk(series, factor) {
		joined := some[0]
		for _, slice := range some[1:] {
			joined.OK += slice.OK
			joined.Failed += slice.Failed
			joined.Unknown += slice.Unknown
		}
		joined.P50 = worst(some, func(s statistics.Slice) time.Duration { return s.P50 })
		joined.P99 = worst(some, func(s statistics.Slice) time.Duration { return s.P99 })
		joined.Max = worst(some, func(s statistics.Slice) time.Duration { return s.Max })
		thinned = append(thinned, joined)
	}
	return thinned, step * time.Duration(factor)
}

func worst(some []statistics.Slice, of func(statistics.Slice) time.Duration) time.Duration {
	return of(slices.MaxFunc(some, func(a, b statistics.Slice) int { return cmp.Compare(of(a), of(b)) }))
}
