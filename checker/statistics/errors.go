package statistics

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/harness/history"
)

const (
	maxTroubles  = 20   // in Statistics.Troubles
	knownClasses = 1000 // told apart; an error that makes one more is among the others
)

// An ErrorClass are errors of clients that are alike: of one kind of operation and
// outcome, and the same words but for numbers, addresses and names.
type ErrorClass struct {
	Kind    history.Kind    `json:"kind"`
	Outcome history.Outcome `json:"outcome"`
	Count   int             `json:"count"`
	// Example is the first of them, in full up to 300 bytes, and Node the one whose
	// client had it.
	Example string `json:"example"`
	Node    string `json:"node,omitempty"`
}

// MaxErrors bounds Statistics.Errors.
const MaxErrors = 10

// errorClasses are as Statistics.Errors defines them.
type errorClasses map[alike]*errorClass

type alike struct {
	kind    history.Kind
	outcome history.Outcome
	words   string
}

type errorClass struct {
	ErrorClass
	invoked time.Duration // the first of them
	process int           // its
	place   int           // in the order in which classes were told
}

// add counts the error of an operation, if it has one; operations may be told in any
// order.
func (e errorClasses) add(o *history.Operation) {
	if o.Outcome == history.OK || o.Error == "" {
		return
	}
	text := sentence.Clip(o.Error, sentence.QuoteBytes)
	key := alike{o.Kind, o.Outcome, wordsOf(text, o.Node)}
	class := e[key]
	if class == nil {
		class = &errorClass{place: len(e)}
		e[key] = class
	}
	if class.Count == 0 || cmp.Or(cmp.Compare(o.Invoke, class.invoked), cmp.Compare(o.Process, class.process)) < 0 {
		class.ErrorClass = ErrorClass{Kind: o.Kind, Outcome: o.Outcome, Count: class.Count, Example: text, Node: o.Node}
		class.invoked, class.process = o.Invoke, o.Process
	}
	class.Count++
}

// foremost are the most frequent classes, of those that were the first to appear.
func (e errorClasses) foremost() []ErrorClass {
	all := slices.SortedFunc(maps.Values(e), func(a, b *errorClass) int {
		return cmp.Or(cmp.Compare(a.invoked, b.invoked), cmp.Compare(a.process, b.process), cmp.Compare(a.place, b.place))
	})
	var classes []ErrorClass
	var others ErrorClass
	for i, class := range all {
		if i < knownClasses {
			classes = append(classes, class.ErrorClass)
		} else {
			others.add(class.ErrorClass)
		}
	}
	slices.SortStableFunc(classes, func(a, b ErrorClass) int { return cmp.Compare(b.Count, a.Count) })
	if len(classes) <= MaxErrors && others.Count == 0 {
		return classes
	}
	shown := min(len(classes), MaxErrors-1)
	rest := ErrorClass{}
	for _, class := range classes[shown:] {
		rest.add(class)
	}
	rest.add(others)
	return append(classes[:shown], rest)
}

// add counts another class among the others, of which the first is the example.
func (e *ErrorClass) add(other ErrorClass) {
	if e.Count == 0 {
		e.Example, e.Node = other.Example, other.Node
	}
	e.Count += other.Count
}

// wordsOf is an error without what differs between errors that are alike: what is
// quoted, and words that have a digit, are hexadecimal, or are the node's name.
func wordsOf(text, node string) string {
	const delimiters = " \t\r\n(){}<>,;=\"`"
	var b strings.Builder
	for text != "" {
		if end := quoted(text); end > 0 {
			b.WriteByte('#')
			text = text[end:]
			continue
		}
		end := strings.IndexAny(text, delimiters)
		if end < 0 {
			end = len(text)
		}
		word := strings.TrimRight(text[:end], ".:!?'")
		if strings.ContainsAny(word, "0123456789") || isHex(word) || word != "" && word == node {
			b.WriteByte('#')
			b.WriteString(text[len(word):end])
		} else {
			b.WriteString(text[:end])
		}
		if end < len(text) && quoted(text[end:]) == 0 {
			b.WriteByte(text[end])
			end++
		}
		text = text[end:]
	}
	return b.String()
}

// quoted returns the length of the quotation with which the text begins; 0 if
// there is none.
func quoted(text string) int {
	if !strings.ContainsRune("\"`'", rune(text[0])) {
		return 0
	}
	end := strings.IndexByte(text[1:], text[0])
	if end < 0 {
		return 0
	}
	return end + 2
}

// isHex: long enough not to be a word of English.
func isHex(word string) bool {
	return len(word) >= 8 && strings.Trim(word, "0123456789abcdefABCDEF-") == ""
}

// troubles are as Statistics.Troubles defines them, at most maxTroubles and one
// that counts the rest.
func troubles(events []history.Event) (all []string) {
	more := 0
	for _, e := range events {
		if e.Type != history.Trouble {
			continue
		}
		if len(all) == maxTroubles {
			more++
			continue
		}
		words := append([]string{"at", sentence.Seconds(e.Time) + ":", e.Family, e.Shape}, e.Nodes...)
		words = slices.DeleteFunc(words, func(word string) bool { return word == "" })
		what, why := strings.TrimSuffix(strings.Join(words, " "), ":"), cmp.Or(e.Reason, "no reason was given")
		all = append(all, sentence.Clip(what, sentence.QuoteBytes)+": "+sentence.Clip(why, sentence.QuoteBytes))
	}
	if more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return all
}

// Became is the outcome in the words of Statistics: "failed" or "unknown".
func (e ErrorClass) Became() string {
	if e.Outcome == history.Fail {
		return "failed"
	}
	return "unknown"
}

// String is the class in one line of its own words: "3 × write, unknown: i/o timeout
// (through n2)".
func (e ErrorClass) String() string {
	what := string(e.Kind) + ", " + e.Became()
	if e.Kind == "" {
		what = "others, such as"
	}
	text := fmt.Sprintf("%d × %s: %s", e.Count, what, strings.Join(strings.Fields(e.Example), " "))
	if e.Node != "" {
		text += " (through " + e.Node + ")"
	}
	return text
}
