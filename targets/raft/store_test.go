package raft

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	hraft "github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"pgregory.net/rapid"
)

type sink struct{ bytes.Buffer }

func (*sink) ID() string    { return "" }
func (*sink) Cancel() error { return nil }
func (*sink) Close() error  { return nil }

// commands draws a log.
var commands = rapid.SliceOf(rapid.Custom(func(t *rapid.T) string {
	number := rapid.Int64Range(0, 3)
	key := rapid.SampledFrom([]string{"k", "l"})
	switch verb := rapid.SampledFrom([]string{"set", "cas", "add", "enqueue", "dequeue", "acquire", "release"}).Draw(t, "verb"); verb {
	case "enqueue", "acquire", "release":
		return fmt.Sprint(verb, " ", key.Draw(t, "key"), " ", number.Draw(t, "number"))
	case "dequeue":
		return fmt.Sprint("dequeue ", key.Draw(t, "key"))
	case "set":
		return fmt.Sprint("set ", key.Draw(t, "key"), " ", number.Draw(t, "value"))
	case "cas":
		return fmt.Sprint("cas ", key.Draw(t, "key"), " ", number.Draw(t, "old"), " ", number.Draw(t, "new"))
	default:
		return fmt.Sprint("add ", number.Draw(t, "element"))
	}
}))

func (s *store) applyAll(commands ...string) {
	for i, command := range commands {
		s.Apply(&hraft.Log{Index: uint64(i), Data: []byte(command)})
	}
}

func throughSnapshot(t interface{ Fatal(...any) }, from *store) *store {
	snapshot, err := from.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var file sink
	if err := snapshot.Persist(&file); err != nil {
		t.Fatal(err)
	}
	into := newStore("")
	into.applyAll("set forgotten 1")
	if err := into.Restore(io.NopCloser(&file.Buffer)); err != nil {
		t.Fatal(err)
	}
	return into
}

func TestSnapshotIsTheState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStore("")
		s.applyAll(commands.Draw(t, "commands")...)
		restored := throughSnapshot(t, s)
		if diff := cmp.Diff(s.state, restored.state, cmp.AllowUnexported(state{})); diff != "" {
			t.Error(diff)
		}
	})
}

func TestShortSnapshotLosesTheLastCommand(t *testing.T) {
	s := newStore(ShortSnapshot)
	s.applyAll("add 1", "add 2")
	if got := throughSnapshot(t, s).read([]string{"elements"}); got != "elements 1" {
		t.Errorf("restored %s, want only the first", got)
	}
}

func TestRestoreRefusesOtherFiles(t *testing.T) {
	for _, file := range []string{"garbage\n", "set k\n", "\n", "get k\n", strings.Repeat("x", 1<<20)} {
		if err := newStore("").Restore(io.NopCloser(strings.NewReader(file))); err == nil {
			t.Errorf("%.20q restored", file)
		}
	}
}

// Nothing is ever changed in place, so a snapshot stays what it was.
func TestQueuesAndLocks(t *testing.T) {
	s := newStore("")
	s.applyAll("enqueue q 7", "enqueue q 8", "acquire l 5")
	taken := s.state.clone()
	for i, step := range []struct{ command, reply string }{
		{"dequeue q", "value 7"},
		{"enqueue q 9", "ok"},
		{"acquire l 6", "held"},
		{"release l 6", "not held"},
		{"release l 5", "ok"},
		{"release l 5", "not held"},
		{"acquire l 6", "acquired 106"},
		{"dequeue q", "value 8"},
		{"dequeue q", "value 9"},
		{"dequeue q", "none"},
	} {
		if got := s.Apply(&hraft.Log{Index: uint64(100 + i), Data: []byte(step.command)}); got != step.reply {
			t.Errorf("%s: %s, want %s", step.command, got, step.reply)
		}
	}
	if diff := cmp.Diff([]int64{7, 8}, taken.queues["q"]); diff != "" {
		t.Error(diff)
	}
}

func TestBlindCAS(t *testing.T) {
	for bug, want := range map[Bug]string{"": "value 1", BlindCAS: "value 2"} {
		s := newStore(bug)
		s.applyAll("set k 1", "cas k 7 2")
		if got := s.read([]string{"get", "k"}); got != want {
			t.Errorf("bug %q: %s, want %s", bug, got, want)
		}
	}
}

// TestLossyLog holds it against a plain log: the same until it is reopened, and
// then a beginning of it.
func TestLossyLog(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		plain := hraft.NewInmemStore()
		disk, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "raft.db"), NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		defer disk.Close()
		disk.DeleteRange(0, 1<<20)
		lossy := &lossyLog{disk: disk}

		var first, last, flushed uint64 = 1, 0, 0
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"append", "compact", "truncate", "flush"}).Draw(t, "step") {
			case "append":
				var entries []*hraft.Log
				for range rapid.IntRange(1, 3).Draw(t, "entries") {
					last++
					entries = append(entries, &hraft.Log{Index: last, Term: rapid.Uint64Range(1, 9).Draw(t, "term")})
				}
				if err := errors.Join(plain.StoreLogs(entries), lossy.StoreLogs(entries)); err != nil {
					t.Fatal(err)
				}
			case "compact":
				if first < last {
					to := rapid.Uint64Range(first, last-1).Draw(t, "to")
					if err := errors.Join(plain.DeleteRange(first, to), lossy.DeleteRange(first, to)); err != nil {
						t.Fatal(err)
					}
					first = to + 1
				}
			case "truncate":
				if first < last {
					from := rapid.Uint64Range(first+1, last).Draw(t, "from")
					if err := errors.Join(plain.DeleteRange(from, last), lossy.DeleteRange(from, last)); err != nil {
						t.Fatal(err)
					}
					last = from - 1
					flushed = min(flushed, last)
				}
			case "flush":
				lossy.flush()
				flushed = last
			}
			if last < first {
				continue
			}
			low, err := lossy.FirstIndex()
			if err != nil || low != first {
				t.Fatalf("first index %d, %v, want %d", low, err, first)
			}
			high, err := lossy.LastIndex()
			if err != nil || high != last {
				t.Fatalf("last index %d, %v, want %d", high, err, last)
			}
			for index := first; index <= last; index++ {
				var want, got hraft.Log
				if err := errors.Join(plain.GetLog(index, &want), lossy.GetLog(index, &got)); err != nil || got.Term != want.Term {
					t.Fatalf("entry %d: term %d, %v, want %d", index, got.Term, err, want.Term)
				}
				if err := disk.GetLog(index, &got); (err == nil) != (index <= flushed) {
					t.Fatalf("entry %d is on disk: %v, flushed are those up to %d", index, err == nil, flushed)
				}
			}
		}
	})
}
