package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	tailBytes   = 64 << 10 // of the log, to choose from
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
	lines := lastWords(filepath.Join(w.trial.Dir, history.LogsDir, node), node)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.over:
		return
	case !w.serves:
		said := strings.Join(lines, " | ")
		if said == "" {
			said = "it has logged nothing"
		}
		select {
		case w.early <- fmt.Errorf("%s ended by itself before the cluster served: %s: %s", node, status, said):
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
func (t *Trial) lookOn(ctx context.Context) {
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

// lastWords returns the last lines that a node has logged, without those that are
// blank: of its standard error or, if that is empty, of its standard output. If
// there is a Go program's panic among them, it is their first line.
func lastWords(dir string, node cluster.Node) []string {
	for _, name := range []string{"stderr.log", "stdout.log"} {
		lines := lastLife(tail(filepath.Join(dir, name)), node)
		if len(lines) == 0 {
			continue
		}
		first := slices.IndexFunc(lines, goPanic.MatchString)
		if first < 0 {
			first = max(0, len(lines)-quotedLines)
		}
		return bound(lines[first:min(len(lines), first+quotedLines)])
	}
	return nil
}

// bound leaves out what is beyond quotedBytes.
func bound(lines []string) (bounded []string) {
	left := quotedBytes
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

// tail returns the end of a file; empty if it cannot be read.
func tail(path string) []byte {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil
	}
	text := make([]byte, min(size, tailBytes))
	if _, err := file.ReadAt(text, size-int64(len(text))); err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	return text
}

// lastLife returns the lines that are not blank, since the node was started last.
func lastLife(text []byte, node cluster.Node) (lines []string) {
	for line := range bytes.Lines(text) {
		line := strings.TrimRight(string(line), " \t\r\n")
		switch {
		case isMark(line, node) && strings.HasPrefix(line, "--- "+node+" start "):
			lines = nil
		case line != "" && !isMark(line, node):
			lines = append(lines, line)
		}
	}
	return lines
}

// isMark returns whether a line of a node's log is the world's own.
func isMark(line string, node cluster.Node) bool {
	return strings.HasPrefix(line, "--- "+node+" ") && strings.HasSuffix(line, " ---")
}
