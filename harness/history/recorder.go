package history

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Recorder streams a history to disk while many workers make it.
//
// # No worker waits for the disk
//
// Every worker has a Lane of its own. It encodes its events into the lane's
// buffer, behind a mutex that nobody else wants; one goroutine collects the
// buffers each 100 ms and writes them. A lane that outruns the disk waits once
// it holds 256 KiB: back-pressure, not loss.
//
// # Every prefix of the file is safe to check
//
// A harness may be killed at any moment, and what it leaves is a prefix of the
// file that it would have written. Were the invocation of a write missing from
// it, and a read of the written value present, then a correct system would seem
// to have made the value up. This cannot happen, because the file is in causal
// order:
//
//   - An event is stamped and put into its buffer under its lane's lock, and
//     its stamp is above every stamp taken before, in any lane. So the order of
//     stamps is the order in which things happened; also where the clock stands
//     still between two events, as it does in a testing/synctest bubble.
//   - An invocation is recorded before the client is called. So whatever an
//     operation causes, such as the completion of a read of its value, is
//     stamped after it.
//   - Collecting is a consistent cut: all lanes' locks are held at one moment.
//     So every stamp of one batch is below every stamp of the next, and with
//     each batch merged by time, the file is ordered by stamps.
//
// A prefix may lack completions. That is harmless: their operations are info.
//
// # A cut-off file is noticed
//
// Close ends the file with an end line. Without one the file was cut off, even
// if it stops between two lines; see History.Torn. Events of the last 100 ms
// are lost with a killed harness; a machine that loses power loses what its
// kernel had not yet written.
//
// # An observer sees what was written
//
// It is told of a batch's events once they have been written, so about 100 ms
// late, in the order of the file, and of all of them before Close returns. No
// worker waits for it, unless it is so much slower than they are that their
// lanes fill up.
type Recorder struct {
	base  time.Time
	stamp atomic.Int64 // the last one given to an event

	lanesMu  sync.Mutex // held for a whole cut: a lane joins before or after it
	lanes    []*Lane
	observer Observer // nil if there is none

	history file
	out     *bufio.Writer // onto history; its first error sticks

	nemesisMu  sync.Mutex
	nemesisCut bool // a write failed
	nemesis    file

	full    chan struct{} // a lane asks to be collected early
	closing chan struct{}
	writer  sync.WaitGroup
	close   func() error
	failure atomic.Pointer[error]
}

const (
	collectEvery = 100 * time.Millisecond
	laneLimit    = 256 << 10     // bytes; a lane that holds more waits
	laneEarly    = laneLimit / 4 // bytes; a lane that holds more is collected early
	writeSize    = 256 << 10     // bytes of one write
	errorLimit   = 300           // bytes of an error's or a reason's text that are recorded
	quoteLimit   = 2 << 10       // bytes of a log that an event quotes
)

// An Observer follows a history while it is being recorded. It is called by one
// goroutine at a time and must not use the Recorder's lanes. The operations are
// its own.
type Observer interface {
	// Invoke tells of an invocation; what belongs to the completion is zero.
	Invoke(op *Operation)
	// Complete tells of a completion; what belongs to the invocation is set, too.
	Complete(op *Operation)
}

// A file is an *os.File, or one that fails in a test.
type file interface {
	io.Writer
	Sync() error
	Close() error
}

// NewRecorder creates history.jsonl and nemesis.jsonl in dir, neither of which
// may exist, and starts the clock. The Recorder must be closed.
func NewRecorder(dir string) (*Recorder, error) {
	history, err := create(dir, HistoryFile)
	if err != nil {
		return nil, err
	}
	nemesis, err := create(dir, NemesisFile)
	if err != nil {
		return nil, errors.Join(err, history.Close())
	}
	return newRecorder(history, nemesis), nil
}

// create never overwrites: a history is the product of a run.
func create(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, fmt.Errorf("cannot record a history: %w", err)
	}
	return f, nil
}

func newRecorder(history, nemesis file) *Recorder {
	r := &Recorder{
		base:    time.Now(),
		history: history,
		out:     bufio.NewWriterSize(history, writeSize),
		nemesis: nemesis,
		full:    make(chan struct{}, 1),
		closing: make(chan struct{}),
	}
	r.close = sync.OnceValue(r.shutDown)
	r.out.WriteString(headerLine)
	r.flush()
	r.writer.Go(r.collectUntilClosing)
	return r
}

// Now is the time since the run began.
func (r *Recorder) Now() time.Duration { return time.Since(r.base) }

// Err returns the first error of writing, or nil. After an error of either file
// nothing more is written to it; what was, stays readable.
func (r *Recorder) Err() error {
	if failure := r.failure.Load(); failure != nil {
		return *failure
	}
	return nil
}

func (r *Recorder) fail(name string, err error) {
	err = fmt.Errorf("%s is cut off at %v: %w", name, r.Now().Round(time.Millisecond), err)
	r.failure.CompareAndSwap(nil, &err)
}

// Close writes what is left and the end line, syncs both files to disk, and
// returns the first error of the recording. Lanes and Event must not be used
// any more. Closing again returns the same.
func (r *Recorder) Close() error { return r.close() }

func (r *Recorder) shutDown() error {
	close(r.closing)
	r.writer.Wait()
	r.collect()
	r.out.Write(appendEnd(nil, r.next()))
	r.flush()
	if err := errors.Join(r.history.Sync(), r.history.Close()); err != nil {
		r.fail(HistoryFile, err)
	}
	if err := errors.Join(r.nemesis.Sync(), r.nemesis.Close()); err != nil {
		r.fail(NemesisFile, err)
	}
	return r.Err()
}

// Observe lets the observer follow the history. Call it once, before the first
// Lane.
func (r *Recorder) Observe(o Observer) {
	r.lanesMu.Lock()
	defer r.lanesMu.Unlock()
	r.observer = o
}

// Event writes a line to nemesis.jsonl, at once. A zero Time becomes the
// present. It may be called concurrently.
func (r *Recorder) Event(e Event) {
	r.nemesisMu.Lock()
	defer r.nemesisMu.Unlock()
	if r.nemesisCut {
		return // half a line may be the last, and no other
	}
	if e.Time == 0 {
		e.Time = r.Now()
	}
	limit := errorLimit
	if e.Type == Crash || e.Type == Logged {
		limit = quoteLimit
	}
	e.Reason = clip(e.Reason, limit)
	encoder := json.NewEncoder(r.nemesis)
	encoder.SetEscapeHTML(false) // links read n1>n2
	if err := encoder.Encode(e); err != nil {
		r.nemesisCut = true
		r.fail(NemesisFile, err)
	}
}

// Lane returns a new lane. It may be called concurrently, at any time.
func (r *Recorder) Lane() *Lane {
	l := &Lane{recorder: r}
	l.room.L = &l.mu
	r.lanesMu.Lock()
	defer r.lanesMu.Unlock()
	l.observed = r.observer != nil
	r.lanes = append(r.lanes, l)
	return l
}

// A Lane records the operations of one worker. It is used by one goroutine at
// a time.
type Lane struct {
	recorder *Recorder
	observed bool

	mu   sync.Mutex
	room sync.Cond // signalled when batch has been collected
	batch

	spare batch // collected last; the writer's alone
}

// Invoke stamps op.Invoke and records the invocation. Call it before the
// client.
func (l *Lane) Invoke(op *Operation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaitRoom()
	op.Invoke = l.recorder.next()
	l.text = appendInvoke(l.text, op)
	l.mark(op.Invoke)
	if l.observed {
		l.told = append(l.told, &Operation{
			Process: op.Process, Node: op.Node, Kind: op.Kind, Key: op.Key, Input: op.Input.clone(), Invoke: op.Invoke,
		})
	}
}

// Complete stamps op.Complete and records the completion: Outcome, Output and
// the first 300 bytes of Error. Call it after the client has returned or has
// been given up.
func (l *Lane) Complete(op *Operation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaitRoom()
	op.Complete = l.recorder.next()
	l.text = appendComplete(l.text, op, clip(op.Error, errorLimit))
	l.mark(op.Complete)
	if l.observed {
		told := *op
		told.Input, told.Output = op.Input.clone(), op.Output.clone()
		l.told = append(l.told, &told)
	}
}

// awaitRoom comes before the stamp: time that a lane has to wait widens the
// interval of a completing operation, and is no part of a beginning one.
func (l *Lane) awaitRoom() {
	if len(l.text) >= laneEarly {
		select {
		case l.recorder.full <- struct{}{}:
		default:
		}
	}
	for len(l.text) >= laneLimit {
		l.room.Wait()
	}
}

// next returns a stamp above all before it. A clock that has not moved on
// since the last one is helped along by a nanosecond.
func (r *Recorder) next() time.Duration {
	for {
		last := r.stamp.Load()
		stamp := max(last+1, int64(r.Now()))
		if r.stamp.CompareAndSwap(last, stamp) {
			return time.Duration(stamp)
		}
	}
}

// A batch is encoded lines, in the order of their stamps.
type batch struct {
	text  []byte
	marks []mark
	told  []*Operation // what the lines say, if there is an observer
}

// A mark is a line's stamp, and where the line ends in a batch's text.
type mark struct {
	stamp time.Duration
	end   int
}

func (b *batch) mark(stamp time.Duration) {
	b.marks = append(b.marks, mark{stamp, len(b.text)})
}

func (r *Recorder) collectUntilClosing() {
	ticker := time.NewTicker(collectEvery)
	defer ticker.Stop()
	for {
		select {
		case <-r.closing:
			return
		case <-ticker.C:
		case <-r.full:
		}
		r.collect()
	}
}

// collect writes all that has been recorded up to one moment. After an error
// of writing it goes on to empty the lanes, which would fill up and block.
func (r *Recorder) collect() {
	var batches sources
	for _, lane := range r.cut() {
		if len(lane.spare.marks) > 0 {
			batches = append(batches, &source{batch: &lane.spare})
		}
	}
	told := batches.told()
	batches.mergeTo(r.out)
	r.flush()
	for _, op := range told {
		if op.Complete == 0 { // no stamp is 0
			r.observer.Invoke(op)
		} else {
			r.observer.Complete(op)
		}
	}
}

// cut swaps all lanes' buffers while it holds all their locks, and leaves what
// they held in spare.
func (r *Recorder) cut() []*Lane {
	r.lanesMu.Lock()
	defer r.lanesMu.Unlock()
	for _, lane := range r.lanes {
		lane.mu.Lock()
	}
	for _, lane := range r.lanes {
		lane.batch, lane.spare = batch{lane.spare.text[:0], lane.spare.marks[:0], nil}, lane.batch
		lane.room.Signal()
		lane.mu.Unlock()
	}
	return r.lanes
}

func (r *Recorder) flush() {
	if err := r.out.Flush(); err != nil {
		r.fail(HistoryFile, err)
	}
}

// A source is a batch that is being merged with others.
type source struct {
	*batch
	line  int // the first one not yet merged
	start int // of that line, in text
}

func (s *source) stamp() time.Duration { return s.marks[s.line].stamp }

// before cuts off the next line, and those after it that are below limit.
func (s *source) before(limit time.Duration) []byte {
	start := s.start
	for s.line++; s.line < len(s.marks) && s.stamp() < limit; {
		s.line++
	}
	s.start = s.marks[s.line-1].end
	return s.text[start:s.start]
}

// sources are a heap, with the one whose line is next on top.
type sources []*source

func (s *sources) mergeTo(w io.Writer) {
	heap.Init(s)
	for len(*s) > 1 {
		top, limit := (*s)[0], (*s)[1].stamp()
		if len(*s) > 2 {
			limit = min(limit, (*s)[2].stamp())
		}
		w.Write(top.before(limit))
		if top.line == len(top.marks) {
			heap.Pop(s)
		} else {
			heap.Fix(s, 0)
		}
	}
	for _, last := range *s {
		w.Write(last.text[last.start:])
	}
}

// told returns what the observer is to be told, ordered by stamps.
func (s sources) told() []*Operation {
	var all []*Operation
	for _, source := range s {
		all = append(all, source.batch.told...)
	}
	stamp := func(op *Operation) time.Duration { return max(op.Invoke, op.Complete) }
	slices.SortFunc(all, func(a, b *Operation) int { return cmp.Compare(stamp(a), stamp(b)) })
	return all
}

func (s sources) Len() int           { return len(s) }
func (s sources) Less(i, j int) bool { return cmp.Less(s[i].stamp(), s[j].stamp()) }
func (s sources) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *sources) Push(x any)        { *s = append(*s, x.(*source)) }
func (s *sources) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}
