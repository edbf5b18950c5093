package corpus

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/anishathalye/porcupine"
)

// Porcupine returns Porcupine's own test data: 102 logs of Jepsen on etcd, and logs of
// the store that students test, once by key and, of few clients, once as a whole. They
// are read from the module, which go.sum pins, so that they need not be copied.
func Porcupine() ([]History, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/anishathalye/porcupine").Output()
	if err != nil {
		return nil, fmt.Errorf("where the module porcupine lies, go list does not say: %w", err)
	}
	data := filepath.Join(strings.TrimSpace(string(out)), "test_data")
	paths, err := filepath.Glob(filepath.Join(data, "*", "*"))
	if err != nil || len(paths) < 100 {
		return nil, fmt.Errorf("%s has %d logs, want more than 100 (%v); download it with go mod download", data, len(paths), err)
	}
	var all []History
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		h := History{Name: name, Model: etcd, ReadOnly: named("read"), Legal: strings.HasSuffix(name, "-ok")}
		if strings.HasPrefix(name, "etcd") {
			h.Operations = paired(string(text), etcdLine)
			all = append(all, h)
			continue
		}
		h.Model, h.ReadOnly = logged, named("get")
		h.Operations = paired(string(text), keysLine)
		all = append(all, h)
		if !strings.HasPrefix(name, "c50") {
			h.Name += "-whole"
			h.Model = whole
			all = append(all, h)
		}
	}
	return all, nil
}

var (
	etcdLine = regexp.MustCompile(`^INFO\s+jepsen\.util\s+-\s+(?P<process>\d+)\s+:(?P<type>\w+)\s+:(?P<name>\w+)\s+(?P<value>.*)$`)
	keysLine = regexp.MustCompile(`{:process (?P<process>\d+), :type :(?P<type>\w+), :f :(?P<name>\w+), :key "(?P<key>.*)", :value "?(?P<value>.*?)"?}`)
)

// A line is the output of an operation: how it ended, and with what.
type line struct{ end, value string }

// paired makes operations of a log, whose lines are their times.
func paired(text string, form *regexp.Regexp) []porcupine.Operation {
	var operations []porcupine.Operation
	open := map[string]int{}
	at := int64(0)
	for l := range strings.Lines(text) {
		field := form.FindStringSubmatch(strings.TrimRight(l, "\n"))
		if field == nil {
			continue
		}
		get := func(name string) string {
			if i := form.SubexpIndex(name); i >= 0 {
				return field[i]
			}
			return ""
		}
		process := get("process")
		i, returns := open[process]
		switch {
		case get("type") == "invoke":
			open[process] = len(operations)
			operations = append(operations, porcupine.Operation{
				Input: Call{Name: get("name"), Key: get("key"), Text: get("value")}, Output: line{end: unknown}, Call: at,
			})
		case returns && get("type") != "info":
			operations[i].Output, operations[i].Return = line{get("type"), get("value")}, at
			delete(open, process)
		}
		at++
	}
	for _, i := range open { // nobody knows
		operations[i].Return = at
	}
	return operations
}

// etcd is the register of the logs of Jepsen: read, write and cas.
var etcd = porcupine.Model{
	Init: func() any { return "nil" },
	Step: func(state, input, output any) (bool, any) {
		c, o := input.(Call), output.(line)
		nobodyKnows := o.end == unknown || o.value == ":timed-out"
		switch c.Name {
		case "read":
			return nobodyKnows || o.value == state, state
		case "write":
			return true, c.Text
		}
		from, to, _ := strings.Cut(strings.Trim(c.Text, "[]"), " ")
		if from == state {
			return nobodyKnows || o.end == "ok", to
		}
		return nobodyKnows || o.end == "fail", state
	},
}

// logged is the store of one key, as logs tell of it; keys are partitions.
var logged = porcupine.Model{
	Partition: partitionByKey,
	Init:      func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		held, c := state.(string), input.(Call)
		switch c.Name {
		case "put":
			return true, c.Text
		case "append":
			return true, held + c.Text
		}
		return output.(line).value == held, held
	},
	Hash: func(state any) uint64 { return hashText(state.(string)) },
}

// whole is the store of all keys together.
var whole = porcupine.Model{
	Init: func() any { return map[string]string{} },
	Step: func(state, input, output any) (bool, any) {
		held, c := state.(map[string]string), input.(Call)
		if c.Name == "get" {
			return output.(line).value == held[c.Key], held
		}
		after := map[string]string{c.Key: c.Text}
		if c.Name == "append" {
			after[c.Key] = held[c.Key] + c.Text
		}
		for key, value := range held {
			if key != c.Key {
				after[key] = value
			}
		}
		return true, after
	},
	Equal: func(a, b any) bool {
		one, other := a.(map[string]string), b.(map[string]string)
		for key, value := range one {
			if other[key] != value {
				return false
			}
		}
		return len(one) == len(other)
	},
	Hash: func(state any) uint64 {
		var sum uint64
		for key, value := range state.(map[string]string) {
			sum ^= hashText(key + "=" + value)
		}
		return sum
	},
}
