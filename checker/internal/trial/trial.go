// Package trial judges what a trial shows besides its operations: whether nodes lived,
// whether the cluster served again after the faults, whether what it acknowledged was
// looked for then, and whether it tested anything. All are pure functions of the run.
package trial

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Violations are what a trial shows besides one order of its operations: that nodes
// ended by themselves, that logs have lines that they must not have, that the cluster
// did not serve again.
func Violations(run *history.Run) []anomaly.Violation {
	return slices.Concat(crashes(run), forbiddenLines(run), noRecovery(run))
}

// Gaps say what a trial did not come to see: a final phase, nodes that serve again, or
// what became of acknowledged updates, of which so many were not looked for.
func Gaps(run *history.Run) (gaps []string, uncoveredUpdates int) {
	if run.PhaseBegins(history.Done) == history.Never {
		return []string{"The trial was cut off before its final phase ended, so what it lost would not show."}, 0
	}
	if len(noRecovery(run)) > 0 { // which says that nothing could be read
		return nil, 0
	}
	gap, count := uncovered(run)
	if gap != "" {
		gaps = append(gaps, gap)
	}
	return append(gaps, unserved(run)...), count
}

// Warnings say what makes a trial worth less than it seems, but change no verdict.
func Warnings(run *history.Run, s statistics.Statistics) []string {
	return slices.Concat(shortFaults(run, s.LeaderChanges), fewAnswers(s), bypassed(run, s))
}

// crashes are the nodes that ended by themselves, one violation a node.
func crashes(run *history.Run) []anomaly.Violation {
	times := map[string]int{}
	first := map[string]history.Event{}
	for _, e := range run.Events {
		if e.Type != history.Crash || len(e.Nodes) == 0 || excused(run, e) {
			continue
		}
		node := e.Nodes[0]
		if times[node]++; times[node] == 1 {
			first[node] = e
		}
	}
	var all []anomaly.Violation
	for _, node := range run.Nodes() {
		e, crashed := first[node]
		if !crashed {
			continue
		}
		often := ""
		if times[node] > 1 {
			often = fmt.Sprintf(" %d times, first", times[node])
		}
		text := fmt.Sprintf("%s ended by itself%s at %s", node, often, sentence.Seconds(e.Time))
		if e.Detail != "" {
			text += " with " + e.Detail
		}
		before := e.Time - 1
		text += sentence.Faults(run, sentence.Span{From: before, To: before}, node)
		if e.Reason != "" {
			text += "; the last lines of its log: " + sentence.OneLine(e.Reason)
		}
		all = append(all, anomaly.Violation{Anomaly: anomaly.NodeCrashed, Time: e.Time, Sentence: strings.TrimRight(text, ".") + "."})
	}
	return all
}

// excused: a fault was in force with which the node may rightly end, such as a kill of
// some of its processes.
func excused(run *history.Run, crash history.Event) bool {
	return slices.ContainsFunc(sentence.FaultsUntil(run.Events, crash.Time), func(f sentence.Fault) bool {
		family := f.Of()
		return !f.Over() && (family.Exits || family.Ends && f.Processes != "") && slices.Contains(f.Nodes, crash.Nodes[0])
	})
}

// forbiddenLines are the lines in logs that match the target's patterns.
func forbiddenLines(run *history.Run) []anomaly.Violation {
	var all []anomaly.Violation
	for _, e := range run.Events {
		if e.Type == history.Logged && len(e.Nodes) > 0 {
			all = append(all, anomaly.Violation{
				Anomaly: anomaly.LogPattern, Time: e.Time,
				Sentence: fmt.Sprintf("%s logged what no log may hold, in %s: %s", e.Nodes[0], e.Detail, sentence.OneLine(e.Reason)),
			})
		}
	}
	return all
}

// noRecovery is a violation if the cluster had its time to serve again, all nodes
// ran and all links were whole, and no read or no update was acknowledged since,
// through any node, though some had been before. (If none ever was, the run is
// vacuous: the fault may be the client's.)
func noRecovery(run *history.Run) []anomaly.Violation {
	e, found := lastUnserved(run)
	if !found || e.Reason != "" {
		return nil
	}
	healed := e.Time - e.Took
	var reads, updates tally
	for o := range run.History.Each() {
		switch m := run.Manifest.Kinds.Of(o.Kind); {
		case m.Reads:
			reads.add(o, healed, o.Outcome == history.OK)
		case m.Updates:
			updates.add(o, healed, m.Changed(o) || m.Granted(o) || o.Answered() && !m.Compares)
		}
	}
	var what string
	switch {
	case reads.none() && updates.none():
		what = fmt.Sprintf("no read and no update was acknowledged (%d were tried)", reads.tried+updates.tried)
	case reads.none():
		what = fmt.Sprintf("no read was acknowledged (%d were tried)", reads.tried)
	case updates.none():
		what = fmt.Sprintf("no update was acknowledged (%d were tried)", updates.tried)
	default:
		return nil
	}
	text := fmt.Sprintf("The cluster did not serve again: from %s on all faults were healed, all nodes ran and all links were whole, yet through no node, in the %s that followed, %s",
		sentence.Seconds(healed), sentence.Seconds(e.Took), what)
	if faultless(run) {
		text = fmt.Sprintf("The cluster does not serve any more: there was no fault, all nodes ran and all links were whole, yet in the %s from %s on %s through any node",
			sentence.Seconds(e.Took), sentence.Seconds(healed), what)
	}
	if example := cmp.Or(reads.example, updates.example); example != "" {
		text += ", such as with " + sentence.OneLine(example)
	}
	if len(e.Nodes) > 0 {
		text += fmt.Sprintf("; nothing was served by %s", strings.Join(e.Nodes, " "))
	}
	return []anomaly.Violation{{Anomaly: anomaly.NoRecovery, Time: e.Time, Sentence: text + "."}}
}

// A tally counts operations of one sort.
type tally struct {
	before       int    // acknowledged before the healing
	tried, acked int    // since then
	example      string // the last to be invoked
	at           time.Duration
}

func (t *tally) add(o *history.Operation, since time.Duration, acked bool) {
	switch {
	case o.Invoke >= since && acked:
		t.acked++
	case acked:
		t.before++
	}
	if o.Invoke < since {
		return
	}
	t.tried++
	if o.Error != "" && o.Invoke >= t.at {
		t.example, t.at = o.Error, o.Invoke
	}
}

func (t *tally) none() bool { return t.before > 0 && t.acked == 0 }

// faultless: the trial had no nemesis.
func faultless(run *history.Run) bool { return run.Manifest.Nemesis == "none" }

func lastUnserved(run *history.Run) (history.Event, bool) {
	for _, e := range slices.Backward(run.Events) {
		if e.Type == history.Unserved {
			return e, true
		}
	}
	return history.Event{}, false
}

// unserved says which nodes did not serve again, though they had not crashed, and
// whether no read or no update was acknowledged. That is no violation where something
// excuses it, or locks were only refused: they may be held.
func unserved(run *history.Run) (gaps []string) {
	e, found := lastUnserved(run)
	if !found {
		return askedInVain(run)
	}
	healed := e.Time - e.Took
	served := crashed(run)
	var reads, updates tally
	for o := range run.History.Each() {
		if o.Invoke >= healed && o.Answered() {
			served[o.Node] = true
		}
		m := run.Manifest.Kinds.Of(o.Kind)
		if m.Reads {
			reads.add(o, healed, o.Outcome == history.OK)
		}
		used := o.Kind == history.Use && o.Outcome == history.OK && o.Invoke >= e.Time-e.Took/2
		if used || m.Updates { // locks are not granted while others use them, for long
			updates.add(o, healed, used || m.Changed(o) || m.Granted(o))
		}
	}
	why := ", although all nodes ran and all links were whole"
	if e.Reason != "" {
		why = ", " + sentence.OneLine(e.Reason)
	}
	when := fmt.Sprintf(" in the %s after the faults were healed", sentence.Seconds(e.Took))
	if faultless(run) {
		when = fmt.Sprintf(" in the %s from %s on", sentence.Seconds(e.Took), sentence.Seconds(healed))
	}
	missing := slices.DeleteFunc(slices.Clone(e.Nodes), func(node string) bool { return served[node] })
	if len(missing) > 0 {
		gaps = append(gaps, strings.Join(missing, " ")+" served nothing"+when+why+".")
	}
	for _, lack := range []struct {
		of   tally
		what string
	}{{reads, "read"}, {updates, "update"}} {
		if lack.of.none() && lack.of.tried > 0 {
			gaps = append(gaps, fmt.Sprintf("No %s was acknowledged%s (%d were tried)%s.", lack.what, when, lack.of.tried, why))
		}
	}
	return gaps
}

// crashed are the nodes that ended by themselves, of which another violation tells.
func crashed(run *history.Run) map[string]bool {
	nodes := map[string]bool{}
	for _, e := range run.Events {
		if e.Type == history.Crash && len(e.Nodes) > 0 {
			nodes[e.Nodes[0]] = true
		}
	}
	return nodes
}

// askedInVain says which nodes were asked again and again after the healing and never
// answered. A load that goes on shows that by itself; one that has ended leaves it to
// the final operations.
func askedInVain(run *history.Run) (gaps []string) {
	const again = 3
	healed, tried, settled := run.Healed(), map[string]int{}, crashed(run)
	for o := range run.History.Each() {
		if o.Invoke >= healed && o.Kind != history.Use {
			tried[o.Node]++
			settled[o.Node] = settled[o.Node] || o.Answered()
		}
	}
	for _, node := range run.Nodes() {
		if tried[node] >= again && !settled[node] {
			gaps = append(gaps, fmt.Sprintf("%s served nothing from %s on, though it was asked %d times.", node, sentence.Seconds(healed), tried[node]))
		}
	}
	return gaps
}

// uncovered counts the acknowledged updates that nothing looked for after the
// faults: an update is covered if, after the healing and after its
// acknowledgement, a read of its key, or of the whole set, succeeded, or a dequeue
// found its queue empty, through any node. An element that was dequeued is covered
// too. Nothing reads ids and locks.
func uncovered(run *history.Run) (gap string, count int) {
	healed := run.Healed()
	lastRead := map[string]time.Duration{} // by key, invocation
	dequeued := map[string]map[int64]bool{}
	for o := range run.History.Each() {
		m := run.Manifest.Kinds.Of(o.Kind)
		switch {
		case o.Kind == history.Dequeue && o.Outcome == history.OK && o.Output.Len() > 0:
			if dequeued[o.Key] == nil {
				dequeued[o.Key] = map[int64]bool{}
			}
			dequeued[o.Key][o.Output.At(0)] = true
		case m.Saw(o), o.Outcome == history.OK && (m.Reads || m.Compares):
			if o.Invoke >= healed {
				lastRead[o.Key] = max(lastRead[o.Key], o.Invoke)
			}
		}
	}
	keys, acknowledged, why := map[string]int{}, 0, "no later read succeeded"
	for o := range run.History.Each() {
		if !run.Manifest.Kinds.Of(o.Kind).Changed(o) {
			continue
		}
		acknowledged++
		read, any := lastRead[o.Key]
		if any && read >= o.Complete || o.Kind == history.Enqueue && dequeued[o.Key][o.Input.At(0)] {
			continue
		}
		count++
		keys[o.Key]++
		if o.Kind == history.Enqueue {
			why = "nobody dequeued them, and no later dequeue found the queue empty"
		}
	}
	if count == 0 {
		return "", 0
	}
	where := ""
	if key := earliestKey(keys); key != "" {
		where = fmt.Sprintf(", such as %d of %s", keys[key], key)
	}
	when := "after the faults"
	if faultless(run) {
		when = "in the end"
	}
	return fmt.Sprintf("%d of %d acknowledged updates were not looked for %s%s: %s, so whether they are lost is not known.",
		count, acknowledged, when, where, why), count
}

func earliestKey(keys map[string]int) string {
	least := ""
	for key := range keys {
		if least == "" || key < least {
			least = key
		}
	}
	return least
}

// bypassShare is what a system that refuses without a majority hardly answers on a
// minority side.
const bypassShare = 0.5

// unlinked says why faults of links did not separate the nodes; nothing if they did, or
// there were none. They separated nothing at all if no link was ever used or, where nodes
// met past a link, if at least bypassShare of what clients on the minority side of
// partitions asked was answered.
func unlinked(run *history.Run, s statistics.Statistics) (why string, wholly bool) {
	i := slices.IndexFunc(run.Events, func(e history.Event) bool { return e.Type == history.Unlinked })
	fault := slices.IndexFunc(run.Events, func(e history.Event) bool { return e.Type == history.Inject && len(e.Links) > 0 && !e.OnlyClients() })
	if i < 0 || fault < 0 {
		return "", false
	}
	wholly = len(run.Events[i].Links) == 0 || s.Minority.Availability() >= bypassShare
	what := "did not separate all nodes"
	if wholly {
		what = "separated nothing"
	}
	return fmt.Sprintf("The faults of links (%s) %s: %s.", run.Events[fault].Family, what, run.Events[i].Reason), wholly
}

// bypassed warns of nodes that met past a link, where partitions separated some all the
// same.
func bypassed(run *history.Run, s statistics.Statistics) []string {
	why, wholly := unlinked(run, s)
	if why == "" || wholly {
		return nil
	}
	return []string{why}
}

// shortFaults warns if faults aimed at the leader, and none lasted until another
// node led: then the schedule was too fast for the system's elections.
func shortFaults(run *history.Run, changes []statistics.LeaderChange) []string {
	if len(changes) == 0 {
		return nil
	}
	begun := map[int]history.Event{}
	for _, e := range run.Events {
		if e.TakesLeader() != "" {
			begun[e.Fault] = e
		}
	}
	longest := time.Duration(0)
	for _, e := range run.Events {
		inject, aimed := begun[e.Fault]
		if e.Type != history.Heal || !aimed {
			continue
		}
		if e.Leader != "" && e.Leader != inject.TakesLeader() {
			return nil
		}
		longest = max(longest, e.Time-inject.Time)
	}
	if longest == 0 || slices.ContainsFunc(changes, func(c statistics.LeaderChange) bool { return c.Took >= 0 }) {
		return nil
	}
	interval := max(4*longest, 6*time.Second).Round(time.Second)
	return []string{fmt.Sprintf("In %s at the leader, the longest of %s, no other node came to lead. If this system elects leaders, its elections take longer: use an interval of %v (--interval, Schedule.Interval), and a longer trial.",
		sentence.Several(len(changes), "fault"), sentence.Seconds(longest), interval)}
}

// fewAnswers warns if hardly anything was answered during the faults: what is not
// answered cannot be wrong.
func fewAnswers(s statistics.Statistics) []string {
	share := s.During.Availability()
	if len(s.Faults) == 0 || share < 0 || share >= enoughShare {
		return nil
	}
	return []string{fmt.Sprintf("Only %.1f %% of the operations during the faults were answered, so little was tested then: use a longer interval (--interval, Schedule.Interval), or another fault.", 100*share)}
}
