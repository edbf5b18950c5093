package history

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// Version is of the run directory's layout and of every file in it.
	Version = 2

	headerLine = `{"rashomon":"history","version":2}` + "\n"
	lineLimit  = 64 << 20  // bytes of one line
	readSize   = 256 << 10 // bytes of one read, at least
)

// ReadHistory reads the form described in the package comment. An operation
// without a completion becomes Info, with Complete the last time in the file.
// A file that was cut off is accepted, see History.Torn; anything else that is
// not as described is an error that names the line.
func ReadHistory(r io.Reader) (History, error) { return readHistory(r, nil) }

// readHistory keeps the operations in packed, unless that is nil.
func readHistory(r io.Reader, packed *Packed) (History, error) {
	lines := newLines(r)
	if err := readHeader(lines); err != nil {
		return History{}, err
	}
	pairs := pairing{packed: packed}
	torn, err := parseAll(lines, new(scanner).parse, pairs.add)
	if err != nil {
		return History{}, err
	}
	if torn == "" && !pairs.ended {
		torn = fmt.Sprintf("the history ends after line %d without an end line", lines.number)
	}
	if torn != "" {
		torn = fmt.Sprintf("%s, as when the harness is killed or the disk is full: the %d events before that were read", torn, pairs.events)
	}
	if packed != nil {
		return History{Packed: packed, Torn: torn}, packed.finish(pairs.now)
	}
	return History{Operations: pairs.finish(), Torn: torn}, nil
}

// WriteHistory writes what ReadHistory reads. A History that ReadHistory would
// not return is an error: operations out of order, or overlapping in a process.
// One that is Torn gets no end line, and so stays torn.
func WriteHistory(w io.Writer, h History) error {
	byInvoke := func(a, b Operation) int { return cmp.Compare(a.Invoke, b.Invoke) }
	if !slices.IsSortedFunc(h.Operations, byInvoke) {
		return errors.New("cannot write the history: its operations are not ordered by Invoke")
	}
	type event struct {
		op       *Operation
		complete bool
		time     time.Duration
	}
	events := make([]event, 0, 2*len(h.Operations))
	for i := range h.Operations {
		op := &h.Operations[i]
		events = append(events, event{op, false, op.Invoke}, event{op, true, op.Complete})
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.time, b.time) })

	out := bufio.NewWriter(w)
	out.WriteString(headerLine)
	var pairs pairing
	var line []byte
	for _, e := range events {
		var err error
		if e.complete {
			err = pairs.complete(*e.op)
			line = appendComplete(line[:0], e.op, e.op.Error)
		} else {
			err = pairs.invoke(*e.op)
			line = appendInvoke(line[:0], e.op)
		}
		if err != nil {
			return fmt.Errorf("cannot write the history: %w", err)
		}
		out.Write(line)
	}
	if h.Torn == "" {
		out.Write(appendEnd(line[:0], pairs.now))
	}
	return out.Flush()
}

// ReadEvents reads nemesis.jsonl and orders it by Time. A last line that was
// cut off is left out: the history beside it is torn too, and says so.
func ReadEvents(r io.Reader) ([]Event, error) {
	var events []Event
	_, err := parseAll(newLines(r), decodeEvent, func(e *Event) error {
		switch e.Type {
		case PhaseBegins, Inject, Heal, Skip, Trouble, Stop, Crash, Logged, Unserved, Unlinked:
		default:
			return fmt.Errorf("unknown type %.40q (want phase, inject, heal, skip, error, stop, crash, log or unserved)", e.Type)
		}
		if e.Time < 0 {
			return fmt.Errorf("negative time %d", e.Time)
		}
		e.completeLeader()
		events = append(events, *e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Time, b.Time) })
	return events, nil
}

// completeLeader says of the faults of an older run, whose events do not, who led: one
// at the leader hit it first, or had a reason not to.
func (e *Event) completeLeader() {
	atLeader := e.Type == Inject && strings.HasPrefix(e.Shape, "leader") && len(e.Nodes) > 0 && e.Leader == ""
	e.NoLeader = e.NoLeader || strings.HasPrefix(e.Shape, "random") || atLeader && e.Reason != ""
	if atLeader && !e.NoLeader {
		e.Leader = e.Nodes[0]
	}
}

// lines are a file's, each with its newline if it has one.
type lines struct {
	*bufio.Scanner
	number int // of the current one, from 1
}

func newLines(r io.Reader) *lines {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, readSize), lineLimit)
	scanner.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		if end := bytes.IndexByte(data, '\n') + 1; end > 0 {
			return end, data[:end], nil
		}
		if atEOF && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	})
	return &lines{Scanner: scanner}
}

func (l *lines) Scan() bool {
	more := l.Scanner.Scan()
	if more {
		l.number++
	}
	return more
}

// Err says why there are no more lines; nil if the file ends here.
func (l *lines) Err() error {
	err := l.Scanner.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("longer than %d MiB", lineLimit>>20)
	}
	if err != nil {
		err = &LineError{l.number + 1, err}
	}
	return err
}

func readHeader(lines *lines) error {
	var header struct {
		Rashomon string `json:"rashomon"`
		Version  int    `json:"version"`
	}
	if !lines.Scan() && lines.Err() != nil {
		return lines.Err()
	}
	if err := decode(lines.Bytes(), &header); err != nil || header.Rashomon != "history" {
		return &LineError{1, fmt.Errorf("not a history: want the header %s", strings.TrimSpace(headerLine))}
	}
	if header.Version < 1 || header.Version > Version {
		return &LineError{1, fmt.Errorf("version %d of the history's form is not known: this build reads versions 1 to %d", header.Version, Version)}
	}
	return nil
}

func decodeEvent(line []byte, e *Event) error { return decode(line, e) }

// parseAll hands what parse makes of all remaining lines to use, one at a time, in
// the same memory. Torn says so if the last line was cut off, which leaves something
// that is not JSON.
func parseAll[T any](lines *lines, parse func([]byte, *T) error, use func(*T) error) (torn string, err error) {
	value, none := new(T), *new(T)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		number := lines.number
		*value = none
		if err := parse(lines.Bytes(), value); err != nil {
			if json.Valid(lines.Bytes()) || lines.Scan() {
				return "", &LineError{number, err}
			}
			return fmt.Sprintf("line %d is cut off", number), lines.Err()
		}
		if err := use(value); err != nil {
			return "", &LineError{number, err}
		}
	}
	return "", lines.Err()
}

// decode accepts one JSON value of known fields, and nothing after it. Numbers stay
// as they are written.
func decode(line []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return errors.New(clip(err.Error(), errorLimit)) // it may quote the line
	}
	if rest := bytes.Trim(line[decoder.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return fmt.Errorf("more than one JSON value: %.20q", rest)
	}
	return nil
}

// A record is a line of history.jsonl after the first.
type record struct {
	Time    *time.Duration `json:"time"`
	Process *int           `json:"process"`
	Type    string         `json:"type"`
	Kind    Kind           `json:"op"`
	Key     string         `json:"key"`
	Value   Value          `json:"value"`
	Node    string         `json:"node"`
	Error   string         `json:"error"`
}

// A pairing makes operations of events, and refuses what no recorder writes.
type pairing struct {
	operations []Operation // with packed, those that are open and free room
	packed     *Packed
	free       []int       // places in operations
	current    map[int]int // a process's open operation, or retired
	now        time.Duration
	events     int
	ended      bool
}

const retired = -1

func (p *pairing) add(r *record) error {
	switch {
	case r.Time == nil:
		return errors.New("no time")
	case r.Type == "end":
		p.ended = true
		return p.advance(*r.Time)
	case p.ended:
		return errors.New("an event after the end line")
	case r.Process == nil:
		return errors.New("no process")
	}
	op := Operation{Process: *r.Process, Node: r.Node, Kind: r.Kind, Key: r.Key, Error: r.Error}
	if r.Type == "invoke" {
		if r.Error != "" {
			return errors.New("an invocation with an error")
		}
		op.Invoke, op.Input = *r.Time, r.Value
		return p.invoke(op)
	}
	if err := op.Outcome.UnmarshalText([]byte(r.Type)); err != nil {
		return fmt.Errorf("unknown type %.40q (want invoke, ok, fail, info or end)", r.Type)
	}
	if r.Node != "" {
		return errors.New("a completion with a node; it belongs to the invocation")
	}
	op.Complete, op.Output = *r.Time, r.Value
	return p.complete(op)
}

// invoke takes all of op but its completion.
func (p *pairing) invoke(op Operation) error {
	if op.Kind == "" {
		return errors.New("no op")
	}
	for _, text := range []string{string(op.Kind), op.Key, op.Node} {
		// Different ones of these would become one when they are written.
		if strings.ContainsRune(text, utf8.RuneError) {
			return fmt.Errorf("op, key or node %.40q is not UTF-8", text)
		}
	}
	switch i, busy := p.current[op.Process]; {
	case busy && i == retired:
		return fmt.Errorf("process %d goes on after its info", op.Process)
	case busy:
		return fmt.Errorf("process %d invokes %.40q while its %.40q is open", op.Process, op.Kind, p.operations[i].Kind)
	}
	if p.current == nil {
		p.current = map[int]int{}
	}
	op.Complete, op.Outcome, op.Output, op.Error = 0, Info, Value{}, ""
	p.current[op.Process] = p.place(op)
	p.events++
	if err := p.advance(op.Invoke); err != nil || p.packed == nil {
		return err
	}
	return p.packed.invoke(&op)
}

// place puts an open operation where there is room.
func (p *pairing) place(op Operation) int {
	if last := len(p.free) - 1; last >= 0 {
		i := p.free[last]
		p.free, p.operations[i] = p.free[:last], op
		return i
	}
	p.operations = append(p.operations, op)
	return len(p.operations) - 1
}

// complete takes the completion of op.
func (p *pairing) complete(op Operation) error {
	i, busy := p.current[op.Process]
	if !busy || i == retired {
		return fmt.Errorf("process %d completes %.40q without an invocation", op.Process, op.Kind)
	}
	if op.Outcome > Fail {
		return fmt.Errorf("unknown %v", op.Outcome)
	}
	open := &p.operations[i]
	if open.Kind != op.Kind || open.Key != op.Key {
		return fmt.Errorf("process %d completes %.40q of key %.40q, but invoked %.40q of key %.40q", op.Process, op.Kind, op.Key, open.Kind, open.Key)
	}
	open.Complete, open.Outcome, open.Output, open.Error = op.Complete, op.Outcome, op.Output, op.Error
	delete(p.current, op.Process)
	if op.Outcome == Info {
		p.current[op.Process] = retired
	}
	p.events++
	if err := p.advance(op.Complete); err != nil || p.packed == nil {
		return err
	}
	p.free = append(p.free, i)
	return p.packed.complete(open)
}

func (p *pairing) advance(now time.Duration) error {
	if now < 0 {
		return fmt.Errorf("negative time %d", now)
	}
	if now < p.now {
		return fmt.Errorf("time runs backwards, from %d to %d", p.now, now)
	}
	p.now = now
	return nil
}

func (p *pairing) finish() []Operation {
	for _, i := range p.current {
		if i != retired {
			p.operations[i].leaveOpen(p.now)
		}
	}
	return p.operations
}

// leaveOpen is for an operation without a completion.
func (o *Operation) leaveOpen(end time.Duration) {
	o.Complete, o.Error = end, "no completion recorded"
}

func appendInvoke(to []byte, op *Operation) []byte {
	to = appendHead(to, op.Invoke, op, "invoke")
	to = appendValue(to, op.Input)
	to = appendText(to, `,"node":`, op.Node)
	return append(to, "}\n"...)
}

func appendComplete(to []byte, op *Operation, failure string) []byte {
	to = appendHead(to, op.Complete, op, op.Outcome.String())
	to = appendValue(to, op.Output)
	to = appendText(to, `,"error":`, failure)
	return append(to, "}\n"...)
}

func appendEnd(to []byte, now time.Duration) []byte {
	return fmt.Appendf(to, `{"time":%d,"type":"end"}`+"\n", now)
}

func appendHead(to []byte, now time.Duration, op *Operation, what string) []byte {
	to = append(to, `{"time":`...)
	to = strconv.AppendInt(to, int64(now), 10)
	to = append(to, `,"process":`...)
	to = strconv.AppendInt(to, int64(op.Process), 10)
	to = append(to, `,"type":"`...)
	to = append(to, what...)
	to = append(to, '"')
	to = appendText(to, `,"op":`, string(op.Kind))
	return appendText(to, `,"key":`, op.Key)
}

func appendValue(to []byte, value Value) []byte {
	if value.IsNone() {
		return to
	}
	return value.append(append(to, `,"value":`...))
}

// appendText appends a name and a JSON string, or nothing for an empty one.
func appendText(to []byte, name, text string) []byte {
	if text == "" {
		return to
	}
	return appendQuoted(append(to, name...), text)
}

func appendQuoted(to []byte, text string) []byte {
	to = append(to, '"')
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			to = append(to, text[:i]...)
			return append(appendEscaped(to, text[i:]), '"')
		}
	}
	to = append(to, text...)
	return append(to, '"')
}

// appendEscaped escapes whatever does not print, so that hostile text cannot
// disturb a terminal either. Bytes that are not UTF-8 become U+FFFD.
func appendEscaped(to []byte, text string) []byte {
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			to = append(to, '\\', byte(r))
		case r == '\n':
			to = append(to, `\n`...)
		case unicode.IsPrint(r):
			to = utf8.AppendRune(to, r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			to = fmt.Appendf(to, `\u%04x\u%04x`, high, low)
		default:
			to = fmt.Appendf(to, `\u%04x`, r)
		}
	}
	return to
}

// clip shortens a text to so many bytes, between two runes.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit
	for end > limit-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
