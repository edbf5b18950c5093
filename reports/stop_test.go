package reports

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/rashomon-io/rashomon/harness/history"
)

func TestTextSaysThatTheLoadWasStopped(t *testing.T) {
	entry := staleRaft()
	if slices.ContainsFunc(notes(enter(entry)), func(note string) bool { return strings.Contains(note, "Stopped") }) {
		t.Error("a run that was not stopped is said to be")
	}
	entry.Run.Events = append(entry.Run.Events, history.Event{Time: 4300 * ms, Type: history.Stop, Reason: "first violation: stale\x1b read"})
	var b bytes.Buffer
	Text(&b, entry.Run, entry.Result)
	if want := "\nStopped at 4.30 s: first violation: stale\\x1b read\n"; !strings.Contains(b.String(), want) {
		t.Errorf("%q is not in\n%s", want, b.String())
	}
}
