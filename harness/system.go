package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A System is a target as a command line names it, before its options are chosen.
type System struct {
	Name string
	// About is one line, for lists.
	About string
	// Options are examples of what may follow the name and a colon, such as
	// "reads=local". If there are none, the system has no options.
	Options []string
	// Needs is what the command does not bring along; empty if nothing.
	Needs string
	// ComparedIn names the worlds in which a comparison of no systems in
	// particular tries this one.
	ComparedIn []string
	// Target returns the target, given what followed the colon: empty, or as the
	// system reads it. Its error says what is wrong with that.
	Target func(options string) (Target, error)
	// Node runs a node until it ends, if nodes are the command's own binary; else
	// nil. Its arguments are those in cluster.Program that follow "node" and Name.
	Node func(args []string) error
}

// ParseTarget returns the target that NAME or NAME:OPTIONS means among the systems.
func ParseTarget(systems []System, text string) (Target, error) {
	name, options, _ := strings.Cut(text, ":")
	system, err := systemByName(systems, name)
	if err != nil {
		return Target{}, err
	}
	if options != "" && len(system.Options) == 0 {
		return Target{}, fmt.Errorf("target %s has no options, and %q is one", name, options)
	}
	target, err := system.Target(options)
	if err != nil {
		return Target{}, fmt.Errorf("target %s: %w", name, err)
	}
	return target, nil
}

func systemByName(systems []System, name string) (System, error) {
	var names []string
	for _, system := range systems {
		if system.Name == name {
			return system, nil
		}
		names = append(names, system.Name)
	}
	return System{}, fmt.Errorf("no target %q (there are: %s)", name, strings.Join(names, ", "))
}

// NodeMain runs a node of one of the systems, and exits, if the command line asks
// for that: "node", a system's name, and its Node's arguments. Call it first thing in
// main, and in TestMain, if worlds start nodes from this very binary.
func NodeMain(systems []System) {
	if len(os.Args) < 3 || os.Args[1] != "node" {
		return
	}
	system, err := systemByName(systems, os.Args[2])
	switch {
	case err != nil: // in a container, this may be another binary than the trial's
		err = fmt.Errorf("%w; if it is a target of your own, build its command with CGO_ENABLED=0", err)
	case system.Node == nil:
		err = errors.New("its nodes are not of this program")
	default:
		err = system.Node(os.Args[3:])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "node %s: %v\n", os.Args[2], err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Serves returns what the target's clients lack that the workload needs; nil if
// nothing. There is no cluster yet: whether a client can be opened all the same is
// known, or else a trial will tell.
func Serves(ctx context.Context, target Target, workload Workload) (lack error, known bool) {
	trial := Trial{Target: target, Workload: workload, Timeout: defaultTimeout, Progress: io.Discard, layout: layout{serving: cluster.Names(1)}}
	r := run{Trial: &trial, cluster: nowhere{}, fail: func(error) {}}
	lack, err := r.binds(ctx)
	return lack, err == nil
}

// nowhere is a cluster of one node that is not there, good for its addresses only.
type nowhere struct{ cluster.Cluster }

func (nowhere) Nodes() []cluster.Node                     { return cluster.Names(1) }
func (nowhere) ClientAddress(cluster.Node, string) string { return "127.0.0.1:1" }
