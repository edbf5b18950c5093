package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// goPanic is the first line of what a Go program says that ends in a panic.
var goPanic = regexp.MustCompile(`^(panic|fatal error): `)

// DefaultLogPatterns are of lines that no target's log may have: those of a Go program
// that panics, also if it goes on, or races, and of any that accesses memory that it
// must not.
var DefaultLogPatterns = []*regexp.Regexp{
	regexp.MustCompile(`\bpanic(:| serving) `),
	regexp.MustCompile(`\bfatal error: `),
	regexp.MustCompile(`\bDATA RACE\b`),
	regexp.MustCompile(`\bSIGSEGV\b`),
}

// The bounds of a search of logs.
const (
	searchedBytes = 256 << 20 // of one file, from its beginning
	searchedLine  = 64 << 10  // bytes of one line, from its beginning
	loggedBytes   = 500       // of the line that is told
	maxLogged     = 100       // lines told
)

func forbids(patterns []*regexp.Regexp, line string) bool {
	for _, pattern := range patterns {
		if pattern.MatchString(line) {
			return true
		}
	}
	return false
}

// searchLogs records the first line in each log of each node that matches each of the
// patterns. Files that the target names come from the node's data. What could not be
// searched is recorded as trouble.
func (r *run) searchLogs(ctx context.Context) {
	trouble := func(node cluster.Node, err error) {
		r.recorder.Event(history.Event{Type: history.Trouble, Nodes: []string{node}, Reason: "logs: " + err.Error()})
	}
	root := filepath.Join(r.Dir, history.LogsDir)
	files := r.Target.LogFiles
	if r.isShared() {
		files = nil
	}
	if len(files) > 0 {
		r.onEach(ctx, r.cluster.Nodes(), func(ctx context.Context, node cluster.Node) error {
			return r.cluster.Collect(ctx, node, filepath.Join(root, node, "data"), files...)
		}, trouble)
	}
	for _, pattern := range files {
		if found, err := fs.Glob(os.DirFS(root), "*/data/"+pattern); err == nil && len(found) == 0 {
			r.tell("no node has a log in its data that matches %s", pattern)
		}
	}
	search := search{
		patterns: append(append([]*regexp.Regexp{}, DefaultLogPatterns...), r.Target.LogPatterns...),
		watch:    r.watch,
	}
	for _, node := range r.cluster.Nodes() {
		err := filepath.WalkDir(filepath.Join(root, node), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() || ctx.Err() != nil {
				return errors.Join(err, ctx.Err())
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if err := search.file(path, filepath.ToSlash(name), node); err != nil {
				trouble(node, err)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			trouble(node, err)
		}
	}
	for i, event := range search.found {
		if i == maxLogged {
			r.tell("%d further lines of logs match a pattern and are not recorded", len(search.found)-maxLogged)
			break
		}
		r.recorder.Event(event)
		r.tell("a log has a line that it must not have: %s: %s", event.Detail, event.Reason)
	}
}

// A search is of all logs of a trial.
type search struct {
	patterns []*regexp.Regexp
	watch    *watch
	found    []history.Event
}

// file searches one. An error says what was not searched.
func (s *search) file(path, name string, node cluster.Node) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewReaderSize(io.LimitReader(file, searchedBytes), searchedLine)
	left := append([]*regexp.Regexp{}, s.patterns...)
	for len(left) > 0 {
		text, rest, err := lines.ReadLine()
		if err != nil {
			break
		}
		left = s.line(strings.TrimRight(string(text), " \t\r"), name, node, left)
		for rest && err == nil {
			_, rest, err = lines.ReadLine()
		}
	}
	if info, err := file.Stat(); err == nil && info.Size() > searchedBytes && len(left) > 0 {
		return fmt.Errorf("%s has %d MiB, of which only the first %d were searched", name, info.Size()>>20, searchedBytes>>20)
	}
	return nil
}

// line returns the patterns that are still to be looked for in the file.
func (s *search) line(line, name string, node cluster.Node, patterns []*regexp.Regexp) (left []*regexp.Regexp) {
	if !forbids(patterns, line) || isMark(line, node) || s.watch.quotes(node, line) {
		return patterns
	}
	for _, pattern := range patterns {
		if !pattern.MatchString(line) {
			left = append(left, pattern)
		}
	}
	s.found = append(s.found, history.Event{Type: history.Logged, Nodes: []string{node}, Detail: name, Reason: clip(line, loggedBytes)})
	return left
}
