package statistics

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/harness/history"
)

func erring(kind history.Kind, node string, outcome history.Outcome, text string) history.Operation {
	return history.Operation{Kind: kind, Node: node, Outcome: outcome, Error: text}
}

func TestErrorsThatAreAlikeAreOneClass(t *testing.T) {
	run := &history.Run{History: history.History{Operations: []history.Operation{
		erring(history.Read, "n1", history.Fail, "open a client of n1: dial tcp 127.0.0.1:4001: connect: connection refused"),
		erring(history.Write, "n2", history.Info, `write "k17": deadline exceeded after 250ms (request 0x1f)`),
		erring(history.Write, "alpha", history.Info, `write "k 3": deadline exceeded after 1.5s (request 0xa)`),
		erring(history.Read, "n2", history.Fail, "open a client of n2: dial tcp [::1]:80: connect: connection refused"),
		erring(history.Write, "n3", history.Fail, `write "k3": deadline exceeded after 2s (request 0xb)`),
		erring(history.Write, "n3", history.Info, "abandoned: the client did not return within 350ms"),
		erring(history.Write, "n3", history.Info, `write 'it': deadline exceeded after 99s (request deadbeef-cafe)`),
		erring(history.CompareAndSet, "n1", history.Fail, ""), // the answer was no
		erring(history.Read, "n1", history.OK, ""),
	}}}
	want := []ErrorClass{
		{Kind: history.Write, Outcome: history.Info, Count: 3, Node: "n2", Example: `write "k17": deadline exceeded after 250ms (request 0x1f)`},
		{Kind: history.Read, Outcome: history.Fail, Count: 2, Node: "n1", Example: "open a client of n1: dial tcp 127.0.0.1:4001: connect: connection refused"},
		{Kind: history.Write, Outcome: history.Fail, Count: 1, Node: "n3", Example: `write "k3": deadline exceeded after 2s (request 0xb)`},
		{Kind: history.Write, Outcome: history.Info, Count: 1, Node: "n3", Example: "abandoned: the client did not return within 350ms"},
	}
	if diff := cmp.Diff(want, Measure(run).Errors); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What differs between errors that are alike is left out, and nothing else.
func TestWordsOfAnError(t *testing.T) {
	for _, test := range []struct{ text, node, want string }{
		{"n1: the client's call can't return", "n1", "#: the client's call can't return"},
		{"alpha: no leader", "alpha", "#: no leader"},
		{"alpha: no leader", "beta", "alpha: no leader"},
		{`key "a b" is 'gone' (code=14)`, "", "key # is # (code=#)"},
		{`an "unclosed quote`, "", `an "unclosed quote`},
		{"lease deadbeefcafe ended", "", "lease # ended"},
		{"a facade", "", "a facade"},
		{"", "n1", ""},
	} {
		if got := wordsOf(test.text, test.node); got != test.want {
			t.Errorf("%q became %q, want %q", test.text, got, test.want)
		}
	}
}

// A million errors that all differ are one class, and hide none that is frequent.
func TestErrorsAreBounded(t *testing.T) {
	word := func(i int) string { // without digits
		return strings.Map(func(r rune) rune { return 'g' + r - '0' }, fmt.Sprint(i))
	}
	var operations []*history.Operation
	for i := range 20_000 {
		o := erring(history.Write, "n1", history.Info, word(i)+strings.Repeat("é", 1000))
		frequent := erring(history.Read, "n2", history.Fail, "no leader")
		operations = append(operations, &o, &frequent)
	}
	classes := classesOf(operations)
	if len(classes) != MaxErrors {
		t.Fatalf("%d classes, want %d", len(classes), MaxErrors)
	}
	if first := classes[0]; first.Count != 20_000 || first.Example != "no leader" {
		t.Errorf("the first is %+v", first)
	}
	sum := 0
	for _, class := range classes {
		sum += class.Count
		if len(class.Example) > 300 || !utf8.ValidString(class.Example) {
			t.Errorf("%d bytes, %q", len(class.Example), class.Example)
		}
	}
	last := classes[MaxErrors-1]
	if sum != len(operations) || last.Kind != "" || last.Count < 19_000 {
		t.Errorf("%d errors counted of %d; the last class is %+v", sum, len(operations), last)
	}
}

func TestTenClassesNeedNoOthers(t *testing.T) {
	for n, want := range map[int]string{MaxErrors: "k", MaxErrors + 1: ""} {
		var operations []*history.Operation
		for i := range n {
			o := erring("k", "n1", history.Info, strings.Repeat("x", i+1))
			operations = append(operations, &o)
		}
		classes := classesOf(operations)
		if len(classes) != MaxErrors || string(classes[MaxErrors-1].Kind) != want {
			t.Errorf("of %d: %+v", n, classes)
		}
	}
}

func TestWordsEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { wordsOf(string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")), "") })
}

func TestTroubles(t *testing.T) {
	trouble := history.Event{Time: 3210 * time.Millisecond, Type: history.Trouble, Family: "kill", Shape: "leader", Nodes: []string{"n1"}, Reason: "the engine is gone"}
	events := []history.Event{{Type: history.Inject, Reason: "not this"}, trouble, {Type: history.Trouble}}
	want := []string{"at 3.210 s: kill leader n1: the engine is gone", "at 0.000 s: no reason was given"}
	if diff := cmp.Diff(want, Measure(&history.Run{Events: events}).Troubles); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	trouble.Reason = strings.Repeat("\xff", 10_000)
	all := troubles(slices.Repeat([]history.Event{trouble}, 27))
	if len(all) != 21 || all[20] != "and 7 more" || len(all[0]) > 400 {
		t.Errorf("%d: %q", len(all), all)
	}
}

func classesOf(operations []*history.Operation) []ErrorClass {
	classes := errorClasses{}
	for _, o := range operations {
		classes.add(o)
	}
	return classes.foremost()
}
