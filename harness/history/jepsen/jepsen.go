// Package jepsen reads the histories that Jepsen and Porcupine's tests record,
// and writes Jepsen's.
//
// # Forms
//
// Jepsen's history.edn holds one operation a line, or all of them in one vector,
// as plain maps or as #jepsen.history.Op{…}:
//
//	{:index 4, :time 12003, :type :invoke, :process 0, :f :write, :value 3}
//	{:index 5, :time 14710, :type :ok, :process 0, :f :write, :value 3}
//
// Fields that are not named here are skipped. A history without :time is ordered
// by its lines. The logs of Porcupine's key-value tests are of the same form,
// with a :key and the functions :get, :put and :append.
//
// The same may be JSON, a line or an array of objects: {"process":0,"type":"ok",
// "f":"write","value":3}. Fields are named as in EDN, and null is nil.
//
// Jepsen's logs, among them those that Porcupine is tested with, and its
// history.txt hold an operation a line, too, as process, type, function, value
// and perhaps an error; all other lines are skipped:
//
//	INFO  jepsen.util - 2	:invoke	:cas	[3 0]
//	INFO  jepsen.util - 2	:info	:cas	:timed-out
//
// # What is meant
//
// The order of lines is the order of events, also where times go back: they are
// taken before an event gets its place in the history. An operation without a
// completion is info. What an acknowledged update did its completion tells, unless
// that is nil; else the invocation does. A read of nil found nothing, and nil is an
// empty collection. Values that are no integers are numbered, see Import.Names; a
// tagged value is another than the one behind the tag, and strings differ if their
// bytes do. Strings that are appended to: see resolveAppends. A queue is one that
// keeps its order, unless Options.Model is total-queue; a :drain is a dequeue of
// each element, in any order, and finds the queue empty in the end. Values that are
// [version value], with nil for the version where an invocation cannot know it, are
// those of a versioned-register. Transactions are refused.
//
// A :fail says that an operation did not happen, and nothing else: as in Knossos,
// one of a :cas does not tell that the value was another. An extension, :saw, tells
// in EDN that the precondition did not hold, and what was there instead, if that is
// known: {:type :fail, :f :cas, :value [3 0], :saw 5}. Others are :node, and the
// nemesis's :f :phase.
//
// What the nemesis did is told by Import.Events as far as its words are known; any
// other is an event of the type history.Unrecognized.
package jepsen

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rashomon-io/rashomon/harness/history"
)

// Options say what a history does not.
type Options struct {
	// Model is one of Models; empty means the one that the operations look like,
	// which is none that must be asked for: a reentrant-lock, that its holder may
	// acquire again, and a total-queue, which keeps no order.
	Model string
	// Independent: whether values are [key value] tuples, as those of
	// jepsen.independent; empty means if all of them look like that.
	Independent Independent
	// Initial is what every register, or every account of a bank, holds at
	// first, as EDN; or a map from the accounts of a bank to that, which lacks
	// those that do not exist. Empty means nothing of registers; of banks, that it
	// is not known.
	Initial string
	// Total is what all accounts of a bank hold together, an integer, where nobody
	// knows what each holds. Empty means that it is not known.
	Total string
	// NegativeBalances: the balances of a bank may be.
	NegativeBalances bool
}

// Independent is an answer to whether values are [key value] tuples.
type Independent string

// The answers; Auto, or none, means: if all of them look like that.
const (
	Auto Independent = "auto"
	Yes  Independent = "yes"
	No   Independent = "no"
)

// An Import is what was read.
type Import struct {
	History history.History
	// Events are the faults of the nemesis; those in unknown words are Unrecognized.
	Events []history.Event
	// Model is the one asked for, or guessed; Why, in half a sentence, says why
	// it was guessed.
	Model, Why string
	// Independent: keys were taken from [key value] tuples.
	Independent bool
	// Names are the values that the numbers of the history stand for, where
	// those were no integers, as EDN.
	Names map[int64]string
	// Accounts of a bank, as EDN, by their numbers in the history.
	Accounts []string
	// Bank is what Options tell of it; nil if they tell neither Initial nor Total.
	Bank *Bank
}

// A Bank is what is known of a bank beforehand.
type Bank struct {
	// Balances are what each account holds at first, history.NoBalance if it does
	// not exist; nil if only the Total is known.
	Balances         []int64
	Total            int64
	NegativeBalances bool
}

// IsHistory reports whether a file that begins with these bytes may be one that
// Read understands; some KiB suffice.
func IsHistory(begin []byte) bool {
	begin = bytes.TrimPrefix(begin, byteOrderMark)
	return isJSON(begin) || isEDN(begin) || isLog(begin)
}

var byteOrderMark = []byte("\uFEFF")

// objects is how JSON that holds operations begins.
var objects = regexp.MustCompile(`^\s*(\[\s*)?\{\s*"`)

func isJSON(begin []byte) bool {
	return objects.Match(begin) && !bytes.HasPrefix(begin, []byte(`{"rashomon"`))
}

func isEDN(begin []byte) bool {
	begin = bytes.TrimLeft(begin, "\t\n\r ,")
	return len(begin) > 0 && strings.IndexByte("{[(#;", begin[0]) >= 0 && !objects.Match(begin)
}

func isLog(begin []byte) bool {
	for line := range bytes.Lines(begin) {
		if operationLine.Match(line) {
			return true
		}
	}
	return false
}

// Read reads a history in any of the forms that the package comment describes.
// An error in it is a *history.LineError. It needs memory in proportion to the
// file; one operation may have 64 MiB of text.
func Read(r io.Reader, o Options) (Import, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	begin, err := in.Peek(64 << 10)
	if err != nil && err != io.EOF {
		return Import{}, err
	}
	if bytes.HasPrefix(begin, byteOrderMark) {
		_, _ = in.Discard(len(byteOrderMark)) // which are there
		begin = begin[len(byteOrderMark):]
	}
	pairs := pairing{open: map[int]int{}, retired: map[int]int{}, nemesis: newNemesis()}
	var torn string
	if !isJSON(begin) && !isEDN(begin) && isLog(begin) {
		err = readLog(in, pairs.add)
	} else {
		torn, err = readMaps(in, isJSON(begin), pairs.add)
	}
	if err != nil {
		return Import{}, err
	}
	if torn != "" {
		torn = fmt.Sprintf("%s: the %d operations before that were read", torn, len(pairs.calls))
	}
	if len(pairs.calls) == 0 {
		return Import{}, errors.New("holds no operation of a client")
	}
	pairs.finish()
	made, err := convert(pairs.calls, o)
	made.History.Torn, made.History.Untimed, made.Events = torn, pairs.clock.untimed, pairs.nemesis.events
	return made, err
}

// convert makes operations of calls.
func convert(calls []call, o Options) (Import, error) {
	made := Import{Names: map[int64]string{}}
	switch o.Independent {
	case Yes:
		made.Independent = true
	case "", Auto:
		made.Independent = looksIndependent(calls)
	case No:
	default:
		return made, fmt.Errorf("independent %.40q is neither auto, yes nor no", o.Independent)
	}
	for i := range calls {
		if err := splitTuples(&calls[i], made.Independent); err != nil {
			return made, err
		}
		calls[i].settle()
	}
	var m model
	var err error
	if o.Model != "" {
		m, err = modelByName(o.Model)
	} else {
		m, made.Why, err = guess(calls)
	}
	if err != nil {
		return made, err
	}
	made.Model = m.name
	initial, err := initially(calls, m, o.Initial)
	if err != nil {
		return made, err
	}
	if initial.kind == null {
		initial = nilValue
		for i := range calls {
			calls[i].valueNil()
		}
	}
	c := conversion{functions: m.functions, keys: map[string]string{}, numbers: numbers{known: map[string]int64{}, names: made.Names}}
	for i := range calls {
		c.numbers.avoid(calls[i].input)
		c.numbers.avoid(calls[i].output)
		c.numbers.avoid(calls[i].saw)
	}
	c.numbers.avoid(initial)
	if m.name == "bank" {
		bank, err := newAccounts(calls, o)
		if err != nil {
			return made, err
		}
		made.Accounts, made.Bank, c.functions = bank.names(), bank.known, bank.functions()
	} else if o.Total != "" {
		return made, fmt.Errorf("the total %.40q is of a bank, and this was judged as %s", o.Total, m.name)
	}
	made.History.Operations, err = c.operations(calls, initial)
	return made, err
}

// looksIndependent: the value of every invocation is a [key value] tuple, and
// that of a :cas holds a pair again.
func looksIndependent(calls []call) bool {
	for i := range calls {
		key, value, ok := calls[i].tuple(calls[i].input)
		if !ok || key.kind <= null || calls[i].key.kind != absent {
			return false
		}
		if isPair := len(value.items) == 2; calls[i].f == "cas" && !isPair {
			return false
		}
	}
	return true
}

// tupleTags are those under which tuples are printed.
var tupleTags = []string{"jepsen.independent.Tuple", "jepsen.independent/tuple", "clojure.lang.MapEntry"}

// tuple takes a [key value] tuple apart.
func tuple(d datum) (key, value datum, ok bool) {
	if d.kind == tagged && slices.Contains(tupleTags, d.text) {
		d = d.untagged()
	}
	switch {
	case d.kind == mapping && d.field("key").kind != absent && d.field("value").kind != absent && len(d.items) == 4:
		return d.field("key"), d.field("value"), true
	case d.kind == vector && len(d.items) == 2:
		return d.items[0], d.items[1], true
	}
	return datum{}, datum{}, false
}

// tuple takes a [key value] tuple of a call apart. That of a :cas may be
// [key expected new], too.
func (c *call) tuple(d datum) (key, value datum, ok bool) {
	if c.f == "cas" && d.kind == vector && len(d.items) == 3 {
		return d.items[0], datum{kind: vector, items: d.items[1:]}, true
	}
	return tuple(d)
}

// splitTuples moves a call's key from its values to where it belongs.
func splitTuples(c *call, independent bool) error {
	if !independent {
		return nil
	}
	key, value, ok := c.tuple(c.input)
	if !ok {
		return &history.LineError{Line: c.line, Err: fmt.Errorf("the :value %.60s is no [key value] tuple", c.input)}
	}
	name := key.String()
	c.key, c.input = key, value
	key, value, ok = c.tuple(c.output)
	switch {
	case ok && key.String() == name:
		c.output = value
	case c.outcome == history.OK:
		return &history.LineError{Line: c.completed, Err: fmt.Errorf("p%d completes :%s of the key %.40s with %.60s; want a [key value] tuple of that key", c.process, clip(c.f), name, c.output)}
	default:
		c.output = datum{}
	}
	return nil
}

// observing are the functions whose completion tells what they found; those of all
// others repeat what they did.
var observing = []string{"read", "get", "dequeue", "drain", "acquire", "release", "use", "generate"}

// settle takes what a call did from its completion, if that tells: an invocation
// cannot know everything.
func (c *call) settle() {
	c.invoked = c.input
	if c.outcome == history.OK && c.output.kind > null && !slices.Contains(observing, c.f) {
		c.input = c.output
	}
}

// initially returns what registers hold at first; absent means nothing. Where
// nil can be written or expected, nil is a value as any other.
func initially(calls []call, m model, asked string) (datum, error) {
	if asked != "" && m.name != "bank" {
		d, err := newEDNReader(strings.NewReader(asked)).value(0)
		if err != nil || m.name != "register" && m.name != "versioned-register" {
			return d, fmt.Errorf("the initial value %.40q is not one EDN value of a register", asked)
		}
		return d, nil
	}
	if m.name != "register" {
		return datum{}, nil
	}
	var initial datum
	for i := range calls {
		c := &calls[i]
		switch {
		case c.f == "append":
			return datum{kind: text}, resolveAppends(calls)
		case c.f == "get" && c.outcome == history.OK && c.output.kind == text && c.output.text == "":
			initial = datum{kind: text}
		case initial.kind == absent && (c.f == "write" || c.f == "put") && c.input.kind <= null,
			initial.kind == absent && c.f == "cas" && slices.ContainsFunc(c.input.items, func(d datum) bool { return d.kind == null }):
			initial = datum{kind: null}
		}
	}
	return initial, nil
}

// nilValue is nil where it is a value as any other.
var nilValue = datum{kind: literal, text: "nil"}

// valueNil makes a nil that was read, written or expected a value.
func (c *call) valueNil() {
	if c.f == "write" || c.f == "put" {
		c.input = orNilValue(c.input)
	}
	for i, item := range c.input.items {
		c.input.items[i] = orNilValue(item)
	}
	if c.outcome == history.OK && (c.f == "read" || c.f == "get") {
		c.output = orNilValue(c.output)
	}
}

func orNilValue(d datum) datum {
	if d.kind <= null {
		return nilValue
	}
	return d
}

// A conversion makes operations of calls by one model.
type conversion struct {
	functions map[string]function
	numbers   numbers
	keys      map[string]string // what a key stands for, as EDN
	processes int               // the first number that no process has
}

func (c *conversion) operations(calls []call, initial datum) ([]history.Operation, error) {
	var operations []history.Operation
	for i := range calls {
		c.processes = max(c.processes, calls[i].process+1)
	}
	for i := range calls {
		made, err := c.operation(&calls[i])
		if err != nil {
			return nil, err
		}
		operations = append(operations, made...)
	}
	if initial.kind == absent {
		return operations, nil
	}
	return c.initialized(operations, initial)
}

// operation returns what a call did; several operations if it drained a queue.
func (c *conversion) operation(call *call) ([]history.Operation, error) {
	fault := func(line int, err error) error {
		return &history.LineError{Line: line, Err: fmt.Errorf("the :%s of p%d %w", clip(call.f), call.process, err)}
	}
	f, known := c.functions[call.f]
	if _, queue := c.functions["dequeue"]; queue && call.f == "drain" {
		drained, err := c.drain(call)
		if err != nil {
			return nil, fault(call.line, err)
		}
		return drained, nil
	}
	if !known {
		names := strings.Join(slices.Sorted(maps.Keys(c.functions)), ", :")
		return nil, &history.LineError{Line: call.line, Err: fmt.Errorf("unknown :f :%s (there are :%s); is it another --model?", clip(call.f), names)}
	}
	key, err := c.key(call.key)
	if err != nil {
		return nil, fault(call.line, err)
	}
	o := history.Operation{
		Process: call.process, Node: call.node, Kind: f.kind, Key: key,
		Invoke: call.invoke, Complete: call.complete, Outcome: call.outcome, Error: call.failure,
	}
	if o.Input, err = f.input(&c.numbers, call.input); err != nil {
		return nil, fault(call.line, err)
	}
	switch {
	case call.outcome == history.OK:
		o.Output, err = f.output(&c.numbers, call.output)
	case call.outcome == history.Fail && call.saw.kind == vector:
		o.Output, err = elements(&c.numbers, call.saw)
	case call.outcome == history.Fail:
		o.Output, err = optional(&c.numbers, call.saw)
	}
	if err != nil {
		return nil, fault(call.completed, err)
	}
	return []history.Operation{o}, nil
}

// drain returns a dequeue for each element, in the interval of the whole, and one
// that found the queue empty, which is how a drain ends.
func (c *conversion) drain(call *call) ([]history.Operation, error) {
	if call.outcome == history.Info {
		return nil, errors.New("has no known outcome, so nobody knows what it took out of the queue, and nothing can be judged")
	}
	if call.outcome == history.Fail {
		return nil, nil
	}
	if call.output.kind == keyword && call.output.text == "exhausted" {
		call.output = datum{} // its dequeues stand before it, each by itself
	}
	drained, err := elements(&c.numbers, call.output)
	if err != nil {
		return nil, err
	}
	key, err := c.key(call.key)
	var operations []history.Operation
	for i := range drained.Len() + 1 {
		o := history.Operation{
			Process: c.processes, Node: call.node, Kind: history.Dequeue, Key: key,
			Invoke: call.invoke, Complete: call.complete, Outcome: history.OK,
		}
		if i < drained.Len() {
			o.Output = history.Ints(drained.At(i))
		}
		operations = append(operations, o)
		c.processes++
	}
	return operations, err
}

// key is a string's content, and EDN of anything else; but of two keys that
// would be one, the second is EDN, too.
func (c *conversion) key(d datum) (string, error) {
	if d.kind <= null {
		return "", nil
	}
	name := d.String()
	key := name
	if stands, taken := c.keys[d.text]; d.kind == text && (!taken || stands == name) {
		key = d.text
	}
	if stands, taken := c.keys[key]; taken && stands != name {
		return "", fmt.Errorf("has the key %.40s, which cannot be told from %.40s", name, stands)
	}
	if strings.ContainsRune(key, utf8.RuneError) {
		return "", fmt.Errorf("has a key that is not UTF-8: %.40q", key)
	}
	c.keys[key] = name
	return key, nil
}

// initialized puts a write of the initial value before the operations of each
// key, which then are a nanosecond later.
func (c *conversion) initialized(operations []history.Operation, initial datum) ([]history.Operation, error) {
	number, err := c.numbers.of(initial)
	if err != nil {
		return nil, err
	}
	var first []history.Operation
	seen := map[string]bool{}
	for i := range operations {
		o := &operations[i]
		o.Invoke, o.Complete = o.Invoke+1, o.Complete+1
		if !seen[o.Key] {
			seen[o.Key] = true
			first = append(first, history.Operation{
				Process: c.processes + len(first), Kind: history.Write, Key: o.Key, Input: history.Ints(number), Outcome: history.OK,
			})
		}
	}
	return append(first, operations...), nil
}
