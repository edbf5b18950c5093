package checker

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A story is a confirmed violation, to be told.
type story struct {
	anomaly anomaly.Name
	key     string
	// told are the operations that matter, in the roles that contradiction
	// gives them; nil where there is none.
	told    []*history.Operation
	witness []history.Operation
	// elements are those that matter of a set; alike are all that its read has
	// wrong in the same way, the first of elements among them.
	elements, alike []int64
	// reads is a contradiction's: only reads are at odds, so one was stale.
	reads bool
	// text tells the story, and during is the time whose faults matter, where the
	// model has words of its own.
	text   func(narrator) string
	during span
}

// maxTold bounds the operations that a sentence tells of.
const maxTold = 4

func (s story) violation(run *history.Run) anomaly.Violation {
	name := s.anomaly
	switch {
	case s.reads:
		name = anomaly.StaleRead
	case name == refused:
		name = anomaly.Disorder
	}
	return anomaly.Violation{Anomaly: name, Key: s.key, Witness: s.witness, Elements: s.elements, Sentence: s.sentence(run)}
}

func (c contradiction) story(key string) story {
	s := story{anomaly: c.anomaly, key: key, told: c.told, reads: c.reads}
	for _, o := range c.witness {
		s.witness = append(s.witness, *o)
	}
	return s
}

// sentence tells the story, and what happened meanwhile to the nodes of whom it
// tells; of a lost commit, to any node, for any may have held it.
func (s story) sentence(run *history.Run) string {
	n := narrator{run}
	if s.text != nil {
		return s.text(n) + faults(run, s.during) + "."
	}
	text := s.words(n)
	if s.anomaly == anomaly.LostCommit {
		return text + faults(run, s.span()) + "."
	}
	return text + faults(run, s.span(), s.nodes()...) + "."
}

func (s story) words(n narrator) string {
	o := s.told[0]
	if len(s.alike) > 1 {
		return s.setText(n)
	}
	switch s.anomaly {
	case anomaly.StaleRead:
		newer := s.told[1]
		return s.did(o) + n.when(o, o.Invoke) + n.after(o.Invoke-newer.Complete) + s.had(newer)
	case anomaly.LostCommit:
		newer, what := s.told[1], "a commit"
		if o.Kind == history.ReadAll {
			what = "the element"
		}
		return fmt.Sprintf("%s%s, yet %s%s: %s is lost", s.had(newer), n.at(newer.Complete), s.did(o), n.when(o, o.Invoke), what)
	case anomaly.PhantomRead:
		return s.did(o) + n.when(o, o.Complete) + ", " + s.nowhere(n, o, s.told[1])
	case anomaly.DoubleSwap:
		return fmt.Sprintf("%s and %s: both replaced the one %d", s.dated(n, o), s.dated(n, s.told[1]), o.Input.At(0))
	case anomaly.Resurrected:
		text := fmt.Sprintf("%s, after %s", s.dated(n, o), s.dated(n, s.told[1]))
		if early := s.told[2]; early != nil {
			text += fmt.Sprintf(", and before that %s", s.dated(n, early))
		}
		return text + ": an overwritten value came back"
	case refused:
		text := fmt.Sprintf("%s, after %s", s.dated(n, o), s.dated(n, s.told[1]))
		if after := s.told[2]; after != nil {
			return text + fmt.Sprintf(", and after that %s: the value was there", s.dated(n, after))
		}
		return text + ": nothing can have been written in between"
	case anomaly.OutOfOrder, anomaly.DequeuedTwice:
		return s.queueText(n)
	case anomaly.HeldTwice, anomaly.TokenWentBack, anomaly.FenceBroken:
		return s.lockText(n)
	}
	var all []string
	for _, o := range s.told[:min(maxTold, len(s.told))] {
		all = append(all, s.dated(n, o))
	}
	text := "no order explains that " + strings.Join(all, ", that ")
	if more := len(s.told) - maxTold; more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	if s.reads {
		text += ": whatever the order, a read was stale"
	}
	return text
}

// nodes names those of the operations told, once each and in their order.
func (s story) nodes() []string {
	var all []string
	for _, o := range s.told {
		if o != nil && o.Node != "" && !slices.Contains(all, o.Node) {
			all = append(all, o.Node)
		}
	}
	return all
}

// span is from the first invocation to the last answer of what is told. Of a stale
// read and a lost commit, the older write is not.
func (s story) span() span {
	told := s.told
	if s.anomaly == anomaly.StaleRead || s.anomaly == anomaly.LostCommit {
		told = told[:2]
	}
	return spanOf(told...)
}

// name is the object's, for people: "k3" or "the register", "queue q", "the set".
func (s story) name(kind history.Kind) string {
	object := "register"
	switch kind {
	case history.Add, history.ReadAll:
		object = "set"
	case history.Enqueue, history.Dequeue:
		object = "queue"
	case history.Acquire, history.Release, history.Use:
		object = "lock"
	}
	switch {
	case s.key == "":
		return "the " + object
	case object != "register":
		return object + " " + s.key
	}
	return keyName(s.key)
}

// keyName is a register's or counter's. A key that is no word is told to be one:
// "key 0".
func keyName(key string) string {
	if first, _ := utf8.DecodeRuneInString(key); unicode.IsLetter(first) {
		return key
	}
	return "key " + key
}

// did says what an operation was and who did it: "p7 read k3 = 41 through n3".
func (s story) did(o *history.Operation) string {
	asked := "" // of unknown outcome
	if o.Outcome == history.Info {
		asked = ", with unknown outcome"
	}
	name := s.name(o.Kind)
	switch {
	case o.Kind == history.Read && o.Output.Len() == 0:
		return fmt.Sprintf("p%d found no %s%s", o.Process, strings.TrimPrefix(name, "the "), through(o))
	case o.Kind == history.Read:
		return fmt.Sprintf("p%d read %s = %d%s", o.Process, name, o.Output.At(0), through(o))
	case o.Kind == history.CompareAndSet && o.Outcome == history.Fail && o.Output.Len() == 0:
		return fmt.Sprintf("a compare-and-set of p%d%s found that %s was not %d", o.Process, through(o), name, o.Input.At(0))
	case o.Kind == history.CompareAndSet && o.Outcome == history.Fail:
		return fmt.Sprintf("a failed compare-and-set of p%d%s saw %s = %d", o.Process, through(o), name, o.Output.At(0))
	case o.Kind == history.ReadAll:
		return fmt.Sprintf("p%d read %s%s%s", o.Process, name, s.contents(o), through(o))
	case o.Kind == history.Write:
		return fmt.Sprintf("p%d wrote %s = %d%s%s", o.Process, name, o.Input.At(0), through(o), asked)
	case o.Kind == history.CompareAndSet:
		return fmt.Sprintf("p%d swapped %s from %d to %d%s%s", o.Process, name, o.Input.At(0), o.Input.At(1), through(o), asked)
	case o.Kind == history.Enqueue:
		return fmt.Sprintf("p%d enqueued %d to %s%s%s", o.Process, o.Input.At(0), name, through(o), asked)
	case o.Kind == history.Dequeue && o.Output.Len() == 0:
		return fmt.Sprintf("p%d found %s empty%s", o.Process, name, through(o))
	case o.Kind == history.Dequeue:
		return fmt.Sprintf("p%d dequeued %d from %s%s", o.Process, o.Output.At(0), name, through(o))
	case o.Kind == history.Acquire:
		return fmt.Sprintf("p%d acquired %s%s%s", o.Process, name, withToken(o.Output), through(o))
	case o.Kind == history.Use:
		return fmt.Sprintf("p%d used what %s protects%s", o.Process, name, withToken(o.Input))
	default:
		return fmt.Sprintf("p%d added %d to %s%s%s", o.Process, o.Input.At(0), name, through(o), asked)
	}
}

// had says the same of an operation that came first: "k3 = 57 had been acknowledged
// to p2 through n1".
func (s story) had(o *history.Operation) string {
	var what string
	switch o.Kind {
	case history.Write:
		what = fmt.Sprintf("%s = %d", s.name(o.Kind), o.Input.At(0))
	case history.CompareAndSet:
		what = fmt.Sprintf("the swap of %s from %d to %d", s.name(o.Kind), o.Input.At(0), o.Input.At(1))
	case history.Add:
		what = fmt.Sprintf("element %d", o.Input.At(0))
	case history.Enqueue:
		what = fmt.Sprintf("the enqueue of %d", o.Input.At(0))
	default:
		return fmt.Sprintf("p%d had read %s%s%s", o.Process, s.name(o.Kind), s.contents(o), through(o))
	}
	return fmt.Sprintf("%s had been acknowledged to p%d%s", what, o.Process, through(o))
}

// dated is did, with the time.
func (s story) dated(n narrator, o *history.Operation) string {
	if o.Outcome == history.Info {
		return s.did(o) + n.at(o.Invoke)
	}
	return s.did(o) + n.when(o, o.Complete)
}

// contents says which of the elements that matter a set has.
func (s story) contents(o *history.Operation) string {
	var with, without []string
	for _, e := range s.elements {
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

// nowhere says why what o observed had not been written: late was invoked too
// late, or else it failed or was never invoked.
func (s story) nowhere(n narrator, o, late *history.Operation) string {
	if late != nil {
		return fmt.Sprintf("%s %s was invoked", n.before(late.Invoke-o.Complete), s.intent(late))
	}
	var observed int64
	switch {
	case o.Kind == history.ReadAll:
		observed = s.elements[0]
	case o.Kind == history.CompareAndSet && o.Outcome != history.Fail:
		observed = o.Input.At(0)
	default:
		observed = o.Output.At(0)
	}
	for i := range n.run.History.Operations {
		w := &n.run.History.Operations[i]
		if w.Key != o.Key || w.Outcome != history.Fail || w.Invoke > o.Complete || w.Input.Len() == 0 || w.Input.At(w.Input.Len()-1) != observed {
			continue
		}
		failed := "had failed"
		if w.Complete > o.Complete {
			failed = "failed"
		}
		return fmt.Sprintf("but %s %s%s%s", s.intent(w), failed, n.at(w.Complete), definite(w))
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
	text := sentence.Clip(sentence.OneLine(o.Error), sentence.QuoteBytes)
	if text == "" {
		return ""
	}
	return fmt.Sprintf(" (%q, which its client called definite)", text)
}

// intent names what an operation was to do: "p2's write of k3 = 57".
func (s story) intent(o *history.Operation) string {
	name := s.name(o.Kind)
	switch o.Kind {
	case history.Write:
		return fmt.Sprintf("p%d's write of %s = %d%s", o.Process, name, o.Input.At(0), through(o))
	case history.CompareAndSet:
		return fmt.Sprintf("p%d's swap of %s from %d to %d%s", o.Process, name, o.Input.At(0), o.Input.At(1), through(o))
	case history.Enqueue:
		return fmt.Sprintf("p%d's enqueue of %d to %s%s", o.Process, o.Input.At(0), name, through(o))
	default:
		return fmt.Sprintf("p%d's add of %d%s", o.Process, o.Input.At(0), through(o))
	}
}

// through names the node that the client was pinned to, as far as that is known;
// which node served it, only the system knows.
func through(o *history.Operation) string {
	if o.Node == "" {
		return ""
	}
	return " through " + o.Node
}

// A narrator tells the times of a run, if it has any.
type narrator struct{ run *history.Run }

// long is how long an operation may take and be told with one time.
const long = time.Second

// at is " at 3.000 s".
func (n narrator) at(t time.Duration) string {
	if n.run.History.Untimed {
		return ""
	}
	return " at " + seconds(t)
}

// since is " since 3.000 s".
func (n narrator) since(t time.Duration) string {
	if n.run.History.Untimed {
		return ""
	}
	return " since " + seconds(t)
}

// until is " until 3.000 s".
func (n narrator) until(t time.Duration) string {
	if n.run.History.Untimed {
		return ""
	}
	return " until " + seconds(t)
}

// when is at, of an operation that was acknowledged; but both its times, if it took
// long or if a node or link went bad or came back meanwhile.
func (n narrator) when(o *history.Operation, t time.Duration) string {
	changes := slices.ContainsFunc(n.run.Events, func(e history.Event) bool {
		return (e.Type == history.Inject || e.Type == history.Heal || e.Type == history.Crash) && o.Invoke < e.Time && e.Time <= o.Complete
	})
	if n.run.History.Untimed || !changes && o.Complete-o.Invoke <= long {
		return n.at(t)
	}
	return fmt.Sprintf(" (invoked at %s, answered at %s)", seconds(o.Invoke), seconds(o.Complete))
}

// after is ", 2.000 s after ", and before is "2.000 s before".
func (n narrator) after(d time.Duration) string {
	if n.run.History.Untimed {
		return " after "
	}
	return ", " + gap(d) + " after "
}

func (n narrator) before(d time.Duration) string {
	if n.run.History.Untimed {
		return "before"
	}
	return gap(d) + " before"
}

// gap is the time between two operations.
func gap(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	}
	return seconds(d)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }
