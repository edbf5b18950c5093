package reports

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness/history"
)

// An entry is an Entry that has come in: every text in it is clean. Its operations and
// violations are shown by violations alone.
type entry struct {
	Entry
	unclean Entry
}

// enter is the only way from an Entry to what a report shows. Of a packed history, it
// unpacks the keys of the violations.
func enter(e Entry) entry {
	run, result := *e.Run, e.Result
	if packed := run.History.Packed; packed != nil {
		keys := map[string]bool{}
		for _, v := range result.Violations {
			keys[v.Key] = true
		}
		shown := run
		shown.History.Packed, shown.History.Operations = nil, packed.Of(slices.Collect(maps.Keys(keys)))
		slices.SortFunc(shown.History.Operations, func(a, b history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })
		e.Run, run.History.Packed = &shown, nil
	}
	run.History.Operations, result.Violations = nil, nil
	run.Events = slices.Clone(run.Events)
	for i := range run.Events { // of a log, they may be
		lines := strings.FieldsFunc(run.Events[i].Reason, func(r rune) bool { return r == '\n' })
		run.Events[i].Reason = strings.Join(lines, " / ")
	}
	return entry{clean(Entry{&run, result}), e}
}

// violations returns the foremost ones, at most limit, and how many there are.
func (e entry) violations(limit int) (foremost []told, all int) {
	unclean := e.unclean.Result.Foremost(e.unclean.Run.Manifest.Claim)
	for _, v := range unclean[:min(len(unclean), limit)] {
		shown := v
		shown.Witness = lastOf(v.Witness)
		foremost = append(foremost, told{clean(shown), shown, len(v.Witness) - len(shown.Witness), e.unclean.Run.History.Operations})
	}
	return foremost, len(unclean)
}

// lastOf are those of a witness that are shown: that completed last, among which is the
// one that no order explains.
func lastOf(witness []history.Operation) []history.Operation {
	last := slices.Clone(witness)
	slices.SortStableFunc(last, func(a, b history.Operation) int { return cmp.Compare(a.Complete, b.Complete) })
	last = last[max(0, len(last)-maxWitness):]
	slices.SortStableFunc(last, func(a, b history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })
	return last
}

// told is a violation that is shown.
type told struct {
	anomaly.Violation
	unclean    anomaly.Violation
	omitted    int // operations of the witness
	operations []history.Operation
}

// more says what of the witness is not shown; empty if all is.
func (t told) more() string {
	if t.omitted == 0 {
		return ""
	}
	return fmt.Sprintf("These are the last operations of the witness; %s before them belong to it, too (result.json has them).", counted(t.omitted, "operation"))
}

// neighbours are the operations around it, and how many there were.
func (t told) neighbours() (nearest []history.Operation, total int) {
	nearest, total = neighbours(t.unclean.Key, t.unclean.Witness, t.operations)
	return clean(nearest), total
}

// limits are in runes, by where a text stands; elsewhere it is textLimit.
var limits = map[string]int{
	"Run.Dir": 1000, "Manifest.Command": 1000, "Manifest.Options": 60, "Manifest.Nemesis": 80,
	"Result.Reason": 900, "Result.Vacuous": 300, "Result.Torn": 300, "Result.Warnings": 200,
	"Violation.Sentence": 1000, "Operation.Error": 120, "Decision.Why": 80,
	"Statistics.Troubles": 200, "Statistics.Skipped": 300, "ErrorClass.Example": 300, "ErrorClass.Kind": 20, "ErrorClass.Node": 20,
	"Event.Family": 20, "Event.Detail": 120, "Event.Reason": 400, "Untried.Reason": 400, "Part.Reason": 200,
}

const textLimit = 40

// clean is a copy of data in which every text, also the keys of maps, has passed through
// Clean.
func clean[T any](data T) T {
	return cleaned(reflect.ValueOf(&data).Elem(), textLimit).Interface().(T)
}

func cleaned(data reflect.Value, limit int) reflect.Value {
	switch data.Kind() {
	case reflect.String:
		return reflect.ValueOf(Clean(data.String(), limit)).Convert(data.Type())
	case reflect.Pointer:
		if data.IsNil() {
			return data
		}
		of := reflect.New(data.Type().Elem())
		of.Elem().Set(cleaned(data.Elem(), limit))
		return of
	case reflect.Struct:
		of := reflect.New(data.Type()).Elem()
		of.Set(data)
		for i := range data.NumField() {
			field := data.Type().Field(i)
			if !field.IsExported() {
				continue
			}
			within := limit
			if own, found := limits[data.Type().Name()+"."+field.Name]; found {
				within = own
			}
			of.Field(i).Set(cleaned(data.Field(i), within))
		}
		return of
	case reflect.Slice:
		if data.IsNil() {
			return data
		}
		of := reflect.MakeSlice(data.Type(), data.Len(), data.Len())
		for i := range data.Len() {
			of.Index(i).Set(cleaned(data.Index(i), limit))
		}
		return of
	case reflect.Map:
		return cleanedMap(data, limit)
	}
	return data
}

// cleanedMap has keys of text. Of two that become the same, one gets a number.
func cleanedMap(data reflect.Value, limit int) reflect.Value {
	if data.IsNil() {
		return data
	}
	values := map[string]reflect.Value{}
	for key, value := range data.Seq2() {
		values[key.String()] = value
	}
	of := reflect.MakeMap(data.Type())
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text := Clean(name, limit)
		key := reflect.ValueOf(text).Convert(data.Type().Key())
		for n := 2; of.MapIndex(key).IsValid(); n++ {
			key = reflect.ValueOf(fmt.Sprintf("%s (%d)", text, n)).Convert(data.Type().Key())
		}
		of.SetMapIndex(key, cleaned(values[name], limit))
	}
	return of
}

// Clean makes text from a run safe to print in one line, and puts "…" for what is
// beyond its first limit runes. What cannot be printed is shown as Go would escape
// it: \x1b, \n, \u202e.
func Clean(text string, limit int) string {
	var b strings.Builder
	for n := 0; text != ""; n++ {
		if n == limit {
			b.WriteString("…")
			break
		}
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		text = text[size:]
	}
	return b.String()
}
