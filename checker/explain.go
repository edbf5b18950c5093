package checker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A story is a confirmed violation, to be told.
type story struct {
	anomaly Anomaly
	key     string
	// told are the operations that matter, in the roles that contradiction
	// gives them; nil where there is none.
	told    []*history.Operation
	witness []history.Operation
	// elements are those that matter of a set.
	elements []int64
	// reads is a contradiction's: only reads are at odds, so one was stale.
	reads bool
	// text tells the story, and when is the time whose faults matter, where the
	// model has words of its own.
	text string
	when time.Duration
}

// maxTold bounds the operations that a sentence tells of.
const maxTold = 4

func (s story) violation(run *history.Run) Violation {
	anomaly := s.anomaly
	switch {
	case s.reads:
		anomaly = StaleRead
	case anomaly == refused:
		anomaly = Disorder
	}
	return Violation{Anomaly: anomaly, Key: s.key, Witness: s.witness, Elements: s.elements, Sentence: s.sentence(run)}
}

func (c contradiction) story(key string) story {
	s := story{anomaly: c.anomaly, key: key, told: c.told, reads: c.reads}
	for _, o := range c.witness {
		s.witness = append(s.witness, *o)
	}
	return s
}

// sentence tells the story, and what the nemesis was doing then to the nodes of
// whom it tells.
func (s story) sentence(run *history.Run) string {
	if s.text != "" {
		return s.text + faults(run, s.when) + "."
	}
	var text string
	o := s.told[0]
	when, nodes := o.Invoke, s.nodes()
	switch s.anomaly {
	case StaleRead:
		newer := s.told[1]
		text = fmt.Sprintf("%s at %s, %s after %s", s.did(o), seconds(o.Invoke), gap(o.Invoke-newer.Complete), s.had(newer))
	case LostCommit:
		newer := s.told[1]
		when = newer.Complete
		slices.Reverse(nodes)
		text = fmt.Sprintf("%s at %s, yet %s at %s: a commit is lost%s", s.had(newer), seconds(newer.Complete), s.did(o), seconds(o.Invoke), s.outnumbered())
	case PhantomRead:
		text = fmt.Sprintf("%s at %s, %s", s.did(o), seconds(o.Complete), s.nowhere(run, o, s.told[1]))
	case DoubleSwap:
		text = fmt.Sprintf("%s and %s: both replaced the one %d", s.dated(o), s.dated(s.told[1]), o.Input[0])
	case Resurrected:
		text = fmt.Sprintf("%s, after %s", s.dated(o), s.dated(s.told[1]))
		if early := s.told[2]; early != nil {
			text += fmt.Sprintf(", and before that %s", s.dated(early))
		}
		text += ": an overwritten value came back"
	case refused:
		text = fmt.Sprintf("%s, after %s", s.dated(o), s.dated(s.told[1]))
		if after := s.told[2]; after != nil {
			text += fmt.Sprintf(", and after that %s: the value was there", s.dated(after))
		} else {
			text += ": nothing can have been written in between"
		}
	case OutOfOrder, DequeuedTwice:
		text = s.queueText()
	case HeldTwice, TokenWentBack, FenceBroken:
		text = s.lockText()
	default:
		var all []string
		for _, o := range s.told[:min(maxTold, len(s.told))] {
			all = append(all, s.dated(o))
		}
		text = "no order explains that " + strings.Join(all, ", that ")
		if more := len(s.told) - maxTold; more > 0 {
			text += fmt.Sprintf(", and %d more", more)
		}
		if s.reads {
			text += ": whatever the order, a read was stale"
		}
	}
	return text + faults(run, when, nodes...) + "."
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

// name is the key's, for people.
func (s story) name() string {
	if s.key == "" {
		return "the register"
	}
	return s.key
}

// did says what an operation was and who did it: "p7 read k3 = 41 from n3".
func (s story) did(o *history.Operation) string {
	asked := "" // of unknown outcome
	if o.Outcome == history.Info {
		asked = ", with unknown outcome"
	}
	switch {
	case o.Kind == history.Read && len(o.Output) == 0:
		return fmt.Sprintf("p%d found no %s%s", o.Process, s.name(), place(" on ", o))
	case o.Kind == history.Read:
		return fmt.Sprintf("p%d read %s = %d%s", o.Process, s.name(), o.Output[0], place(" from ", o))
	case o.Kind == history.CompareAndSet && o.Outcome == history.Fail && len(o.Output) == 0:
		return fmt.Sprintf("a compare-and-set of p%d found that %s was not %d%s", o.Process, s.name(), o.Input[0], place(" on ", o))
	case o.Kind == history.CompareAndSet && o.Outcome == history.Fail:
		return fmt.Sprintf("a failed compare-and-set of p%d saw %s = %d%s", o.Process, s.name(), o.Output[0], place(" on ", o))
	case o.Kind == history.ReadAll:
		return fmt.Sprintf("p%d read a set%s%s", o.Process, s.contents(o), place(" from ", o))
	case o.Kind == history.Write:
		return fmt.Sprintf("p%d wrote %s = %d%s%s", o.Process, s.name(), o.Input[0], place(" on ", o), asked)
	case o.Kind == history.CompareAndSet:
		return fmt.Sprintf("p%d swapped %s from %d to %d%s%s", o.Process, s.name(), o.Input[0], o.Input[1], place(" on ", o), asked)
	case o.Kind == history.Enqueue:
		return fmt.Sprintf("p%d enqueued %d%s%s", o.Process, o.Input[0], place(" on ", o), asked)
	case o.Kind == history.Dequeue && len(o.Output) == 0:
		return fmt.Sprintf("p%d found %s empty%s", o.Process, s.name(), place(" on ", o))
	case o.Kind == history.Dequeue:
		return fmt.Sprintf("p%d dequeued %d from %s%s", o.Process, o.Output[0], s.name(), place(" on ", o))
	case o.Kind == history.Acquire:
		return fmt.Sprintf("p%d acquired %s%s%s", o.Process, s.name(), withToken(o.Output), place(" on ", o))
	case o.Kind == history.Use:
		return fmt.Sprintf("p%d used what %s protects%s", o.Process, s.name(), withToken(o.Input))
	default:
		return fmt.Sprintf("p%d added %d%s%s", o.Process, o.Input[0], place(" on ", o), asked)
	}
}

// had says the same of an operation that came first: "n1 had acknowledged
// k3 = 57 to p2".
func (s story) had(o *history.Operation) string {
	node := o.Node
	if node == "" {
		node = "the system"
	}
	switch o.Kind {
	case history.Write:
		return fmt.Sprintf("%s had acknowledged %s = %d to p%d", node, s.name(), o.Input[0], o.Process)
	case history.CompareAndSet:
		return fmt.Sprintf("%s had acknowledged the swap of %s from %d to %d to p%d", node, s.name(), o.Input[0], o.Input[1], o.Process)
	case history.Add, history.Enqueue:
		return fmt.Sprintf("%s had acknowledged %d to p%d", node, o.Input[0], o.Process)
	default:
		return fmt.Sprintf("p%d had read a set%s%s", o.Process, s.contents(o), place(" from ", o))
	}
}

// dated is did, with the time.
func (s story) dated(o *history.Operation) string {
	at := o.Complete
	if o.Outcome == history.Info {
		at = o.Invoke
	}
	return s.did(o) + " at " + seconds(at)
}

// contents says which of the elements that matter a set has.
func (s story) contents(o *history.Operation) string {
	var with, without []string
	for _, e := range s.elements {
		if slices.Contains(o.Output, e) {
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
func (s story) nowhere(run *history.Run, o, late *history.Operation) string {
	if late != nil {
		return fmt.Sprintf("%s before %s was invoked", gap(late.Invoke-o.Complete), s.intent(late))
	}
	var observed int64
	switch {
	case o.Kind == history.ReadAll:
		observed = s.elements[0]
	case o.Kind == history.CompareAndSet && o.Outcome != history.Fail:
		observed = o.Input[0]
	default:
		observed = o.Output[0]
	}
	for i := range run.History.Operations {
		w := &run.History.Operations[i]
		if w.Key == o.Key && w.Outcome == history.Fail && len(w.Input) > 0 && w.Input[len(w.Input)-1] == observed {
			return fmt.Sprintf("but %s had failed at %s", s.intent(w), seconds(w.Complete))
		}
	}
	verb := "wrote"
	if o.Kind == history.Dequeue {
		verb = "enqueued"
	}
	return fmt.Sprintf("but nobody ever %s %d", verb, observed)
}

// intent names what an operation was to do: "p2's write of k3 = 57".
func (s story) intent(o *history.Operation) string {
	switch o.Kind {
	case history.Write:
		return fmt.Sprintf("p%d's write of %s = %d%s", o.Process, s.name(), o.Input[0], place(" on ", o))
	case history.CompareAndSet:
		return fmt.Sprintf("p%d's swap of %s from %d to %d%s", o.Process, s.name(), o.Input[0], o.Input[1], place(" on ", o))
	case history.Enqueue:
		return fmt.Sprintf("p%d's enqueue of %d to %s%s", o.Process, o.Input[0], s.name(), place(" on ", o))
	default:
		return fmt.Sprintf("p%d's add of %d%s", o.Process, o.Input[0], place(" on ", o))
	}
}

func place(preposition string, o *history.Operation) string {
	if o.Node == "" {
		return ""
	}
	return preposition + o.Node
}

// gap is the time between two operations.
func gap(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	}
	return seconds(d)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }
