package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A fault is a stretch of the run with one fault in force.
type fault struct {
	Hue      string // one of hues
	Lane     string // its family, or "other"
	Label    string
	From, To time.Duration
}

// hues are what has a colour of its own in page.css: the built-in families, and crashes.
// The rest is "other".
var hues = func() (names []string) {
	for _, family := range history.Families {
		names = append(names, family.Name)
	}
	return append(names, crash, other)
}()

const (
	crash = "crash"
	other = "other"
	// maxLanes bounds the families that have a lane of a chart, besides those with a colour.
	maxLanes = 6
)

// hue is the colour of a family.
func hue(family string) string {
	if slices.Contains(hues, family) {
		return family
	}
	return other
}

// tints are rules that give what is of a hue its colours.
func tints() string {
	var b strings.Builder
	for _, name := range hues {
		fmt.Fprintf(&b, ".%s { --hue: var(--%[1]s); --tint: var(--%[1]s-shade); }\n", name)
	}
	return b.String()
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
				all = append(all, fault{hue(event.Family), cmp.Or(event.Family, other), describe(event), event.Time, end})
			}
		case history.Heal:
			if i, found := open[event.Fault]; found {
				all[i].To = max(all[i].From, event.Time)
				delete(open, event.Fault)
			}
		case history.Crash: // a moment; when the node came back, other events tell
			if len(all) < maxFaults {
				all = append(all, fault{crash, crash, describe(event), event.Time, event.Time})
			}
		}
	}
	return all
}

// lanes are the families of faults, in the order of hues, and then of the faults. Those
// beyond maxLanes share one.
func lanes(faults []fault) []string {
	var own []string
	for i, f := range faults {
		switch {
		case f.Hue != other || f.Lane == other || slices.Contains(own, f.Lane):
		case len(own) < maxLanes:
			own = append(own, f.Lane)
		default:
			faults[i].Lane = other
		}
	}
	return slices.DeleteFunc(slices.Concat(hues, own), func(lane string) bool {
		return !slices.ContainsFunc(faults, func(f fault) bool { return f.Lane == lane })
	})
}

// describe is a fault in a few words: "partition majority-minority n1 n2".
func describe(event history.Event) string {
	const limit = 12
	words := []string{event.Family, event.Shape}
	if event.Type == history.Crash {
		words = []string{"crash of"}
	}
	for i, node := range event.Nodes {
		if i == limit {
			words = append(words, "and "+count(len(event.Nodes)-limit)+" more")
			break
		}
		words = append(words, node)
	}
	if event.Processes != "" {
		words = append(words, "@"+event.Processes)
	}
	how := []string{event.Mode, event.Detail}
	asShaped := event.Type == history.Inject && strings.HasPrefix(event.Shape, "leader") && slices.Contains(event.Nodes, event.Leader)
	if event.Leader != "" && !asShaped {
		how = append(how, event.Leader+" led")
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
func end(e entry) time.Duration {
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
