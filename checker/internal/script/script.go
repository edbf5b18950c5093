// Package script is for tests: it reads histories that are written by hand, and writes
// others for people.
package script

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// Parse reads a history, one operation or event a line, times in seconds:
//
//	p1 n1 write x 1 [0,10] ok
//	p2 n2 read x -> 1 [2,3] ok
//	p3 n3 cas x 1 2 -> 5 [4,5] fail
//	p3 n3 cas x 1 2 [4,5] fail with an error
//	p4 n1 read-all s -> 1 2 3 [6,7] info
//	faults at 5
//	recovery at 10
//	final at 20
//	done at 21
//	crash n2 at 3: exit status 2
//	unserved n2 n3 at 25 after 15: n2 is paused
//	torn
//	partition n1 from 3 to 8
func Parse(t testing.TB, text string) *history.Run {
	t.Helper()
	run := &history.Run{}
	run.Manifest.Nodes = []string{"n1", "n2", "n3"}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		fields := strings.Fields(line)
		switch {
		case line == "":
		case line == "torn":
			run.History.Torn = "the harness was killed"
		case fields[0] == "faults", fields[0] == "recovery", fields[0] == "final", fields[0] == "done":
			run.Events = append(run.Events, history.Event{Time: seconds(t, fields[2]), Type: history.PhaseBegins, Phase: history.Phase(fields[0])})
		case fields[0] == "crash":
			head, status, _ := strings.Cut(line, ": ")
			fields = strings.Fields(head)
			run.Events = append(run.Events, history.Event{Time: seconds(t, fields[3]), Type: history.Crash, Nodes: []string{fields[1]}, Detail: status})
		case fields[0] == "unserved":
			head, reason, _ := strings.Cut(line, ": ")
			fields = strings.Fields(head)
			at := slices.Index(fields, "at")
			run.Events = append(run.Events, history.Event{
				Time: seconds(t, fields[at+1]), Took: seconds(t, fields[at+3]), Type: history.Unserved, Nodes: fields[1:at], Reason: reason,
			})
		case fields[0] == "partition":
			e := history.Event{Time: seconds(t, fields[3]), Type: history.Inject, Fault: len(run.Events) + 1, Family: "partition", Nodes: []string{fields[1]}}
			for _, n := range run.Manifest.Nodes {
				if n != fields[1] {
					link := history.Link{From: n, To: fields[1]}
					e.Links = append(e.Links, link.String(), link.Opposite().String())
				}
			}
			heal := history.Event{Time: seconds(t, fields[5]), Type: history.Heal, Fault: e.Fault, Family: "partition"}
			run.Events = append(run.Events, e, heal)
		default:
			run.History.Operations = append(run.History.Operations, operation(t, line))
		}
	}
	slices.SortStableFunc(run.History.Operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	slices.SortStableFunc(run.Events, func(a, b history.Event) int { return int(a.Time - b.Time) })
	return run
}

func operation(t testing.TB, line string) history.Operation {
	t.Helper()
	head, rest, ok := strings.Cut(line, " [")
	span, outcome, ok2 := strings.Cut(rest, "] ")
	from, to, ok3 := strings.Cut(span, ",")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("cannot read %q", line)
	}
	o := history.Operation{Invoke: seconds(t, from), Complete: seconds(t, to)}
	outcome, o.Error, _ = strings.Cut(outcome, " ")
	if err := o.Outcome.UnmarshalText([]byte(outcome)); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	input, output, _ := strings.Cut(head, "->")
	fields := strings.Fields(input)
	if _, err := fmt.Sscanf(fields[0], "p%d", &o.Process); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	o.Node, o.Kind, o.Key = fields[1], history.Kind(fields[2]), fields[3]
	o.Input, o.Output = value(t, fields[4:]), value(t, strings.Fields(output))
	return o
}

func value(t testing.TB, fields []string) history.Value {
	t.Helper()
	var integers []int64
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		integers = append(integers, n)
	}
	return history.Ints(integers...)
}

func seconds(t testing.TB, text string) time.Duration {
	t.Helper()
	s, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(s * float64(time.Second))
}

// Brief writes an operation as Parse reads it, without process and node.
func Brief(o history.Operation) string {
	text := string(o.Kind)
	for _, n := range o.Input.Ints() {
		text += fmt.Sprintf(" %d", n)
	}
	if o.Output.Len() > 0 {
		text += " ->"
		for _, n := range o.Output.Ints() {
			text += fmt.Sprintf(" %d", n)
		}
	}
	return text
}

// List writes operations, one a line.
func List(operations []history.Operation) string {
	text := ""
	for _, o := range operations {
		text += fmt.Sprintf("  p%d %s [%d,%d] %s\n", o.Process, Brief(o), o.Invoke, o.Complete, o.Outcome)
	}
	return text
}

// Histories is how many histories a differential fuzz draws; RASHOMON_HISTORIES sets it.
func Histories(t testing.TB) int {
	t.Helper()
	if text := os.Getenv("RASHOMON_HISTORIES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return 10_000
	}
	return 70_000
}
