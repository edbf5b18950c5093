// Package cluster says what a cluster is, and which faults its world can
// inject: the contract, and no implementation.
//
// A world runs nodes: as goroutines, operating-system processes or containers.
// The code above this package is written once and never learns which.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Node is named n1, n2, …; its name is its identity and outlives restarts.
type Node = string

// Names returns n1 … n<count>.
func Names(count int) []Node {
	nodes := make([]Node, count)
	for i := range nodes {
		nodes[i] = fmt.Sprintf("n%d", i+1)
	}
	return nodes
}

// A Link is the directed path of packets from one node to another, or from Clients to
// a node, or from a node to Clients.
type Link struct{ From, To Node }

// Clients is who is at one end of the links between clients and nodes, all clients
// together. No node has this name.
const Clients Node = "clients"

func (l Link) String() string { return l.From + ">" + l.To }

// OfClients reports whether Clients are at one end.
func (l Link) OfClients() bool { return l.From == Clients || l.To == Clients }

// Opposite is the way back.
func (l Link) Opposite() Link { return Link{From: l.To, To: l.From} }

// ParseLink is the inverse of Link.String.
func ParseLink(text string) (Link, error) {
	from, to, found := strings.Cut(text, ">")
	if !found || from == "" || to == "" || from == to || strings.Contains(to, ">") {
		return Link{}, fmt.Errorf("%q is not a link (want FROM>TO, such as n1>n2)", text)
	}
	return Link{from, to}, nil
}

// A Cut is how a link is severed.
type Cut string

const (
	Whole  Cut = ""       // not severed
	Silent Cut = "silent" // packets vanish, and nobody is told
	Reset  Cut = "reset"  // connections are reset, and new ones are refused
)

// A Condition is the state of a link. The zero Condition is a healthy link.
type Condition struct {
	Cut Cut `json:"cut,omitempty"`
	// Delay is added to every byte's way, one way.
	Delay time.Duration `json:"delay_ns,omitempty"`
	// Jitter widens Delay to a uniform draw from Delay±Jitter; bytes of one
	// connection stay in order.
	Jitter time.Duration `json:"jitter_ns,omitempty"`
	// Normal draws from a normal distribution instead, with Jitter as its
	// standard deviation, cut off at zero.
	Normal bool `json:"normal,omitempty"`
	// BytesPerSecond bounds the link's throughput; 0 means unbounded.
	BytesPerSecond int `json:"bytes_per_second,omitempty"`
	// Loss, Reorder, Duplicate and Corrupt are the shares of packets, in
	// [0, 1], that vanish, that arrive after later ones, that arrive twice, and
	// of which a bit is flipped.
	Loss      float64 `json:"loss,omitempty"`
	Reorder   float64 `json:"reorder,omitempty"`
	Duplicate float64 `json:"duplicate,omitempty"`
	Corrupt   float64 `json:"corrupt,omitempty"`
	// Repair makes the checksums of corrupt packets right, so that they reach
	// the application; otherwise its kernel drops them.
	Repair bool `json:"repair,omitempty"`
}

// MaxDelay bounds a Condition's Delay and Jitter, so that sums of some thousands are
// still durations.
const MaxDelay = time.Hour

// Validate returns what no link can have, in a line.
func (c Condition) Validate() error {
	if c.Cut != Whole && c.Cut != Silent && c.Cut != Reset {
		return fmt.Errorf("unknown cut %q (want %q or %q)", c.Cut, Silent, Reset)
	}
	if min(c.Delay, c.Jitter) < 0 || max(c.Delay, c.Jitter) > MaxDelay {
		return fmt.Errorf("delay %v ± %v is out of range (want 0 to %v)", c.Delay, c.Jitter, MaxDelay)
	}
	if c.BytesPerSecond < 0 {
		return fmt.Errorf("rate of %d bytes per second is negative (0 means unbounded)", c.BytesPerSecond)
	}
	for _, share := range []float64{c.Loss, c.Reorder, c.Duplicate, c.Corrupt} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("share %v of packets is out of range (want 0 to 1)", share)
		}
	}
	return nil
}

// A Clock is how a node's processes see the time. The zero Clock is right.
type Clock struct {
	// Offset is added to the time, of either sign, up to years.
	Offset time.Duration `json:"offset_ns,omitempty"`
	// Drift is added per second that passes since the clock was set: 0.1 makes
	// the clock run 10 % fast.
	Drift float64 `json:"drift,omitempty"`
	// Strobe, if positive, applies Offset and takes it back in turns, each for
	// so long.
	Strobe time.Duration `json:"strobe_ns,omitempty"`
	// Monotonic skews the monotonic clock as well as the wall clock.
	Monotonic bool `json:"monotonic,omitempty"`
}

// A Fault names an ability that a world has or lacks.
type Fault string

const (
	KillFault   Fault = "kill"
	PauseFault  Fault = "pause"
	SignalFault Fault = "signal" // some of a node's processes are killed or paused, not others
	LossFault   Fault = "loss"   // packets are lost, reordered, duplicated or corrupted
	ClockFault  Fault = "clock"  // a node's clock jumps or drifts
	DiskFault   Fault = "disk"   // writes that were not synced are lost
	CutFault    Fault = "cut"
	DelayFault  Fault = "delay"
	RateFault   Fault = "rate"
	ClientFault Fault = "client" // links between clients and nodes are cut, slow or late
)

// Faults are all that a world is asked about, in the order of reports.
var Faults = []Fault{CutFault, DelayFault, RateFault, LossFault, ClientFault, KillFault, PauseFault, SignalFault, ClockFault, DiskFault}

// A Place is where a node lives, told to its Program.
type Place struct {
	// World is the name of the node's world, such as "docker".
	World string
	Node  Node
	// Listen is the TCP address that the node must serve, to peers and
	// clients alike.
	Listen string
	// Peers maps every node, this one too, to the TCP address at which this
	// node reaches it.
	Peers map[Node]string
	// Ports are this node's further ports, by the names in Spec.Ports.
	Ports map[string]Port
	// Public gives, for every node, this one too, and each of the ports, its
	// Port.Public.
	Public map[Node]map[string]string
	// Roles is Spec.Roles: of every node, this one too.
	Roles map[Node]string
	// Data is the node's own directory. It survives kill and restart, and is
	// removed with the cluster.
	Data string
}

// A Port is a further TCP port of a node, for systems that need more than one,
// or whose nodes tell each other addresses.
type Port struct {
	// Listen is the address that the node must serve.
	Listen string
	// Public is the one address at which every node reaches the port, over
	// links that faults can sever. Nodes may announce it to each other.
	Public string
}

// A Program is how one node is run.
type Program struct {
	// Path is an executable's path, or its name in PATH. Empty means the image's own
	// or, without an image, this very binary, which then must hand its hidden "node"
	// arguments to targets.Main or harness.NodeMain.
	Path string
	// Args are the arguments.
	Args []string
	// Env is added to the harness's own environment, as KEY=value; in a
	// container, to the image's.
	Env []string
	// Container is the container that it runs in, in a world of containers.
	Container Container
	// Files are written before each start, executable, by slash-separated name: a
	// relative one such as "conf/store.conf" in Place.Data, an absolute one in the
	// container. Worlds without containers refuse absolute ones.
	Files map[string][]byte
}

// A Container is what a world of containers needs to know of a program. Other worlds
// ignore it, but for Only.
type Container struct {
	// Image is any image. Program.Path takes the place of its ENTRYPOINT; if Path is
	// empty, Args take the place of its CMD; if they are empty too, the image runs as
	// it is. No image means that of this very binary.
	Image string
	// Equivalent is an image that takes the place of Image where the engine has
	// this one only: see package images of the targets.
	Equivalent string
	// Only says that no program of Path's name but the image's will do, so that a
	// world without containers refuses.
	Only bool
}

// MaxPorts bounds Spec.Ports.
const MaxPorts = 8

// CollectLimit bounds what Collect copies of one node, in bytes.
const CollectLimit = 1 << 30

// A Spec is what a world needs to build a cluster.
type Spec struct {
	Nodes []Node
	// Roles are words for what each node is, such as "router"; nil if all are alike.
	Roles map[Node]string
	// Ports names the ports that each node needs besides its main one; at most
	// MaxPorts.
	Ports []string
	// Program returns how to run the node that lives at a place. It is asked
	// at each start; if what it says is not the same as before, a container is
	// made anew, and keeps its Place.Data alone.
	Program func(Place) Program
	// Faults are those that the trial may inject. A world prepares for these
	// and grants no capability beyond them.
	Faults []Fault
	// Logs is a directory that receives <node>/stdout.log and
	// <node>/stderr.log, appended to over restarts. It must exist.
	Logs string
	// Exited is called at once, in a goroutine of its own, when a node ends by
	// itself: with the node, and how it ended, such as "exit status 2" or "signal:
	// segmentation fault", in a container also "signal: killed, out of memory". All
	// that the node has said is in its logs by then. It is called once an end, also
	// if the node runs again already; not for Kill and Close, and never after Close
	// has returned, which waits for it. Nil if nobody wants to know.
	Exited func(node Node, status string)
	// Progress is told what Build does that takes long, in a line, and again
	// every few seconds; nil if nobody wants to know. Calls do not overlap.
	Progress func(step string)
}

// ProgramAt returns what Program says. That it panics is an error, and so are
// files that no world can write.
func (s Spec) ProgramAt(place Place) (program Program, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("the function Program panicked: %v", problem)
		}
	}()
	program = s.Program(place)
	for name := range program.Files {
		if within := strings.TrimPrefix(name, "/"); !fs.ValidPath(within) || within == "." {
			return Program{}, fmt.Errorf("file %q: want a name such as conf/store.conf, which is in Place.Data, or /etc/store.conf", name)
		}
	}
	return program, nil
}

// MaxNodes bounds a cluster: n nodes are n·(n-1) links.
const MaxNodes = 64

// nodeName is a name that also names a host, a container and a directory.
var nodeName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)

// Validate returns what no world can build, in a line.
func (s Spec) Validate() error {
	if len(s.Nodes) < 1 || len(s.Nodes) > MaxNodes {
		return fmt.Errorf("%d nodes (want 1 to %d)", len(s.Nodes), MaxNodes)
	}
	for i, name := range s.Nodes {
		if !nodeName.MatchString(name) {
			return fmt.Errorf("%q cannot name a node (want a name such as n1)", name)
		}
		if name == Clients {
			return fmt.Errorf("%q cannot name a node (it stands for all clients)", name)
		}
		if slices.Contains(s.Nodes[:i], name) {
			return fmt.Errorf("two nodes are named %q", name)
		}
	}
	for node, role := range s.Roles {
		if !slices.Contains(s.Nodes, node) {
			return fmt.Errorf("%q has a role and is no node", node)
		}
		if !nodeName.MatchString(role) {
			return fmt.Errorf("%q cannot name the role of %s (want a word such as router)", role, node)
		}
	}
	if len(s.Ports) > MaxPorts {
		return fmt.Errorf("%d further ports (want at most %d)", len(s.Ports), MaxPorts)
	}
	if s.Program == nil {
		return errors.New("no program to run")
	}
	info, err := os.Stat(s.Logs)
	if err != nil {
		return fmt.Errorf("the directory for logs: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("the directory for logs: %s is a file", s.Logs)
	}
	return nil
}

// A World builds clusters.
type World interface {
	// Name is the one that --world takes: "process".
	Name() string
	// Supports returns nil, or why this world cannot inject the fault here, in
	// a line that says what would help. It may have to build a cluster to find out,
	// and gives up when ctx ends.
	Supports(context.Context, Fault) error
	// Build lays out a cluster without starting a node. Its Close must be
	// called even after ctx has ended.
	Build(ctx context.Context, spec Spec) (Cluster, error)
}

// A Standing is a World of one cluster that exists before the trial and after it, and
// that may serve others. Its Build starts nothing, and Start finds the nodes running at
// first. Targets' Programs are not asked.
type Standing interface {
	World
	// Size is how many nodes it has.
	Size() int
	// KeyPrefix begins every key that a trial may write.
	KeyPrefix() string
}

// An Injector changes nodes and links: it injects faults and heals them. All methods
// may be called concurrently.
type Injector interface {
	// Start runs the node, which must not be running. It returns when the
	// process exists, not when it serves.
	Start(context.Context, Node) error
	// Kill ends the node at once, as SIGKILL does, and returns when it is
	// gone. Killing one that is not running does nothing; a paused one dies.
	Kill(context.Context, Node) error
	// Pause stops the node's execution until Resume; both do nothing if that
	// is the state already, and fail if the node is not running.
	Pause(context.Context, Node) error
	Resume(context.Context, Node) error
	// SetLinks gives each of the links that condition. It returns when every
	// byte read from now on obeys it. Bytes that a Silent cut holds back are
	// delivered when it is lifted, as a retransmission would. The links of Clients are
	// there if the Spec has ClientFault, and do not lose packets.
	SetLinks(ctx context.Context, links []Link, condition Condition) error
	// SetClock gives the node's processes that clock, also those that it starts
	// later, and after Kill and Start.
	SetClock(context.Context, Node, Clock) error
	// Signal sends SIGKILL, SIGSTOP or SIGCONT to those of the node's processes
	// that have this name, as Linux' /proc/PID/comm tells it, and to no other.
	Signal(ctx context.Context, node Node, process string, signal syscall.Signal) error
}

// A Cluster is a set of nodes and the directed links between them. All methods
// may be called concurrently, except Close.
type Cluster interface {
	Injector
	// Nodes returns the names given in the Spec, in that order.
	Nodes() []Node
	// Role returns the node's role; empty if it has none.
	Role(Node) string
	// Address is the TCP address at which the harness reaches the node, whatever
	// happens to links. It stays the same over restarts.
	Address(Node) string
	// PortAddress is the same of one of the Spec's further ports.
	PortAddress(node Node, port string) string
	// ClientAddress is where clients reach the node's main port, if port is empty, or
	// one of the Spec's further ports. If the Spec has ClientFault, it leads over the
	// links between Clients and the node, and a node that is down resets connections
	// instead of refusing them; else it is Address or PortAddress.
	ClientAddress(node Node, port string) string
	// Linked returns why faults of links do not separate the nodes, as far as that was
	// seen by now: no node has connected to another at the addresses that links lead
	// from, or, a *Bypass, one has at another address. Nil if there is nothing to say.
	Linked() error
	// Collect copies the node's data, what is in Place.Data, into the directory
	// dir, which it makes: regular files, whole, and CollectLimit bytes at most.
	// An error says what is missing of the copy. Pause the node first, or the
	// files may not be of one moment. If there are patterns, only files come whose
	// path within the data matches one of them, as path.Match does: "*.log".
	Collect(ctx context.Context, node Node, dir string, patterns ...string) error
	// Means says how the cluster injects a fault, for reports: "nft", "netem",
	// "nfqueue"; empty if there is nothing to say.
	Means(Fault) string
	// State returns what the world itself observes of a node.
	State(Node) State
	// Close kills every node and removes everything but the logs. It may be
	// called more than once.
	Close() error
}

// A Bypass is a connection of one node to another that crosses no link.
type Bypass struct {
	Link    Link   // that it should have crossed
	Address string // where it leads to
}

func (b *Bypass) Error() string {
	return fmt.Sprintf("%s was connected to %s at %s, past the links; have nodes tell each other Place.Peers or Port.Public only", b.Link.From, b.Link.To, b.Address)
}

// A State is a node's, as its world sees it.
type State string

const (
	Down    State = "down" // never started, or killed
	Running State = "running"
	Paused  State = "paused"
	Exited  State = "exited" // ended by itself, which no fault does
)
