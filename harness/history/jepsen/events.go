package jepsen

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// An event is a line of a history, of a client or of the nemesis.
type event struct {
	line int
	// nemesis: whatever is not a client, whose processes are integers.
	nemesis bool
	process int
	what    string // invoke, ok, fail or info
	f       string
	time    datum
	// value, key, saw and failure are :value, :key, :saw and :error.
	value, key, saw, failure datum
	node                     string
}

// readMaps hands use every event of a history.edn, or of the same in JSON. Torn
// says so if the file was cut off inside the last one.
func readMaps(in io.Reader, isJSON bool, use func(event) error) (torn string, err error) {
	r := newEDNReader(in)
	r.json = isJSON
	var closing byte // of the collection that holds the events, if one does
	for {
		r.size, r.elements = 0, 0
		c, err := r.begin(0)
		if errors.Is(err, errCutOff) {
			if closing != 0 {
				return fmt.Sprintf("the file ends after line %d without a closing %q", r.line, closing), nil
			}
			return "", nil
		}
		switch {
		case err != nil:
			return "", err
		case closing == 0 && c == '[':
			closing = ']'
			continue
		case closing == 0 && c == '(':
			closing = ')'
			continue
		case closing != 0 && c == closing:
			closing = 0
			continue
		}
		line := r.line
		d, err := r.valueFrom(c, 1)
		if errors.Is(err, errCutOff) {
			return fmt.Sprintf("line %d is cut off", line), nil
		}
		if err != nil {
			return "", err
		}
		e, err := ednEvent(d.untagged())
		if err == nil {
			e.line = line
			err = use(e)
		}
		if err != nil {
			return "", at(line, err)
		}
	}
}

// at adds the line to an error that names none.
func at(line int, err error) error {
	var known *history.LineError
	if errors.As(err, &known) {
		return err
	}
	return &history.LineError{Line: line, Err: err}
}

func ednEvent(d datum) (event, error) {
	if d.kind != mapping {
		return event{}, fmt.Errorf("%.40s is not an operation; want a map such as {:type :invoke, :process 0, :f :read, :value nil}", strconv.Quote(d.String()))
	}
	e := event{
		what: word(d.field("type")), f: word(d.field("f")), time: d.field("time"),
		value: d.field("value"), key: d.field("key"), saw: d.field("saw"), failure: d.field("error"),
	}
	if node := d.field("node"); node.kind == text {
		e.node = node.text
	}
	process := d.field("process")
	switch {
	case process.kind == absent && isTransaction(e.value):
		return e, errTransaction
	case process.kind == absent:
		return e, errors.New("an operation without a :process")
	case process.kind == integer && int64(int(process.number)) == process.number:
		e.process = int(process.number)
	default:
		e.nemesis = true
	}
	return e, e.check()
}

// word is a keyword, or what other recorders make of it in JSON: "ok", ":ok" or "OK".
func word(d datum) string {
	if d.kind == text {
		return strings.ToLower(strings.TrimPrefix(d.text, ":"))
	}
	return d.text
}

func (e event) check() error {
	switch {
	case !slices.Contains([]string{"invoke", "ok", "fail", "info"}, e.what):
		return fmt.Errorf("unknown :type %.40q (want :invoke, :ok, :fail or :info)", e.what)
	case !e.nemesis && (e.f == "txn" || isTransaction(e.value)):
		return errTransaction
	case e.f == "":
		return errors.New("an operation without an :f")
	}
	return nil
}

var errTransaction = errors.New("an operation of this history is a transaction; histories of transactions are not supported, and Elle judges them")

// isTransaction: a value is a transaction's, such as [[:r 3 nil] [:append 4 1]].
func isTransaction(value datum) bool {
	if value.kind != vector && value.kind != list || len(value.items) == 0 {
		return false
	}
	return !slices.ContainsFunc(value.items, func(d datum) bool {
		d = d.untagged()
		return d.kind != vector && d.kind != list || len(d.items) < 2 ||
			d.items[0].kind != keyword && d.items[0].kind != text || !slices.Contains([]string{"r", "w", "append"}, d.items[0].text)
	})
}

// operationLine is how jepsen.util logs an operation, after whatever the logger
// writes first: process, type, function, value, and perhaps the error.
var operationLine = regexp.MustCompile(`(?:^|[-:\]]\s+)(\d+|:nemesis)\s+:(invoke|ok|fail|info)\s+:(\S+)\s+(\S.*?)\s*$`)

// readLog hands use every event in a log of Jepsen's; other lines are skipped.
func readLog(in io.Reader, use func(event) error) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, sizeLimit)
	line := 0
	for scanner.Scan() {
		line++
		match := operationLine.FindSubmatch(scanner.Bytes())
		if match == nil {
			continue
		}
		e, err := logEvent(match)
		if err == nil {
			e.line = line
			err = use(e)
		}
		var inner *history.LineError
		if errors.As(err, &inner) {
			err = inner.Err // its lines are counted from this one
		}
		if err != nil {
			return &history.LineError{Line: line, Err: err}
		}
	}
	if err := scanner.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("longer than %d MiB", sizeLimit>>20)
		}
		return &history.LineError{Line: line + 1, Err: err}
	}
	return nil
}

func logEvent(match [][]byte) (event, error) {
	e := event{what: string(match[2]), f: string(match[3])}
	r := newEDNReader(bytes.NewReader(match[4]))
	value, err := r.value(0)
	e.value = value
	if process, badProcess := strconv.Atoi(string(match[1])); badProcess == nil {
		e.process = process
	} else if match[1][0] == ':' {
		e.nemesis = true
		if err != nil || value.kind == symbol { // prose
			e.value = datum{kind: text, text: string(match[4])}
		}
		return e, nil
	} else {
		return e, fmt.Errorf("the process %.40q is out of range", match[1])
	}
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return e, err
	}
	if e.failure, err = r.value(0); err != nil && !errors.Is(err, errCutOff) {
		return e, err
	}
	if e.what != "invoke" && e.value.kind == keyword { // :timed-out
		e.value, e.failure = datum{}, e.value
	}
	return e, nil
}

// A clock makes times of events. Jepsen's order of events is the truth: its times
// may be coarse, and they may go back, because they are taken before an event
// gets its place in the history. So no event is earlier than the one before it, and
// where a completion stands before an invocation of the same time, the latter is a
// nanosecond later.
type clock struct {
	untimed   bool // an event of a client had no time
	now       time.Duration
	completed bool // something was, at now
}

const latest = 1 << 62 // nanoseconds; no run is longer

func (c *clock) read(e event) (time.Duration, error) {
	now := c.now
	if e.time.kind == integer && e.time.number != -1 { // which is how Jepsen says that there is none
		if t := e.time.number; t < 0 || t > latest {
			return 0, fmt.Errorf(":time %d is out of range", t)
		}
		now = max(now, time.Duration(e.time.number))
	} else {
		c.untimed = c.untimed || !e.nemesis
		now++
	}
	if now > c.now {
		c.completed = false
	}
	if !e.nemesis && e.what == "invoke" && c.completed {
		now, c.completed = now+1, false
	}
	if !e.nemesis && e.what != "invoke" {
		c.completed = true
	}
	c.now = now
	return now, nil
}

// A call is one operation, with values as they were read.
type call struct {
	line             int // of its invocation
	completed        int // the line of its completion
	process          int
	node             string
	f                string
	key              datum
	input, output    datum // what it took and returned
	invoked          datum // :value of the invocation
	saw              datum
	invoke, complete time.Duration
	outcome          history.Outcome
	failure          string
}

// A pairing makes calls of events.
type pairing struct {
	calls   []call
	open    map[int]int // a process's open call
	retired map[int]int // the line of the info that retired a process
	clock   clock
	nemesis nemesis
}

func (p *pairing) add(e event) error {
	now, err := p.clock.read(e)
	if err != nil {
		return err
	}
	if e.nemesis {
		p.nemesis.add(e, now)
		return nil
	}
	i, busy := p.open[e.process]
	if e.what == "invoke" {
		if line, retired := p.retired[e.process]; retired {
			return fmt.Errorf("p%d invokes :%s, but retired with the :info of line %d: nobody knows whether that operation is over, so a new process must go on", e.process, clip(e.f), line)
		}
		if busy {
			return fmt.Errorf("p%d invokes :%s, but its :%s of line %d is still open", e.process, clip(e.f), clip(p.calls[i].f), p.calls[i].line)
		}
		p.open[e.process] = len(p.calls)
		p.calls = append(p.calls, call{
			line: e.line, process: e.process, node: e.node, f: e.f, key: e.key, input: e.value,
			invoke: now, outcome: history.Info, failure: "no completion recorded",
		})
		return nil
	}
	if !busy {
		return fmt.Errorf("p%d completes :%s, but it has no open operation", e.process, clip(e.f))
	}
	c := &p.calls[i]
	if c.f != e.f {
		return fmt.Errorf("p%d completes :%s, but its open operation is the :%s of line %d", e.process, clip(e.f), clip(c.f), c.line)
	}
	delete(p.open, e.process)
	c.completed, c.complete, c.output, c.saw = e.line, now, e.value, e.saw
	switch c.failure = e.reason(); e.what {
	case "ok":
		c.outcome = history.OK
	case "fail":
		c.outcome = history.Fail
	case "info":
		p.retired[e.process] = e.line
	}
	return nil
}

// reason is the error of a completion. Jepsen's fail means that an operation
// did not happen, and not why, so without an error it gets one: an operation
// that failed with none would be an observation (see history.Operation).
func (e event) reason() string {
	switch {
	case e.failure.kind == text && e.failure.text != "":
		return e.failure.text
	case e.failure.kind > null:
		return e.failure.String()
	case e.what == "fail" && e.saw.kind == absent:
		return "failed"
	}
	return ""
}

// finish ends the calls that are still open.
func (p *pairing) finish() {
	for _, i := range p.open {
		p.calls[i].complete = p.clock.now
	}
	p.nemesis.finish()
}

// clip bounds what an error quotes.
func clip(name string) string {
	const limit = 40
	if len(name) > limit {
		name = strings.ToValidUTF8(name[:limit], "") + "…"
	}
	return strings.Trim(strconv.Quote(name), `"`)
}
