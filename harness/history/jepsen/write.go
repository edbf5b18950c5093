package jepsen

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/rashomon-io/rashomon/harness/history"
)

// Write writes a run as Jepsen's history.edn, one operation a line. Faults are
// operations of the process :nemesis. If there is more than one key, values are
// [key value] tuples, as those of jepsen.independent; the name of a single key
// is left out. Read understands what Write writes.
func Write(w io.Writer, run *history.Run) error {
	lines, err := clientLines(run.History.Operations, run.Manifest.Kinds)
	if err != nil {
		return fmt.Errorf("cannot write the history: %w", err)
	}
	lines = append(lines, nemesisLines(run.Events)...)
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.rank, b.rank))
	})
	out := bufio.NewWriter(w)
	var text []byte
	for i, l := range lines {
		text = fmt.Appendf(text[:0], "{:index %d, :time %d, :type :%s, :process %s, :f :%s, :value ", i, int64(l.time), l.what, l.process, l.f)
		text = l.value.append(text)
		for _, extra := range l.extra {
			text = extra.append(text)
		}
		out.Write(append(text, "}\n"...))
	}
	return out.Flush()
}

// A line is an event as it is written.
type line struct {
	time time.Duration
	// rank orders lines of one time: invocations before completions, so that
	// what was concurrent remains so, as far as processes allow it.
	rank             int
	what, process, f string
	value            datum
	extra            []field
}

// A field is written after those that every line has.
type field struct {
	name  string
	value datum
}

func (f field) append(to []byte) []byte {
	return f.value.append(append(append(append(to, ", :"...), f.name...), ' '))
}

// isName reports whether the text can be a keyword's name.
func isName(text string) bool {
	for _, r := range text {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.+*!?", r) {
			return false
		}
	}
	return text != ""
}

func clientLines(operations []history.Operation, kinds history.Kinds) ([]line, error) {
	keys := map[string]bool{}
	isBank, isVersioned := false, false
	for i := range operations {
		o := &operations[i]
		keys[o.Key] = true
		isBank = isBank || o.Kind == history.Transfer
		isVersioned = isVersioned || o.Outcome == history.OK && (o.Kind == history.Read && o.Output.Len() == 2 || (o.Kind == history.Write || o.Kind == history.CompareAndSet) && o.Output.Len() == 1)
	}
	type moment struct {
		time    time.Duration
		rank    int
		retired bool
	}
	last := map[int]moment{} // of each process
	lines := make([]line, 0, 2*len(operations))
	for i := range operations {
		o := &operations[i]
		f := cmp.Or(kinds.Of(o.Kind).Jepsen, string(o.Kind))
		if !isName(f) {
			return nil, fmt.Errorf("operation %d (p%d): Jepsen's histories have no word for %.40q", i+1, o.Process, o.Kind)
		}
		before, some := last[o.Process]
		if o.Invoke < 0 || o.Complete < o.Invoke || some && o.Invoke < before.time || before.retired {
			return nil, fmt.Errorf("operation %d (p%d %s) overlaps with another of its process, or completes before it is invoked", i+1, o.Process, o.Kind)
		}
		key := datum{kind: text, text: o.Key}
		value := func(d datum) datum {
			if len(keys) == 1 {
				return d
			}
			return datum{kind: vector, items: []datum{key, d}}
		}
		input, output := inputDatum(o), outputDatum(o, isBank)
		if isVersioned {
			input, output = versionedDatums(o)
		}
		invocation := line{time: o.Invoke, what: "invoke", process: fmt.Sprint(o.Process), f: f, value: value(input)}
		if some && o.Invoke == before.time {
			invocation.rank = before.rank + 1
		}
		if o.Node != "" {
			invocation.extra = append(invocation.extra, field{"node", datum{kind: text, text: o.Node}})
		}
		completion := invocation
		completion.time, completion.rank, completion.what, completion.extra = o.Complete, 1, o.Outcome.String(), nil
		if o.Complete == o.Invoke {
			completion.rank = invocation.rank + 1
		}
		if o.Outcome == history.OK && output.kind != absent {
			completion.value = value(output)
		}
		if o.Outcome == history.Fail && (o.Error == "" || !o.Output.IsNone()) {
			completion.extra = append(completion.extra, field{"saw", outputDatum(o, false)})
		}
		if o.Error != "" {
			completion.extra = append(completion.extra, field{"error", datum{kind: text, text: o.Error}})
		}
		last[o.Process] = moment{completion.time, completion.rank, o.Outcome == history.Info}
		lines = append(lines, invocation, completion)
	}
	return lines, nil
}

func integerDatum(number int64) datum { return datum{kind: integer, number: number} }

func vectorDatum(value history.Value) datum {
	d := datum{kind: vector}
	for _, number := range value.Ints() {
		d.items = append(d.items, integerDatum(number))
	}
	return d
}

// jsonDatum is what a value that is no integers is in EDN: names of a map's fields
// are strings.
func jsonDatum(value history.Value) datum {
	decoder := json.NewDecoder(strings.NewReader(value.String()))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return datum{kind: text, text: value.String()}
	}
	return treeDatum(tree)
}

func treeDatum(tree any) datum {
	switch tree := tree.(type) {
	case nil:
		return datum{kind: null}
	case string:
		return datum{kind: text, text: tree}
	case []any:
		d := datum{kind: vector}
		for _, element := range tree {
			d.items = append(d.items, treeDatum(element))
		}
		return d
	case map[string]any:
		d := datum{kind: mapping}
		for name, element := range tree {
			d.items = append(d.items, datum{kind: text, text: name}, treeDatum(element))
		}
		return d
	default: // a number or a truth value is written alike
		return datum{kind: literal, text: fmt.Sprint(tree)}
	}
}

func inputDatum(o *history.Operation) datum {
	switch {
	case !o.Input.IsInts():
		return jsonDatum(o.Input)
	case o.Kind == history.Transfer && o.Input.Len() == 3:
		d := datum{kind: mapping}
		for i, name := range []string{"from", "to", "amount"} {
			d.items = append(d.items, datum{kind: keyword, text: name}, integerDatum(o.Input.At(i)))
		}
		return d
	case o.Input.Len() == 0:
		return datum{kind: null}
	case o.Input.Len() == 1:
		return integerDatum(o.Input.At(0))
	}
	return vectorDatum(o.Input)
}

// outputDatum is absent where the completion repeats the invocation's value.
func outputDatum(o *history.Operation, isBank bool) datum {
	switch {
	case !o.Output.IsInts():
		return jsonDatum(o.Output)
	case o.Kind == history.ReadAll && isBank:
		d := datum{kind: mapping}
		for account, balance := range o.Output.Ints() {
			held := integerDatum(balance)
			if balance == history.NoBalance {
				held = datum{kind: null}
			}
			d.items = append(d.items, integerDatum(int64(account)), held)
		}
		return d
	case o.Kind == history.ReadAll || o.Output.Len() > 1:
		return vectorDatum(o.Output)
	case o.Output.Len() == 1:
		return integerDatum(o.Output.At(0))
	}
	return datum{}
}

// versionedDatums are [version value] of an operation on a versioned register.
func versionedDatums(o *history.Operation) (input, output datum) {
	version, value := datum{kind: null}, datum{kind: null}
	if o.Outcome == history.OK && o.Output.Len() > 0 && o.Output.At(0) != history.NoVersion {
		version = integerDatum(o.Output.At(0))
	}
	switch {
	case o.Kind != history.Read:
		value = inputDatum(o)
	case o.Outcome == history.OK && o.Output.Len() == 2:
		value = integerDatum(o.Output.At(1))
	}
	output = datum{kind: vector, items: []datum{version, value}}
	if input = (datum{kind: null}); o.Kind != history.Read {
		input = datum{kind: vector, items: []datum{{kind: null}, value}}
	}
	return input, output
}

// nemesisLines tells each fault and its end twice, as Jepsen does: when the
// action began, and when it had taken effect.
func nemesisLines(events []history.Event) []line {
	var lines []line
	for _, e := range events {
		l := line{what: "info", process: ":nemesis", time: e.Time, value: datum{kind: null}}
		switch e.Type {
		case history.PhaseBegins:
			l.f, l.value = "phase", datum{kind: keyword, text: string(e.Phase)}
			lines = append(lines, l)
			continue
		case history.Inject:
			l.f = "start-" + e.Family
		case history.Heal:
			l.f = "stop-" + e.Family
		default:
			continue
		}
		begin := l
		begin.time = max(0, e.Time-e.Took)
		if e.Type == history.Inject {
			l.value = victimsDatum(e)
		}
		lines = append(lines, begin, l)
	}
	return lines
}

// victimsDatum is what victims reads.
func victimsDatum(e history.Event) datum {
	d := datum{kind: vector}
	if len(e.Links) == 0 {
		for _, node := range e.Nodes {
			d.items = append(d.items, datum{kind: text, text: node})
		}
		return d
	}
	grudge := datum{kind: mapping}
	mute := map[string]int{} // where a deaf node's set is
	for _, link := range e.Directed() {
		deaf := link.To
		if mute[deaf] == 0 {
			grudge.items = append(grudge.items, datum{kind: text, text: deaf}, datum{kind: set})
			mute[deaf] = len(grudge.items) - 1
		}
		to := &grudge.items[mute[deaf]]
		to.items = append(to.items, datum{kind: text, text: link.From})
	}
	d.items = []datum{{kind: keyword, text: "isolated"}, grudge}
	return d
}
