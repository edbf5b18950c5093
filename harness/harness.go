// Package harness runs trials: many clients issue operations against one
// cluster while a nemesis injects faults; the history is recorded, and a
// checker asks whether one sequential history explains it.
//
// This file holds the named types that define the system. Read it, and you
// know the whole:
//
//	a Trial puts a Target, in a cluster.World, under a Workload and a Nemesis;
//	a Workload is a Generator, what to do with a Client, and a checker;
//	a Nemesis works on a Stage;
//	a history.Run is what remains, and a checker.Result is what it means.
//
// Run runs a trial, Check is its face in go test.
//
// # Goroutines and time
//
// Every goroutine that Run starts has ended when Run returns, except one that
// sits in a client call that ignores both its context and Close; such calls are
// counted and reported. Only the standard time package is used, so a trial also
// runs inside a testing/synctest bubble.
package harness

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"regexp"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A Trial is one run of one target × workload × nemesis × seed. Its zero
// fields mean the defaults named below.
type Trial struct {
	Target   Target
	Workload Workload
	Nemesis  Nemesis       // default: none
	World    cluster.World // default: whatever the Target brings

	Nodes       int           // default 5, at most MaxNodes
	Concurrency int           // clients, spread evenly over the nodes that serve; default 4 a node
	Rate        float64       // operations per second, of all clients together, of a system that answers at once (see Rate); default 600, negative for as fast as they can
	Quiet       time.Duration // load before the faults; default 2 s
	Duration    time.Duration // of the faults phase; default 20 s
	Operations  int           // if positive, also ends quiet and faults phases after so many
	Recovery    time.Duration // load after the faults are healed; default 3 s
	Timeout     time.Duration // of one client call; default 250 ms
	Seed        uint64        // default: drawn at random, and printed
	// FailFast stops the load at the first violation and keeps copies of the
	// nodes' data in Dir; recovery and final reads follow. The Workload must be
	// a Streamer.
	FailFast bool
	Options  checker.Options

	// Dir is the run directory; default runs/<target>-<workload>-<time>.
	Dir string
	// Progress receives a line now and then; nil means silence.
	Progress io.Writer
	// Command is how to repeat the run, for its reports.
	Command string
	// Report, if not nil, is called with the run directory once result.json is
	// written, such as reports.Write.
	Report func(dir string) error

	layout    layout    // of the Nodes
	keyPrefix string    // of what clients are asked for; empty in a cluster of the trial's own
	deadline  time.Time // by which it must have ended; zero means never
}

// The bounds of a trial.
const (
	MaxNodes       = cluster.MaxNodes
	MaxConcurrency = 10_000
)

// A Target is a system under test.
type Target struct {
	// Name is the system's, such as "raft"; Options its settings, such as
	// "reads=local".
	Name, Options string
	Claim         history.Claim
	// World is where the target runs unless the Trial says otherwise.
	World cluster.World
	// Ports names the ports that a node needs besides its main one.
	Ports []string
	// Roles are those of the nodes, in the order in which nodes are numbered and
	// started; none if all nodes are alike, and all are started at once.
	Roles []Role
	// Program returns how one node is run.
	Program func(cluster.Place) cluster.Program
	// Ready returns nil once the fresh cluster serves. It is called again
	// until then, with a context of some hundred milliseconds, for a minute at
	// most.
	Ready func(context.Context, cluster.Cluster) error
	// Prepare, if not nil, is called once, after Ready and before any operation: to
	// create the bucket, the table, the accounts, which Ready would do again and again.
	// Its context is what is left of Ready's minute. After its error there is no trial.
	Prepare func(context.Context, cluster.Cluster) error
	// Open returns a client that is pinned to one node. It is called again
	// after each operation of unknown outcome, also while the node is down, and
	// before any node runs, and need not connect before the first call. Its error
	// is a definite one of the operation that needed the client. After a definite
	// error of an operation the client is kept: one whose connection is gone should
	// reconnect, or not call that definite. Without an error there must be a client.
	// Faults of links between clients and nodes hit what goes to the addresses that
	// this Cluster gives; those that Ready, Prepare and Leader are given lead past them.
	Open func(context.Context, cluster.Cluster, cluster.Node) (Client, error)
	// Leader returns the node that leads now, asking the nodes themselves, within
	// half a second; nil if the system has no leader. Faults at the leader then hit
	// a random node, and say so.
	Leader func(context.Context, cluster.Cluster) (cluster.Node, error)
	// LogPatterns are of lines that no log may have, besides those of a Go
	// program that panics, races or faults, which are always looked for: the
	// system's own words for corruption. A match is a violation, "log pattern".
	LogPatterns []*regexp.Regexp
	// LogFiles are further logs, as patterns of path.Match within Place.Data, such as
	// "log/*.txt"; what a node writes to stdout and stderr is always read.
	LogFiles []string
}

// String is the target's name and options: "raft reads=local".
func (t Target) String() string {
	if t.Options == "" {
		return t.Name
	}
	return t.Name + " " + t.Options
}

// A Client is used by one process at a time. It implements the interfaces of
// the workloads that it supports, such as workloads.RegisterClient. Close may be
// called while a call hangs, and should make it return.
type Client interface {
	Close() error
}

// ErrPrecondition is the error of an operation whose precondition did not hold:
// the system answered, and the answer was no. It is definite.
var ErrPrecondition = Definite(errors.New("the precondition did not hold"))

// Definite marks an error of a client call as certain: the system did not do
// it and will not do it later. Any other error means that nobody knows.
//
// Certain are a connection refused before a byte was sent, a precondition that
// did not hold, and a rejection that the protocol defines as not applied. Not
// certain are time-outs, resets, unexpected ends and "leadership lost".
//
// A precondition that did not hold is an observation, too: a client that answers a
// compare-and-set with false says that another value was there, and the checker holds
// it to that. A client that does not know returns an error instead.
func Definite(err error) error {
	if err == nil {
		return nil
	}
	return &definite{err}
}

type definite struct{ error }

func (d *definite) Unwrap() error { return d.error }

// IsDefinite reports whether Definite marked err, or an error that it wraps.
func IsDefinite(err error) bool {
	var d *definite
	return errors.As(err, &d)
}

// A Workload is what clients do, and what must then hold.
type Workload interface {
	// Name is the one that --workload takes, and the key to Check when a run
	// directory is judged again.
	Name() string
	// Generators returns the operations of each of a trial's workers. It is a Plan.
	Generators([]Worker) []Generator
	// Final returns one worker's last operations, after recovery. If its node is
	// down, or answers nothing for some seconds, the worker goes on with them through
	// another one.
	Final(Worker) Generator
	// Bind returns how operations are carried out on client, or an error that
	// names the interface it lacks.
	Bind(Client) (Invoke, error)
	// Check judges a run. It is a pure function of its arguments.
	Check(context.Context, *history.Run, checker.Options) checker.Result
}

// OwnKinds is implemented by a Workload whose operations are of kinds of its own, so
// that figures, and what a trial adds to a history, tell reads from updates. It
// returns the same each time.
type OwnKinds interface{ Kinds() history.Kinds }

// Invoke carries out one operation and returns its output. A nil error means
// ok, a Definite one fail, any other info. With ErrPrecondition, the output is what
// was there instead, or nothing where the system does not tell.
type Invoke func(context.Context, history.Operation) (history.Value, error)

// A Worker is the seat of one process after another. Workers have streams of
// operations of their own, each decided by the seed alone.
type Worker struct {
	Index, Of int          // 0 ≤ Index < Of
	Node      cluster.Node // where its clients are pinned
	Rand      *rand.Rand
}

// A Generator is the rest of one worker's operations. It is used by one
// goroutine at a time. The small ones of this package compose; a Plan has workers
// wait for each other.
type Generator interface {
	// Next returns the next operation, of which it sets Kind, Key and Input.
	// False means that there are no more.
	Next(*Turn) (history.Operation, bool)
}

// A Turn is what a generator may know and say when it is asked for the next
// operation.
type Turn struct {
	// Now is since the quiet phase began.
	Now time.Duration
	// Previous is the worker's last completed operation, or nil.
	Previous *history.Operation
	// At is when to invoke the operation, on the clock of Now; the past means
	// at once.
	At time.Duration

	round *round // nil in a Turn that no trial has made
}

// A Nemesis plays faults on a Stage.
type Nemesis interface {
	// Name is the one that --nemesis takes.
	Name() string
	// Needs returns the faults that Play may inject, so that the world can
	// prepare for them.
	Needs() []cluster.Fault
	// Possible returns nil if one of its faults can be injected in this world,
	// into these nodes, or if it has none; else why not the first one.
	Possible(context.Context, cluster.World, []cluster.Node) error
	// Play injects faults until ctx ends or its schedule does. It returns with
	// everything healed, also if ctx has ended or a fault failed; what could
	// not be healed is its error.
	Play(context.Context, Stage) error
}

// A Stage is what a Nemesis works on.
type Stage struct {
	Cluster  cluster.Cluster
	World    cluster.World
	Duration time.Duration // of the faults phase
	Rand     *rand.Rand
	// Leader returns the node that leads now; nil if the system has no leader,
	// ever. An error is a reason to skip a fault that needs one.
	Leader func(context.Context) (cluster.Node, error)
	// Record stamps the event with the run's clock and writes it down. It may
	// be called concurrently.
	Record func(history.Event)
}
