// Package history holds what the clients of one run told about one system,
// and what was done to that system meanwhile.
//
// It needs nothing of the project but the words of package cluster: checkers,
// statistics and reports are pure functions of what this package reads, so a run can be judged again on another
// machine, years later, from its directory alone (see Run).
//
// # Time
//
// Every time is a duration on the harness's one monotonic clock, counted from
// the beginning of the run. An operation's interval is closed and errs on the
// wide side: Invoke is stamped before the client is called, Complete after it
// has returned.
//
// # The form of history.jsonl
//
// JSON, one value a line. The first line is the header, which names the version
// of the form; each other line is an event, and the last one is the end. An
// operation is two events: its invocation, and its completion, which is ok,
// fail or info.
//
//	{"rashomon":"history","version":2}
//	{"time":1200345,"process":3,"type":"invoke","op":"write","key":"x","value":[41],"node":"n1"}
//	{"time":1310871,"process":4,"type":"invoke","op":"read","key":"x","node":"n2"}
//	{"time":1900112,"process":3,"type":"ok","op":"write","key":"x"}
//	{"time":2301460,"process":4,"type":"info","op":"read","key":"x","error":"i/o timeout"}
//	{"time":2500000,"type":"end"}
//
// Every event has time (nanoseconds since the run began, never less than on the
// line before), process (an integer), type and op (a Kind). A field left out is
// an empty one: key, value (any JSON: the input of an invocation, the output of
// a completion), node (invocations only) and error (completions only). A completion repeats the op and key of the invocation
// that it belongs to: the open one of its process. A process has at most one
// open operation, and none after an info. Lines are at most 64 MiB long; blank
// ones are skipped.
//
// Without the end line the file has been cut off, perhaps in the middle of a
// line. Its events are still in causal order (see Recorder); an operation
// without a completion is info.
//
// In version 1, values were arrays of 64-bit integers alone; it is read as well.
// Every file is written in version 2, also if it holds no other values, as the
// header comes before them. A build that knows only version 1 refuses it, and
// names both versions.
//
// The file nemesis.jsonl has no header; each line is an Event.
package history

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A Kind says what an operation does.
type Kind string

// The kinds known to the workloads of this module. A history may hold others;
// a checker that does not know one says so and does not guess.
const (
	Read          Kind = "read"     // Input none; Output the value read, or none: not found
	Write         Kind = "write"    // Input one value
	CompareAndSet Kind = "cas"      // Input [expected, new]; a failed one outputs the value it saw, where the system tells
	Add           Kind = "add"      // Input one element
	ReadAll       Kind = "read-all" // Output every element of a set, or every balance of a bank

	Increment Kind = "increment" // of a counter: Input what to add; its Read outputs the sum
	Enqueue   Kind = "enqueue"   // Input one element
	Dequeue   Kind = "dequeue"   // Output the element, or none: empty
	Acquire   Kind = "acquire"   // Output the fencing token, where the lock has them; a fail means that it is held
	Release   Kind = "release"   // a fail means that it was not held any more
	Use       Kind = "use"       // of what a lock protects: Input the fencing token, if any; a fail outputs the newer token for which it was refused
	Transfer  Kind = "transfer"  // of a bank: Input [from, to, amount]; a fail means that the balance does not suffice
	Generate  Kind = "generate"  // Output an id that nobody else gets
)

// NoVersion stands for the version that a Read of a versioned register did not tell.
const NoVersion = -1

// NoBalance stands where a ReadAll of a bank showed no balance of an account.
const NoBalance = math.MinInt64

// Outcome is what is known of an operation's effect.
type Outcome uint8

const (
	// Info means that nobody knows: it took effect, will do so at any later
	// time, or never does. It is the zero value because silence means info.
	Info Outcome = iota
	// OK means that the system acknowledged it.
	OK
	// Fail means that it certainly did not and will not take effect.
	Fail
)

var outcomeNames = [...]string{Info: "info", OK: "ok", Fail: "fail"}

func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// MarshalText writes the outcome as it stands in history.jsonl.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText accepts exactly what MarshalText writes.
func (o *Outcome) UnmarshalText(text []byte) error {
	for i, name := range outcomeNames {
		if name == string(text) {
			*o = Outcome(i)
			return nil
		}
	}
	return fmt.Errorf("unknown outcome %q (want ok, fail or info)", text)
}

// An Operation is one call of one client, from invocation to completion.
type Operation struct {
	// Process is the logical single-threaded client that called. Its
	// operations do not overlap, and an info is its last one.
	Process int `json:"process"`
	// Node is where the client was pinned; empty if unknown.
	Node string `json:"node,omitempty"`
	Kind Kind   `json:"kind"`
	// Key names the object; histories of different keys are independent.
	Key    string `json:"key,omitempty"`
	Input  Value  `json:"input,omitzero"`
	Output Value  `json:"output,omitzero"`
	// Invoke and Complete are since the run began. For an info, Complete is
	// when the client gave up waiting; the operation itself stays concurrent
	// with everything after Invoke.
	Invoke   time.Duration `json:"invoke_ns"`
	Complete time.Duration `json:"complete_ns"`
	Outcome  Outcome       `json:"outcome"`
	// Error is the client's, for people. A Fail without one is a precondition
	// that did not hold: the system answered, and the answer was no.
	Error string `json:"error,omitempty"`
}

// A History is everything that the clients of one run told.
type History struct {
	// Operations are ordered by Invoke.
	Operations []Operation
	// Packed holds the operations instead, if ReadPacked has packed them; see Each.
	Packed *Packed
	// Torn says, in a sentence, how the file was cut off; empty if it was not.
	// A torn history is still consistent: whatever caused a recorded event is
	// recorded too (see Recorder).
	Torn string
	// Untimed means that the operations have no times but an order: Invoke and
	// Complete say which of two events came first, and nothing else.
	Untimed bool
}

// A Phase is a stretch of a run.
type Phase string

// The phases of a run, in their order.
const (
	Quiet    Phase = "quiet"    // clients, no faults
	Faults   Phase = "faults"   // clients and faults
	Recovery Phase = "recovery" // everything is healed, clients go on
	Final    Phase = "final"    // each client's last reads
	Done     Phase = "done"     // the end of the final phase
)

// An EventType says what a line of nemesis.jsonl reports.
type EventType string

const (
	PhaseBegins EventType = "phase"  // Phase begins at Time
	Inject      EventType = "inject" // the fault is in force since Time
	Heal        EventType = "heal"   // the fault is undone since Time
	Skip        EventType = "skip"   // the fault was planned but not injected: Reason
	Trouble     EventType = "error"  // injecting or healing failed: Reason
	Stop        EventType = "stop"   // the load was stopped early: Reason

	// Crash: the one of Nodes ended by itself at Time, which no fault does but
	// one that hits single processes. Detail is how, such as "exit status 2";
	// Reason the last lines of its log or, if there is a panic among them, the lines
	// from there on.
	Crash EventType = "crash"
	// Logged: a log of the one of Nodes has a line that matches one of the
	// target's patterns. Detail is the file, within the run directory's logs/, where
	// files of the node's data are in <node>/data/; Reason the line. Time is when it was found.
	Logged EventType = "log"
	// Unserved: Took after the faults were healed, Nodes did not run, or had still not
	// answered an operation that was invoked since. Detail, if not empty, says that no
	// update, or no read, was acknowledged through any node; then Nodes may be empty.
	// Reason is empty if all nodes ran then and all links were whole, as had been
	// verified; else it says what was not.
	Unserved EventType = "unserved"
	// Unlinked: faults of links did not separate the nodes, for the Reason: none ever
	// connected to another over a link, or one did past the one of Links.
	Unlinked EventType = "unlinked"
	// Unrecognized: a history from elsewhere says that something was done to the
	// cluster, in words that its reader does not know: Detail. So nobody knows which
	// faults were in force since.
	Unrecognized EventType = "unrecognized"
)

// An Event is a line of nemesis.jsonl: what was done to the cluster, and when.
type Event struct {
	// Time is since the run began, when the action had taken effect.
	Time time.Duration `json:"time_ns"`
	Type EventType     `json:"type"`
	// Phase is set on PhaseBegins only.
	Phase Phase `json:"phase,omitempty"`
	// Fault numbers the faults of a run from 1 and pairs Inject with Heal.
	Fault int `json:"fault,omitempty"`
	// Family is the name of one of Families, or of a user's own; what is known of an
	// injected fault of the latter is Own.
	Family string  `json:"family,omitempty"`
	Own    *Family `json:"own,omitempty"`
	// Shape is how the victims were chosen: "majority-minority", "leader", ….
	Shape string `json:"shape,omitempty"`
	// Nodes are the victims of a kill, a pause or a wrong clock; for faults of
	// links, the nodes on the smaller side, where there is one.
	Nodes []string `json:"nodes,omitempty"`
	// Leader is who led when a fault was injected that aims at the leader, or spares it,
	// or separates rooms; of a Heal, who led at the end of a fault that aimed at the
	// leader, just before it was healed: as far as the system could tell; else empty.
	Leader string `json:"leader,omitempty"`
	// NoLeader means that the fault would have aimed at the leader, or spared it, and
	// the system has none, ever: random nodes were hit.
	NoLeader bool `json:"no_leader,omitempty"`
	// Processes is the name of those of the nodes' processes that a kill or a
	// pause hit; empty means all.
	Processes string `json:"processes,omitempty"`
	// Links are the directed links that the fault cut or made worse, as "n1>n2"; see
	// Directed.
	Links []string `json:"links,omitempty"`
	// Mode is how: a partition's links are cut "silent" or "reset"; a clock
	// goes wrong by "jump", "drift", "strobe" or "mixed".
	Mode string `json:"mode,omitempty"`
	// Condition is what the fault did to its links, besides cutting them; where
	// faults overlap, links had more than this.
	Condition *Condition `json:"condition,omitempty"`
	// Clock is what the fault did to its nodes' clocks.
	Clock *Clock `json:"clock,omitempty"`
	// Detail is Condition or Clock in words, and what the world did it with:
	// "50ms ± 20ms by nfqueue".
	Detail string `json:"detail,omitempty"`
	// Took is how long the action needed, ending at Time.
	Took time.Duration `json:"took_ns,omitempty"`
	// Planned is when the schedule wanted it, since the faults phase began.
	Planned time.Duration `json:"planned_ns,omitempty"`
	Reason  string        `json:"reason,omitempty"`
}

// What a fault did is told in the words of package cluster.
type (
	Link      = cluster.Link
	Condition = cluster.Condition
	Clock     = cluster.Clock
)

// Directed returns Links, as far as each is a link.
func (e Event) Directed() []Link {
	var links []Link
	for _, text := range e.Links {
		if link, err := cluster.ParseLink(text); err == nil {
			links = append(links, link)
		}
	}
	return links
}

// OnlyClients reports whether the fault hit links between clients and nodes alone: such
// a one separates no nodes.
func (e Event) OnlyClients() bool {
	for _, link := range e.Directed() {
		if !link.OfClients() {
			return false
		}
	}
	return len(e.Links) > 0
}

// A LineError is an error in a line of a file.
type LineError struct {
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *LineError) Unwrap() error { return e.Err }

// InFile says in which file an error is: "history.edn:17: …" if it names a line,
// else "history.edn: …".
func InFile(path string, err error) error {
	var inLine *LineError
	if errors.As(err, &inLine) {
		return fmt.Errorf("%s:%d: %w", path, inLine.Line, inLine.Err)
	}
	return fmt.Errorf("%s: %w", path, err)
}
