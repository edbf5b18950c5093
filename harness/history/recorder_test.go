package history

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRecorder(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		recorder, err := NewRecorder(dir)
		if err != nil {
			t.Fatal(err)
		}
		lane := recorder.Lane()
		recorder.Event(Event{Time: time.Millisecond, Type: PhaseBegins, Phase: Quiet})
		for _, want := range staleRead {
			op := Operation{Process: want.Process, Node: want.Node, Kind: want.Kind, Key: want.Key, Input: want.Input}
			time.Sleep(time.Second)
			lane.Invoke(&op)
			time.Sleep(time.Second)
			op.Outcome, op.Output, op.Error = want.Outcome, want.Output, want.Error
			lane.Complete(&op)
		}
		recorder.Event(Event{Type: Inject, Fault: 1, Links: []string{"n1>n2"}, Reason: "\xff" + strings.Repeat("ü", 300)})
		if err := recorder.Close(); err != nil {
			t.Fatal(err)
		}
		if err := recorder.Close(); err != nil {
			t.Fatalf("closing again: %v", err)
		}
	})

	want := slices.Clone(staleRead)
	for i := range want {
		want[i].Invoke = time.Duration(2*i+1) * time.Second
		want[i].Complete = time.Duration(2*i+2) * time.Second
	}
	if diff := gocmp.Diff(History{Operations: want}, readBack(t, dir)); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(filepath.Join(dir, NemesisFile))
	if err != nil {
		t.Fatal(err)
	}
	wantText := `{"time_ns":1000000,"type":"phase","phase":"quiet"}
{"time_ns":8000000000,"type":"inject","fault":1,"links":["n1>n2"],"reason":"\ufffd` + strings.Repeat("ü", 149) + `"}
`
	if diff := gocmp.Diff(wantText, string(text)); diff != "" {
		t.Error(diff)
	}
}

// following keeps what it is told.
type following struct {
	operations []Operation
	events     []Operation
}

func (f *following) Invoke(op *Operation) { f.events = append(f.events, *op) }
func (f *following) Complete(op *Operation) {
	f.events = append(f.events, *op)
	f.operations = append(f.operations, *op)
}

// An observer is told of the file, in its order, before Close returns.
func TestObserver(t *testing.T) {
	const workers, each = 8, 2000
	dir := t.TempDir()
	recorder, err := NewRecorder(dir)
	if err != nil {
		t.Fatal(err)
	}
	var f following
	recorder.Observe(&f)
	var working sync.WaitGroup
	for process := range workers {
		lane := recorder.Lane()
		working.Go(func() {
			input := Ints(0)
			for i := range each {
				input.Ints()[0] = int64(i) // the observer has its own
				op := Operation{Process: process, Node: "n1", Kind: Write, Key: "x", Input: input}
				lane.Invoke(&op)
				op.Outcome = OK
				lane.Complete(&op)
			}
		})
	}
	working.Wait()
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	var last time.Duration
	open := map[int]bool{}
	for i, op := range f.events {
		stamp := max(op.Invoke, op.Complete)
		if stamp <= last || open[op.Process] != (op.Complete > 0) {
			t.Fatalf("event %d is out of order: %+v after %v", i, op, last)
		}
		last, open[op.Process] = stamp, !open[op.Process]
	}
	slices.SortFunc(f.operations, func(a, b Operation) int { return int(a.Invoke - b.Invoke) })
	if diff := gocmp.Diff(readBack(t, dir).Operations, f.operations); diff != "" {
		t.Error(diff)
	}
}

func readBack(t *testing.T, dir string) History {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, HistoryFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := ReadHistory(f)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRecorderNeverOverwrites(t *testing.T) {
	for _, name := range []string{HistoryFile, NemesisFile} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := NewRecorder(dir); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s exists: got error %v", name, err)
		}
	}
}

func TestHostileErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"a\"b\\c\nd", "a\"b\\c\nd"},
		{"\x1b[2J\x00\u202e\u2028\U000e0001€😀", "\x1b[2J\x00\u202e\u2028\U000e0001€😀"},
		{"a\xffb\xc3", "a\ufffdb\ufffd"},
		{strings.Repeat("x", 299) + "€", strings.Repeat("x", 299)},
		{strings.Repeat("\x80", 1000), strings.Repeat("\ufffd", 296)},
	} {
		var disk memory
		recorder := newRecorder(&disk, &memory{})
		op := Operation{Kind: Read, Outcome: OK, Error: test.text}
		lane := recorder.Lane()
		lane.Invoke(&op)
		lane.Complete(&op)
		if err := recorder.Close(); err != nil {
			t.Fatal(err)
		}
		if text := disk.String(); strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%q is written as %q", test.text, text)
		}
		h, err := ReadHistory(&disk)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Operations[0].Error; got != test.want {
			t.Errorf("%q became %q, want %q", test.text, got, test.want)
		}
	}
}

// memory is a file in memory.
type memory struct{ bytes.Buffer }

func (*memory) Sync() error  { return nil }
func (*memory) Close() error { return nil }

// orphan returns a read of a value whose write was never invoked, or was
// invoked only after the read had returned; nil if there is none.
func orphan(h History) *Operation {
	written := map[int64]time.Duration{}
	for _, op := range h.Operations {
		if op.Kind == Write {
			written[op.Input.At(0)] = op.Invoke
		}
	}
	for i, op := range h.Operations {
		if op.Kind != Read || op.Outcome != OK || op.Output.Len() == 0 {
			continue
		}
		if at, found := written[op.Output.At(0)]; !found || at >= op.Complete {
			return &h.Operations[i]
		}
	}
	return nil
}

func TestOrphanIsFound(t *testing.T) {
	write := Operation{Process: 1, Kind: Write, Input: Ints(7), Invoke: 1, Complete: 9, Outcome: OK}
	read := Operation{Process: 2, Kind: Read, Output: Ints(7), Invoke: 2, Complete: 3, Outcome: OK}
	if o := orphan(History{Operations: []Operation{write, read}}); o != nil {
		t.Errorf("%v is none", o)
	}
	if orphan(History{Operations: []Operation{read}}) == nil {
		t.Error("the write is missing")
	}
	write.Invoke = 3
	if orphan(History{Operations: []Operation{read, write}}) == nil {
		t.Error("the write came after")
	}
}

// gossip runs workers that write unique values to one register and read it,
// until stop. Each read is caused by an invocation in another lane, often a
// moment before.
func gossip(recorder *Recorder, workers int, pause func(), stop func() bool) {
	var register, unique atomic.Int64
	var all sync.WaitGroup
	for process := range workers {
		lane := recorder.Lane()
		all.Go(func() {
			for !stop() {
				op := Operation{Process: process, Kind: Write, Key: "x", Input: Ints(unique.Add(1)), Outcome: OK}
				lane.Invoke(&op)
				register.Store(op.Input.At(0))
				lane.Complete(&op)

				op = Operation{Process: process, Kind: Read, Key: "x", Outcome: OK}
				lane.Invoke(&op)
				if value := register.Load(); value != 0 {
					op.Output = Ints(value)
				}
				lane.Complete(&op)
				pause()
			}
		})
	}
	all.Wait()
}

// TestEveryPrefixIsCausallyClosed records in real and in virtual time, where
// nearly all happens at one moment, and cuts the file off after every line.
func TestEveryPrefixIsCausallyClosed(t *testing.T) {
	run := func(t *testing.T) {
		var disk memory
		recorder := newRecorder(&disk, &memory{})
		var rounds atomic.Int64
		gossip(recorder, 8, func() {
			if rounds.Add(1)%20 == 0 {
				time.Sleep(collectEvery / 3)
			}
			runtime.Gosched()
		}, func() bool { return rounds.Load() > 80 })
		if err := recorder.Close(); err != nil {
			t.Fatal(err)
		}
		text := disk.String()
		for end := strings.Index(text, "\n") + 1; end < len(text); end += strings.Index(text[end:], "\n") + 1 {
			h, err := ReadHistory(strings.NewReader(text[:end]))
			if err != nil {
				t.Fatalf("%v\n%s", err, text[:end])
			}
			if o := orphan(h); o != nil {
				t.Fatalf("cut off at byte %d, %+v was caused by nothing", end, *o)
			}
			if h.Torn == "" {
				t.Fatalf("cut off at byte %d, and not torn", end)
			}
		}
	}
	t.Run("real time", run)
	t.Run("virtual time", func(t *testing.T) { synctest.Test(t, run) })
}

// TestBatchesDoNotOverlap collects without a break while workers are busy: the
// reader would see time run backwards.
func TestBatchesDoNotOverlap(t *testing.T) {
	const rounds = 5_000
	var disk memory
	recorder := newRecorder(&disk, &memory{})
	var round atomic.Int64
	gossip(recorder, 8, func() {
		select {
		case recorder.full <- struct{}{}:
		default:
		}
	}, func() bool { return round.Add(1) > rounds })
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	if h, err := ReadHistory(&disk); err != nil || len(h.Operations) != 2*rounds {
		t.Errorf("%d of %d operations, error %v", len(h.Operations), 2*rounds, err)
	}
}

// TestMergeIsOrdered merges any batches and finds every line, by stamp.
func TestMergeIsOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var merged sources
		want := map[int][]int{} // lane → its stamps
		batches := make([]batch, rapid.IntRange(1, 6).Draw(t, "lanes"))
		stamps := rapid.IntRange(0, 40).Draw(t, "stamps")
		for stamp := range stamps {
			lane := rapid.IntRange(0, len(batches)-1).Draw(t, "lane")
			batches[lane].text = fmt.Appendln(batches[lane].text, stamp)
			batches[lane].mark(time.Duration(stamp))
			want[lane] = append(want[lane], stamp)
		}
		for i := range batches {
			if len(want[i]) > 0 {
				merged = append(merged, &source{batch: &batches[i]})
			}
		}
		var got, ordered bytes.Buffer
		merged.mergeTo(&got)
		for stamp := range stamps {
			fmt.Fprintln(&ordered, stamp)
		}
		if diff := gocmp.Diff(ordered.String(), got.String()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A full disk takes a number of bytes.
type fullDisk struct {
	memory
	room int
}

var errFull = errors.New("no space left on device")

func (d *fullDisk) Write(text []byte) (int, error) {
	n := min(len(text), d.room)
	d.room -= n
	d.memory.Write(text[:n])
	if n < len(text) {
		return n, errFull
	}
	return n, nil
}

// TestDiskFull fills the disk at any byte. Workers go on, Err tells, and what
// had been written can be read.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for room := len(headerLine); room < 3000; room += 97 {
			disk := &fullDisk{room: room}
			recorder := newRecorder(disk, &memory{})
			gossip(recorder, 3, func() { time.Sleep(collectEvery / 5) }, func() bool { return recorder.Now() > 4*collectEvery })
			if err := recorder.Err(); !errors.Is(err, errFull) {
				t.Errorf("room for %d bytes: got error %v before Close", room, err)
			}
			if err := recorder.Close(); !errors.Is(err, errFull) {
				t.Errorf("room for %d bytes: got error %v from Close", room, err)
			}
			if disk.Len() != room {
				t.Errorf("room for %d bytes: wrote %d", room, disk.Len())
			}
			h, err := ReadHistory(&disk.memory)
			if err != nil || h.Torn == "" {
				t.Errorf("room for %d bytes: torn %q, error %v", room, h.Torn, err)
			}
			if o := orphan(h); o != nil {
				t.Errorf("room for %d bytes: %+v was caused by nothing", room, *o)
			}
		}
	})
}

// TestDiskFullDoesNotBlock records far more than the lanes hold.
func TestDiskFullDoesNotBlock(t *testing.T) {
	recorder := newRecorder(&fullDisk{}, &memory{})
	lane := recorder.Lane()
	for range 4 * laneLimit / len(headerLine) {
		op := Operation{Kind: Read, Outcome: OK}
		lane.Invoke(&op)
		lane.Complete(&op)
	}
	if err := recorder.Close(); !errors.Is(err, errFull) {
		t.Errorf("got error %v", err)
	}
}

func TestDevFull(t *testing.T) {
	disk, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	recorder := newRecorder(disk, &memory{})
	if err := recorder.Close(); err == nil || !strings.Contains(err.Error(), "history.jsonl is cut off at") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got error %v", err)
	}
}

// What comes when there is room again would follow half a line.
func TestNemesisDiskFull(t *testing.T) {
	var disk memory
	full := &fullDisk{room: 20}
	recorder := newRecorder(&disk, full)
	recorder.Event(Event{Type: Heal})
	full.room = 1000
	recorder.Event(Event{Type: Heal})
	if full.Len() != 20 {
		t.Errorf("%q was written", full.String())
	}
	if err := recorder.Err(); !errors.Is(err, errFull) {
		t.Errorf("got error %v", err)
	}
	if err := recorder.Close(); !errors.Is(err, errFull) {
		t.Errorf("got error %v", err)
	}
	if h, err := ReadHistory(&disk); err != nil || h.Torn != "" {
		t.Errorf("the history is torn: %q, %v", h.Torn, err)
	}
}

// TestBackPressure holds the disk up until the lane is full: nothing is lost.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowDisk{}
		recorder := newRecorder(disk, &memory{})
		lane := recorder.Lane()
		const operations = 3 * laneLimit / 100
		for i := range operations {
			op := Operation{Kind: Write, Input: Ints(int64(i)), Outcome: OK}
			lane.Invoke(&op)
			lane.Complete(&op)
			lane.mu.Lock()
			held := len(lane.text)
			lane.mu.Unlock()
			if held > laneLimit+1000 {
				t.Fatalf("the lane holds %d bytes", held)
			}
		}
		if recorder.Now() < time.Minute {
			t.Errorf("nothing ever waited: %v", recorder.Now())
		}
		if err := recorder.Close(); err != nil {
			t.Fatal(err)
		}
		h, err := ReadHistory(&disk.memory)
		if err != nil || h.Torn != "" || len(h.Operations) != operations {
			t.Errorf("%d of %d operations, torn %q, error %v", len(h.Operations), operations, h.Torn, err)
		}
	})
}

type slowDisk struct{ memory }

func (d *slowDisk) Write(text []byte) (int, error) {
	time.Sleep(time.Minute)
	return d.memory.Write(text)
}
