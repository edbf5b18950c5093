// Package rashomon gives a system of your own the whole command line: run, compare,
// check, export and the rest. This is all of its main.go:
//
//	package main
//
//	import (
//		"github.com/rashomon-io/rashomon"
//		"github.com/rashomon-io/rashomon/harness"
//
//		"example.com/mystore/trials"
//	)
//
//	func main() {
//		rashomon.Command{
//			Targets: []harness.System{{Name: "mystore", About: "my own store", Target: trials.Target}},
//		}.Main()
//	}
//
// where trials.Target returns the harness.Target, which says how a node is run and how
// a client is opened. Then
//
//	go run . run mystore --nemesis kill:leader,partition
//	go run . check runs/latest
//
// docs/your-own-system.md tells what a target needs, and how to try it in go test,
// which needs no command.
package rashomon

import "github.com/rashomon-io/rashomon/cmd/command"

// A Command is a command line for the systems, workloads and faults that it names. Its
// fields are told in package command; each may be left out.
type Command = command.Command
