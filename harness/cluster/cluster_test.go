package cluster

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	logs := t.TempDir()
	file := filepath.Join(logs, "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	program := func(Place) Program { return Program{} }
	named := func(names ...Node) Spec { return Spec{Nodes: names, Program: program, Logs: logs} }
	for name, test := range map[string]struct {
		spec Spec
		want string // nothing: it is as it should be
	}{
		"good":        {Spec{Nodes: Names(MaxNodes), Program: program, Logs: logs, Ports: make([]string, MaxPorts)}, ""},
		"other names": {named("a", "west-1"), ""},
		"no nodes":    {named(), "0 nodes"},
		"many nodes":  {named(Names(65)...), "65 nodes"},
		"twins":       {named("n1", "n1"), "two nodes"},
		"no name":     {named(""), "cannot name"},
		"here":        {named("."), "cannot name"},
		"escape":      {named(".."), "cannot name"},
		"path":        {named("a/b"), "cannot name"},
		"no host":     {named("n_1"), "cannot name"},
		"clients":     {named("n1", Clients), "stands for all clients"},
		"roles":       {Spec{Nodes: Names(2), Roles: map[Node]string{"n1": "router"}, Program: program, Logs: logs}, ""},
		"stray role":  {Spec{Nodes: Names(1), Roles: map[Node]string{"n2": "router"}, Program: program, Logs: logs}, "is no node"},
		"nameless":    {Spec{Nodes: Names(1), Roles: map[Node]string{"n1": "a router"}, Program: program, Logs: logs}, "cannot name the role of n1"},
		"many ports":  {Spec{Nodes: Names(1), Program: program, Logs: logs, Ports: make([]string, MaxPorts+1)}, "9 further ports"},
		"no program":  {Spec{Nodes: Names(1), Logs: logs}, "no program"},
		"no logs":     {Spec{Nodes: Names(1), Program: program, Logs: filepath.Join(logs, "none")}, "no such file"},
		"logs a file": {Spec{Nodes: Names(1), Program: program, Logs: file}, "is a file"},
	} {
		err := test.spec.Validate()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}

func TestConditionValidate(t *testing.T) {
	for want, condition := range map[string]Condition{
		"":                   {Cut: Reset, Delay: MaxDelay, Jitter: MaxDelay, BytesPerSecond: 1, Loss: 1, Reorder: 1, Duplicate: 1, Corrupt: 1},
		`unknown cut "half"`: {Cut: "half"},
		"delay -1ns ± 0s":    {Delay: -1},
		"delay 0s ± 1h0m0.":  {Jitter: MaxDelay + 1},
		"-1 bytes":           {BytesPerSecond: -1},
		"share 1.1":          {Loss: 1.1},
		"share -0.1":         {Reorder: -0.1},
		"share NaN":          {Duplicate: math.NaN()},
		"share 2 of packets": {Corrupt: 2},
	} {
		err := condition.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: error %v, want %q", condition, err, want)
		}
	}
}
