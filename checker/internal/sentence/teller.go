package sentence

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A Teller tells what operations on an object did, and when, if the run has times.
type Teller struct {
	Run *history.Run
	Key string
	// Elements are those that matter of a set.
	Elements []int64
}

// long is how long an operation may take and be told with one time.
const long = time.Second

// At is " at 3.000 s".
func (t Teller) At(moment time.Duration) string {
	if t.Run.History.Untimed {
		return ""
	}
	return " at " + Seconds(moment)
}

// Since is " since 3.000 s".
func (t Teller) Since(moment time.Duration) string {
	if t.Run.History.Untimed {
		return ""
	}
	return " since " + Seconds(moment)
}

// Until is " until 3.000 s".
func (t Teller) Until(moment time.Duration) string {
	if t.Run.History.Untimed {
		return ""
	}
	return " until " + Seconds(moment)
}

// When is At, of an operation that was acknowledged; but both its times, if it took
// long or if a node or link went bad or came back meanwhile.
func (t Teller) When(o *history.Operation, moment time.Duration) string {
	changes := slices.ContainsFunc(t.Run.Events, func(e history.Event) bool {
		return (e.Type == history.Inject || e.Type == history.Heal || e.Type == history.Crash) && o.Invoke < e.Time && e.Time <= o.Complete
	})
	if t.Run.History.Untimed || !changes && o.Complete-o.Invoke <= long {
		return t.At(moment)
	}
	return fmt.Sprintf(" (invoked at %s, answered at %s)", Seconds(o.Invoke), Seconds(o.Complete))
}

// After is ", 2.000 s after ", and Before is "2.000 s before".
func (t Teller) After(d time.Duration) string {
	if t.Run.History.Untimed {
		return " after "
	}
	return ", " + gap(d) + " after "
}

func (t Teller) Before(d time.Duration) string {
	if t.Run.History.Untimed {
		return "before"
	}
	return gap(d) + " before"
}

// gap is the time between two operations.
func gap(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	}
	return Seconds(d)
}

// Name is the object's, for people: "k3" or "the register", "queue q", "the set".
func (t Teller) Name(kind history.Kind) string {
	object := history.Kinds(nil).Of(kind).Object
	switch {
	case t.Key == "":
		return "the " + object
	case object != "register":
		return object + " " + t.Key
	}
	return KeyName(t.Key)
}

// KeyName is a register's or counter's. A key that is no word is told to be one:
// "key 0".
func KeyName(key string) string {
	if first, _ := utf8.DecodeRuneInString(key); unicode.IsLetter(first) {
		return key
	}
	return "key " + key
}

// Did says what an operation was and who did it: "p7 read k3 = 41 through n3".
func (t Teller) Did(o *history.Operation) string {
	asked := "" // of unknown outcome
	if o.Outcome == history.Info {
		asked = ", with unknown outcome"
	}
	name := t.Name(o.Kind)
	switch {
	case o.Kind == history.Read && o.Output.Len() == 0:
		return fmt.Sprintf("p%d found no %s%s", o.Process, strings.TrimPrefix(name, "the "), Through(o))
	case o.Kind == history.Read:
		return fmt.Sprintf("p%d read %s = %d%s", o.Process, name, o.Output.At(0), Through(o))
	case o.Kind == history.CompareAndSet && o.Outcome == history.Fail && o.Output.Len() == 0:
		return fmt.Sprintf("a compare-and-set of p%d%s found that %s was not %d", o.Process, Through(o), name, o.Input.At(0))
	case o.Kind == history.CompareAndSet && o.Outcome == history.Fail:
		return fmt.Sprintf("a failed compare-and-set of p%d%s saw %s = %d", o.Process, Through(o), name, o.Output.At(0))
	case o.Kind == history.ReadAll:
		return fmt.Sprintf("p%d read %s%s%s", o.Process, name, t.contents(o), Through(o))
	case o.Kind == history.Write:
		return fmt.Sprintf("p%d wrote %s = %d%s%s", o.Process, name, o.Input.At(0), Through(o), asked)
	case o.Kind == history.CompareAndSet:
		return fmt.Sprintf("p%d swapped %s from %d to %d%s%s", o.Process, name, o.Input.At(0), o.Input.At(1), Through(o), asked)
	case o.Kind == history.Enqueue:
		return fmt.Sprintf("p%d enqueued %d to %s%s%s", o.Process, o.Input.At(0), name, Through(o), asked)
	case o.Kind == history.Dequeue && o.Output.Len() == 0:
		return fmt.Sprintf("p%d found %s empty%s", o.Process, name, Through(o))
	case o.Kind == history.Dequeue:
		return fmt.Sprintf("p%d dequeued %d from %s%s", o.Process, o.Output.At(0), name, Through(o))
	case o.Kind == history.Acquire:
		return fmt.Sprintf("p%d acquired %s%s%s", o.Process, name, WithToken(o.Output), Through(o))
	case o.Kind == history.Use:
		return fmt.Sprintf("p%d used what %s protects%s", o.Process, name, WithToken(o.Input))
	default:
		return fmt.Sprintf("p%d added %d to %s%s%s", o.Process, o.Input.At(0), name, Through(o), asked)
	}
}

// Had says the same of an operation that came first: "k3 = 57 had been acknowledged
// to p2 through n1".
func (t Teller) Had(o *history.Operation) string {
	var what string
	switch o.Kind {
	case history.Write:
		what = fmt.Sprintf("%s = %d", t.Name(o.Kind), o.Input.At(0))
	case history.CompareAndSet:
		what = fmt.Sprintf("the swap of %s from %d to %d", t.Name(o.Kind), o.Input.At(0), o.Input.At(1))
	case history.Add:
		what = fmt.Sprintf("element %d", o.Input.At(0))
	case history.Enqueue:
		what = fmt.Sprintf("the enqueue of %d", o.Input.At(0))
	default:
		return fmt.Sprintf("p%d had read %s%s%s", o.Process, t.Name(o.Kind), t.contents(o), Through(o))
	}
	return fmt.Sprintf("%s had been acknowledged to p%d%s", what, o.Process, Through(o))
}

// Dated is Did, with the time.
func (t Teller) Dated(o *history.Operation) string {
	if o.Outcome == history.Info {
		return t.Did(o) + t.At(o.Invoke)
	}
	return t.Did(o) + t.When(o, o.Complete)
}

// contents says which of the elements that matter a set has.
func (t Teller) contents(o *history.Operation) string {
	var with, without []string
	for _, e := range t.Elements {
		if slices.Contains(o.Output.Ints(), e) {
			with = append(with, fmt.Sprint(e))
		} else {
			without = append(without, fmt.Sprint(e))
		}
	}
	text := ""
	if len(with) > 0 {
		text = " with " + strings.Join(with, " ")
	}
	if len(without) > 0 {
		text += " without " + strings.Join(without, " ")
	}
	return text
}

// Nowhere says why what o observed had not been written: late was invoked too
// late, or else it failed or was never invoked.
func (t Teller) Nowhere(o, late *history.Operation) string {
	if late != nil {
		return fmt.Sprintf("%s %s was invoked", t.Before(late.Invoke-o.Complete), t.intent(late))
	}
	var observed int64
	switch {
	case o.Kind == history.ReadAll:
		observed = t.Elements[0]
	case o.Kind == history.CompareAndSet && o.Outcome != history.Fail:
		observed = o.Input.At(0)
	default:
		observed = o.Output.At(0)
	}
	for i := range t.Run.History.Operations {
		w := &t.Run.History.Operations[i]
		if w.Key != o.Key || w.Outcome != history.Fail || w.Invoke > o.Complete || w.Input.Len() == 0 || w.Input.At(w.Input.Len()-1) != observed {
			continue
		}
		failed := "had failed"
		if w.Complete > o.Complete {
			failed = "failed"
		}
		return fmt.Sprintf("but %s %s%s%s", t.intent(w), failed, t.At(w.Complete), definite(w))
	}
	verb := "wrote"
	switch o.Kind {
	case history.Dequeue:
		verb = "enqueued"
	case history.ReadAll:
		verb = "added"
	}
	return fmt.Sprintf("but nobody ever %s %d", verb, observed)
}

// definite quotes the error of an operation that failed, if there is one: where the
// client is wrong about it, the violation is none of the system's.
func definite(o *history.Operation) string {
	text := Clip(OneLine(o.Error), QuoteBytes)
	if text == "" {
		return ""
	}
	return fmt.Sprintf(" (%q, which its client called definite)", text)
}

// intent names what an operation was to do: "p2's write of k3 = 57".
func (t Teller) intent(o *history.Operation) string {
	name := t.Name(o.Kind)
	switch o.Kind {
	case history.Write:
		return fmt.Sprintf("p%d's write of %s = %d%s", o.Process, name, o.Input.At(0), Through(o))
	case history.CompareAndSet:
		return fmt.Sprintf("p%d's swap of %s from %d to %d%s", o.Process, name, o.Input.At(0), o.Input.At(1), Through(o))
	case history.Enqueue:
		return fmt.Sprintf("p%d's enqueue of %d to %s%s", o.Process, o.Input.At(0), name, Through(o))
	default:
		return fmt.Sprintf("p%d's add of %d%s", o.Process, o.Input.At(0), Through(o))
	}
}

// Through names the node that the client was pinned to, as far as that is known;
// which node served it, only the system knows.
func Through(o *history.Operation) string {
	if o.Node == "" {
		return ""
	}
	return " through " + o.Node
}

// maxTold bounds the operations that a sentence tells of.
const maxTold = 4

// Stale tells of a read that saw older than newer.
func (t Teller) Stale(read, newer *history.Operation) string {
	return t.Did(read) + t.When(read, read.Invoke) + t.After(read.Invoke-newer.Complete) + t.Had(newer)
}

// Lost tells of what newer did, a commit or whatever it is called, and of an
// observer that saw older.
func (t Teller) Lost(observer, newer *history.Operation, what string) string {
	return fmt.Sprintf("%s%s, yet %s%s: %s is lost", t.Had(newer), t.At(newer.Complete), t.Did(observer), t.When(observer, observer.Invoke), what)
}

// Phantom tells of an observer of what had not been written: late was invoked too
// late; nil if nothing wrote it.
func (t Teller) Phantom(observer, late *history.Operation) string {
	return t.Did(observer) + t.When(observer, observer.Complete) + ", " + t.Nowhere(observer, late)
}

// NoOrder tells of operations that no order explains.
func (t Teller) NoOrder(told []*history.Operation) string {
	var all []string
	for _, o := range told[:min(maxTold, len(told))] {
		all = append(all, t.Dated(o))
	}
	return "no order explains that " + List(all, len(told))
}

// List joins the first few of so many clauses: "a, that b, and 3 more".
func List(clauses []string, of int) string {
	text := strings.Join(clauses[:min(maxTold, len(clauses))], ", that ")
	if more := of - maxTold; more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	return text
}

// Nodes names those of the operations told, once each and in their order.
func Nodes(told ...*history.Operation) []string {
	var all []string
	for _, o := range told {
		if o != nil && o.Node != "" && !slices.Contains(all, o.Node) {
			all = append(all, o.Node)
		}
	}
	return all
}

// Several is "1 read", "2 reads".
func Several(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Few names a few elements: "such as 17, 18 and 19".
func Few(elements []int64) string {
	const few = 3
	var names []string
	for _, e := range elements[:min(few, len(elements))] {
		names = append(names, fmt.Sprint(e))
	}
	last := len(names) - 1
	text := strings.Join(names[:last], ", ") + " and " + names[last]
	if len(elements) > few {
		return "such as " + text
	}
	return text
}

// WithToken is " with token 3"; empty if there is none.
func WithToken(value history.Value) string {
	if value.Len() == 0 {
		return ""
	}
	return fmt.Sprintf(" with token %d", value.At(0))
}
