package jepsen

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A model says what Jepsen's functions mean to one workload.
type model struct {
	name string
	// marks are the functions that no other model has, except that :add is
	// both a set's and a counter's.
	marks     []string
	functions map[string]function
}

// A function is what an :f does, and the shapes of what it takes and returns.
type function struct {
	kind          history.Kind
	input, output shape
}

// A shape makes a value of what was read; numbers stand for what is no integer.
type shape func(*numbers, datum) (history.Value, error)

// models are all that are known, by the names of this module's workloads.
var models = []model{
	{"register", []string{"write", "cas", "put", "get", "append"}, map[string]function{
		"read":  {history.Read, nothing, optional},
		"get":   {history.Read, nothing, optional},
		"write": {history.Write, one, nothing},
		"put":   {history.Write, one, nothing},
		"cas":   {history.CompareAndSet, pair, nothing},
	}},
	{"versioned-register", nil, map[string]function{
		"read":  {history.Read, nothing, versioned},
		"write": {history.Write, versionedWrite, version},
		"cas":   {history.CompareAndSet, versionedPair, version},
	}},
	{"lock", []string{"acquire", "release", "use"}, lockFunctions},
	{"reentrant-lock", nil, lockFunctions},
	{"set", []string{"add"}, map[string]function{
		"add":  {history.Add, one, nothing},
		"read": {history.ReadAll, nothing, elements},
	}},
	{"counter", []string{"add"}, map[string]function{
		"add":  {history.Increment, exact, nothing},
		"read": {history.Read, nothing, exact},
	}},
	{"queue", []string{"enqueue", "dequeue", "drain"}, queueFunctions},
	{"total-queue", nil, queueFunctions},
	{"unique-ids", []string{"generate"}, map[string]function{
		"generate": {history.Generate, nothing, one},
	}},
	{"bank", []string{"transfer"}, map[string]function{
		"transfer": {history.Transfer, nothing, nothing}, // see accounts.functions
		"read":     {history.ReadAll, nothing, nothing},
	}},
}

var lockFunctions = map[string]function{
	"acquire": {history.Acquire, nothing, token},
	"release": {history.Release, nothing, nothing},
	"use":     {history.Use, token, nothing},
}

var queueFunctions = map[string]function{
	"enqueue": {history.Enqueue, one, nothing},
	"dequeue": {history.Dequeue, nothing, optional},
}

// Models are the names that Options.Model takes.
func Models() []string {
	names := make([]string, len(models))
	for i, m := range models {
		names[i] = m.name
	}
	return names
}

func modelByName(name string) (model, error) {
	i := slices.IndexFunc(models, func(m model) bool { return m.name == name })
	if i < 0 {
		return model{}, fmt.Errorf("no model %.40q for Jepsen's histories (there are: %s)", name, strings.Join(Models(), ", "))
	}
	return models[i], nil
}

// guess returns the model that calls look like, and why.
func guess(calls []call) (model, string, error) {
	seen := map[string]bool{}
	collections, scalars, balances := false, false, false // were read
	added, again := map[string]bool{}, false              // an element was added again
	for i := range calls {
		c := &calls[i]
		seen[c.f] = true
		if out := c.output.untagged(); c.f == "read" && c.outcome == history.OK && out.kind > null {
			isCollection := slices.Contains([]kind{vector, list, set}, out.kind)
			collections, scalars, balances = collections || isCollection, scalars || !isCollection, balances || out.kind == mapping
		}
		if c.f == "add" && c.outcome != history.Fail {
			element := c.input.String()
			added[element], again = true, again || added[element]
		}
	}
	if looksVersioned(calls) {
		m, err := modelByName("versioned-register")
		return m, "its values are [version value]", err
	}
	functions := slices.Sorted(maps.Keys(seen))
	why := "its operations are :" + clip(strings.Join(functions, ", :"))
	delete(seen, "read")
	var fitting []model
	for _, m := range models {
		marked := slices.ContainsFunc(functions, func(f string) bool { return slices.Contains(m.marks, f) })
		bare := len(seen) == 0 && m.name == readAlone(collections, balances)
		counts := scalars || again && !collections
		wrongReads := m.name == "set" && counts || m.name == "counter" && !counts
		if (marked || bare) && !wrongReads {
			fitting = append(fitting, m)
		}
	}
	switch {
	case len(fitting) != 1:
		return model{}, "", fmt.Errorf("no model is recognized by the operations, which are :%s; name it with --model", clip(strings.Join(functions, ", :")))
	}
	return fitting[0], why, nil
}

// readAlone is the model of which nothing is known but what was read.
func readAlone(collections, balances bool) string {
	switch {
	case collections:
		return "set"
	case balances:
		return "bank"
	}
	return "register"
}

// numbers gives each value that is no integer an integer of its own, which no
// integer of the history is.
type numbers struct {
	next  int64
	known map[string]int64
	names map[int64]string
}

// avoid keeps the integers in d from being given to others.
func (n *numbers) avoid(d datum) {
	if d.kind == integer {
		n.next = max(n.next, d.number)
	}
	for _, item := range d.items {
		n.avoid(item)
	}
}

func (n *numbers) of(d datum) (int64, error) {
	if d.kind == integer {
		return d.number, nil
	}
	name := d.String()
	if number, ok := n.known[name]; ok {
		return number, nil
	}
	if n.next == math.MaxInt64 {
		return 0, fmt.Errorf("%.40s cannot be numbered, because the history uses the greatest integer", name)
	}
	n.next++
	n.known[name], n.names[n.next] = n.next, name
	return n.next, nil
}

func nothing(*numbers, datum) (history.Value, error) { return history.Value{}, nil }

func one(n *numbers, d datum) (history.Value, error) {
	if d.kind <= null {
		return history.Value{}, errors.New("has no :value")
	}
	number, err := n.of(d)
	return history.Ints(number), err
}

// optional is one value, or nil.
func optional(n *numbers, d datum) (history.Value, error) {
	if d.kind <= null {
		return history.Value{}, nil
	}
	return one(n, d)
}

// exact is an integer that counts.
func exact(_ *numbers, d datum) (history.Value, error) {
	if d.kind != integer {
		return history.Value{}, fmt.Errorf("has the :value %.40s; want an integer", d)
	}
	return history.Ints(d.number), nil
}

// token is a fencing token, if the lock has them; whatever else is there tells
// who the client was.
func token(_ *numbers, d datum) (history.Value, error) {
	if d.kind != integer {
		return history.Value{}, nil
	}
	return history.Ints(d.number), nil
}

func isPair(d datum) bool { return (d.kind == vector || d.kind == list) && len(d.items) == 2 }

func pair(n *numbers, d datum) (history.Value, error) {
	if !isPair(d) {
		return history.Value{}, fmt.Errorf("has the :value %.40s; want [expected new]", d)
	}
	return elements(n, d)
}

// elements are those of a collection, none if it is nil.
func elements(n *numbers, d datum) (history.Value, error) {
	if d = d.untagged(); d.kind != vector && d.kind != list && d.kind != set && d.kind > null {
		return history.Value{}, fmt.Errorf("has the :value %.40s; want a collection", d)
	}
	value := make([]int64, 0, len(d.items))
	for _, item := range d.items {
		if item.kind == null {
			return history.Value{}, fmt.Errorf("has the :value %.40s; it cannot hold nil", d)
		}
		number, err := n.of(item)
		if err != nil {
			return history.Value{}, err
		}
		value = append(value, number)
	}
	return history.Ints(value...), nil
}
