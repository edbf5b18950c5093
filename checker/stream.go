package checker

import (
	"fmt"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/checker/internal/stream"
	"github.com/rashomon-io/rashomon/harness/history"
)

// StreamLimit bounds what a Stream remembers: keys, operations under way, and
// writes that may still be observed, all together. It takes about 250 bytes
// each.
const StreamLimit = 100_000

// A Stream looks for violations by registers while a history is being made. It
// knows of a violation with the very completion that proves it, never raises a
// false alarm, and remembers no more than what may still be observed: it is the
// theory of zones in the order of time (see checker/internal/stream).
//
// It is told of the events through Invoke and Complete, in the order of their
// times and, of one moment, invocations first. It needs registers whose values
// are not written twice, and is off for a key once it sees one that is. A failed
// compare-and-set that does not tell what it saw says nothing to it.
//
// What it finds is an alarm. The verdict, with its witness, is Check's, on the
// recorded history.
//
// A Stream is used by one goroutine at a time.
type Stream struct {
	registers map[string]*watched
	open      map[int]opened // by process
	writes    int            // remembered, by all registers
	now       time.Duration
	completed time.Duration // the last completion
	alarm     *Alarm
	off       string
	offWhole  bool
}

type watched struct {
	*stream.Register // nil once the stream is off for the key
	key              string
}

type opened struct {
	register *watched
	step     *stream.Step
}

// An Alarm is a violation as a Stream sees it.
type Alarm struct {
	Key string
	// At is when the operation that proves it completed.
	At time.Duration
	// Anomaly is a guess: what has been forgotten might have told more.
	Anomaly anomaly.Name
	// Operations are those at odds, as far as they are remembered; the first is
	// the one that proves it. One that has not completed yet is info.
	Operations []history.Operation
}

// String is the alarm in a few words: `stale read of "x" by p3 at 1.200 s`.
func (a *Alarm) String() string {
	return fmt.Sprintf("%s of %q by p%d at %s", a.Anomaly, a.Key, a.Operations[0].Process, sentence.Seconds(a.At))
}

// NewStream returns a stream that has been told nothing.
func NewStream() *Stream {
	return &Stream{registers: map[string]*watched{}, open: map[int]opened{}, completed: -1}
}

// Alarm returns the first violation, or nil. After it, the stream is told in
// vain.
func (s *Stream) Alarm() *Alarm { return s.alarm }

// Off says why the stream watches some keys, or all, no more; empty if it
// watches everything.
func (s *Stream) Off() string { return s.off }

// Invoke tells of an operation's invocation. The operation is not kept.
func (s *Stream) Invoke(o *history.Operation) {
	if s.offWhole || s.alarm != nil {
		return
	}
	known := slices.Contains(Register.kinds, o.Kind)
	_, busy := s.open[o.Process]
	switch {
	case !known || !o.Input.IsInts() || o.Input.Len() != history.Kinds(nil).Of(o.Kind).Input:
		s.turnOff("p%d invokes %.40q with %d values, which is no operation of a register", o.Process, o.Kind, o.Input.Len())
		return
	case o.Invoke < s.now || o.Invoke <= s.completed:
		s.turnOff("the invocation of p%d at %s is told too late, after what happened at %s", o.Process, sentence.Seconds(o.Invoke), sentence.Seconds(s.now))
		return
	case busy:
		s.turnOff("p%d invokes %q while another operation of it is under way", o.Process, o.Kind)
		return
	}
	s.now = o.Invoke
	register := s.registers[o.Key]
	if register == nil {
		register = &watched{stream.NewRegister(), o.Key}
		s.registers[o.Key] = register
	}
	step := &stream.Step{Process: o.Process, Node: o.Node, Kind: o.Kind, Call: o.Invoke}
	switch o.Kind {
	case history.Write:
		step.New = o.Input.At(0)
	case history.CompareAndSet:
		step.Expected, step.New = o.Input.At(0), o.Input.At(1)
	}
	s.open[o.Process] = opened{register, step}
	if register.Register == nil {
		return
	}
	before := register.Remembered()
	if !register.Begin(step) {
		s.writes -= before
		register.Register = nil
		if s.off == "" {
			s.off = fmt.Sprintf("off for key %q: %d is written twice", o.Key, step.New)
		}
		return
	}
	s.writes += register.Remembered() - before
	if len(s.registers)+len(s.open)+s.writes > StreamLimit {
		s.turnOff("too many values may still be observed: %d keys, %d operations under way and %d writes are more than %d together",
			len(s.registers), len(s.open), s.writes, StreamLimit)
	}
}

// Complete tells of an operation's completion. The operation is not kept.
func (s *Stream) Complete(o *history.Operation) {
	if s.offWhole || s.alarm != nil {
		return
	}
	open, busy := s.open[o.Process]
	switch {
	case !busy || open.step.Kind != o.Kind || open.register.key != o.Key:
		s.turnOff("p%d completes %q of key %q, which it did not invoke", o.Process, o.Kind, o.Key)
		return
	case !o.Output.IsInts() || o.Output.Len() > 1 || o.Outcome > history.Fail:
		s.turnOff("p%d completes %q with %d values and the outcome %s, which is no operation of a register", o.Process, o.Kind, o.Output.Len(), o.Outcome)
		return
	case o.Complete < s.now:
		s.turnOff("the completion of p%d at %s is told too late, after what happened at %s", o.Process, sentence.Seconds(o.Complete), sentence.Seconds(s.now))
		return
	}
	s.now, s.completed = o.Complete, o.Complete
	delete(s.open, o.Process)
	register := open.register
	if register.Register == nil {
		return
	}
	var seen stream.Value
	if o.Output.Len() > 0 {
		seen = stream.Value{Number: o.Output.At(0), Found: true}
	}
	before := register.Remembered()
	contradiction := register.End(open.step, o.Complete, o.Outcome, seen)
	s.writes += register.Remembered() - before
	if contradiction != nil {
		s.alarm = newAlarm(register.key, o.Complete, contradiction)
		s.forget()
	}
}

func (s *Stream) turnOff(format string, arguments ...any) {
	s.off, s.offWhole = "off: "+fmt.Sprintf(format, arguments...), true
	s.forget()
}

func (s *Stream) forget() { s.registers, s.open = nil, nil }

func newAlarm(key string, at time.Duration, c *stream.Contradiction) *Alarm {
	a := &Alarm{Key: key, At: at, Anomaly: anomaly.StaleRead}
	proof := c.Steps[0]
	switch {
	case c.Why == stream.Failed:
		a.Anomaly = anomaly.PhantomRead
	case c.Why == stream.Swapped:
		a.Anomaly = anomaly.DoubleSwap
	case c.Why == stream.Circular:
		a.Anomaly = anomaly.Disorder
	case proof.Kind == history.CompareAndSet && proof.Outcome == history.OK:
		a.Anomaly = anomaly.LostCommit
	case proof.Kind == history.Write:
		a.Anomaly = anomaly.Disorder
	}
	for _, step := range c.Steps {
		a.Operations = append(a.Operations, operation(key, step))
	}
	return a
}

func operation(key string, step *stream.Step) history.Operation {
	o := history.Operation{Process: step.Process, Node: step.Node, Kind: step.Kind, Key: key, Invoke: step.Call, Outcome: step.Outcome}
	if step.Outcome != history.Info {
		o.Complete = step.Ret
	}
	switch step.Kind {
	case history.Write:
		o.Input = history.Ints(step.New)
	case history.CompareAndSet:
		o.Input = history.Ints(step.Expected, step.New)
	}
	if step.Seen.Found {
		o.Output = history.Ints(step.Seen.Number)
	}
	return o
}
