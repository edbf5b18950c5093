package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// What is quoted of the log of a node that ended.
const (
	quotedLines = 10
	quotedBytes = 2 << 10
	partBytes   = 64 << 10 // of the log, to choose from
)

// A watch records the nodes that end by themselves, from when the cluster serves
// until the history ends. One that ends before is why there can be no trial.
type watch struct {
	trial *Trial
	early chan error // the first that ended too early

	mu      sync.Mutex
	serves  bool
	over    bool
	record  func(history.Event)
	pending []history.Event // from before there was a recorder
	quoted  map[cluster.Node][]string
}

func newWatch(t *Trial) *watch {
	return &watch{trial: t, early: make(chan error, 1), quoted: map[cluster.Node][]string{}}
}

// exited is a cluster.Spec's Exited.
func (w *watch) exited(node cluster.Node, status string) {
	dir := filepath.Join(w.trial.Dir, history.LogsDir, node)
	lines := lastWords(dir, node)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.over:
		return
	case !w.serves:
		select {
		case w.early <- tooEarly(dir, node, status):
		default:
		}
		return
	}
	w.quoted[node] = append(w.quoted[node], lines...)
	w.trial.tell("%s ended by itself: %s", node, strings.Join(append([]string{status}, lines...), " | "))
	event := history.Event{Type: history.Crash, Nodes: []string{node}, Detail: status, Reason: strings.Join(lines, "\n")}
	if w.record == nil {
		w.pending = append(w.pending, event)
		return
	}
	w.record(event)
}

// tooEarly is the error of a node that ended before the cluster served.
func tooEarly(dir string, node cluster.Node, status string) error {
	said := strings.Join(firstAndLastWords(dir, node), " | ")
	if said == "" {
		said = "it has logged nothing"
	}
	if strings.HasSuffix(status, "status 0") {
		status += " (a node must stay in the foreground)"
	}
	return fmt.Errorf("%s ended by itself before the cluster served: %s: %s", node, status, said)
}

// begin says that the cluster serves now. It returns the error of a node that ended
// before.
func (w *watch) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serves = true
	select {
	case err := <-w.early:
		return err
	default:
		return nil
	}
}

// recordBy has crashes recorded from now on, and those since the beginning.
func (w *watch) recordBy(record func(history.Event)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record = record
	for _, event := range w.pending {
		record(event)
	}
	w.pending = nil
}

// lookOn lets the watch go on when the last client has left: a node that this, or the
// last operation, brings down has not ended at once.
func (r *run) lookOn(ctx context.Context) {
	timer := time.NewTimer(lastLook)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// end returns when no crash is recorded any more.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}

// quotes returns whether a crash of the node has told that line.
func (w *watch) quotes(node cluster.Node, line string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.quoted[node], clip(line, quotedBytes))
}

// lastWords returns the last lines that a node has logged. If there is a Go program's
// panic among them, it is their first line.
func lastWords(dir string, node cluster.Node) []string {
	lines := logged(dir, node, true)
	first := slices.IndexFunc(lines, goPanic.MatchString)
	if first < 0 {
		first = max(0, len(lines)-quotedLines)
	}
	return bound(lines[first:min(len(lines), first+quotedLines)], quotedBytes)
}

// firstAndLastWords is lastWords for a node that never served: where it does not panic,
// the cause is often the first line, and a usage text the rest.
func firstAndLastWords(dir string, node cluster.Node) []string {
	first, last := logged(dir, node, false), logged(dir, node, true)
	if len(first) <= quotedLines || len(last) <= quotedLines || slices.ContainsFunc(last, goPanic.MatchString) {
		return lastWords(dir, node)
	}
	const half = quotedLines / 2
	begin, end := bound(first[:half], quotedBytes/2), bound(last[len(last)-half+1:], quotedBytes/2)
	return slices.Concat(begin, []string{"…"}, end)
}

// logged returns the lines that a node has logged since it was started last, without
// those that are blank: of its standard error or, if that is empty, of its standard
// output. Of a long log, it is the last part, or the first.
func logged(dir string, node cluster.Node, last bool) []string {
	for _, name := range []string{"stderr.log", "stdout.log"} {
		if lines := lastLife(part(filepath.Join(dir, name), last), node); len(lines) > 0 {
			return lines
		}
	}
	return nil
}

// loggedNothing returns whether no log in the run directory says anything, besides the
// world's own marks.
func (t *Trial) loggedNothing() bool {
	logs, err := fs.Glob(os.DirFS(t.Dir), history.LogsDir+"/*/*.log")
	return err == nil && !slices.ContainsFunc(logs, func(log string) bool {
		return len(lastLife(part(filepath.Join(t.Dir, log), true), path.Base(path.Dir(log)))) > 0
	})
}

// bound leaves out what is beyond so many bytes.
func bound(lines []string, left int) (bounded []string) {
	for _, line := range lines {
		if line = clip(line, left); line == "" {
			break
		}
		bounded = append(bounded, line)
		left -= len(line) + 1
	}
	return bounded
}

// clip returns the line as UTF-8, cut to so many bytes.
func clip(line string, most int) string {
	line = strings.ToValidUTF8(line, "�")
	if len(line) > max(most, 0) {
		line = strings.ToValidUTF8(line[:max(most, 0)], "")
	}
	return line
}

// part returns the end of a file, or its beginning; empty if it cannot be read.
func part(path string, last bool) []byte {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil
	}
	text, from := make([]byte, min(size, partBytes)), int64(0)
	if last {
		from = size - int64(len(text))
	}
	if _, err := file.ReadAt(text, from); err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	return text
}

// lastLife returns the lines that are not blank, since the node was started last. The
// world's own mark may stand at the end of one that the node has not ended.
func lastLife(text []byte, node cluster.Node) (lines []string) {
	for line := range bytes.Lines(text) {
		line := strings.TrimRight(string(line), " \t\r\n")
		if at := strings.LastIndex(line, "--- "+node+" "); at >= 0 && isMark(line[at:], node) {
			if strings.HasPrefix(line[at:], "--- "+node+" start ") {
				lines = nil
				continue
			}
			line = line[:at]
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// isMark returns whether a line of a node's log is the world's own.
func isMark(line string, node cluster.Node) bool {
	return strings.HasPrefix(line, "--- "+node+" ") && strings.HasSuffix(line, " ---")
}
