// Package etcd is the target etcd: the key-value store on Raft that keeps
// Kubernetes' state, with its official client.
//
// # A node
//
// Each node is one member of a static cluster, with its data on disk. Peers and
// clients use a port each.
//
// # A client
//
// A client is pinned to its node's member and asks no other. Members forward
// writes to the leader themselves, so it takes no detour around a partition.
//
// # Reads
//
// A linearizable read confirms with a majority that the leader still leads, and
// waits until the member has applied what was committed then. A serializable one
// is the member's own state, however old: etcd's documentation promises no more
// ("KV API guarantees", https://etcd.io/docs/v3.5/learning/api_guarantees/).
//
// # Locks
//
// A lock of package concurrency is a key that a lease keeps alive. When its
// holder is cut off or too slow, the lease ends and somebody else gets the lock,
// while the holder still thinks that it has it. No lease can prevent that; a
// fencing token can, if what the lock protects refuses old ones. The token is the
// revision at which the holder put the lock's key, which grows from hold to
// hold ("Usage of lock and lease", https://etcd.io/docs/v3.5/learning/why/).
package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/targets/images"
	"github.com/rashomon-io/rashomon/targets/options"
)

const (
	image = "quay.io/coreos/etcd:v3.5.21"
	// peerPort is where members hear each other. They tell each other its
	// address, so it is public. Clients use the main one.
	peerPort = "peer"
	// statusBudget is for one member's answer about itself.
	statusBudget = 300 * time.Millisecond
)

// Options are what a user can choose. The zero Options are linearizable, with
// fencing tokens.
type Options struct {
	// SerializableReads lets each member answer reads from its own state.
	SerializableReads bool
	// NoFencing hides the locks' fencing tokens.
	NoFencing bool
	// DefaultTimes are etcd's own: a heartbeat each 100 ms, an election after 1 s
	// without. Otherwise they are half of that.
	DefaultTimes bool
	// Lease is after what time without its holder a lock is free, in whole
	// seconds; 0 means DefaultLease.
	Lease time.Duration
	// Image is the container image, such as that of another version; empty for
	// the usual one, and for whatever version is in PATH.
	Image string
}

// DefaultLease is a lock's. etcd's least is 1.5 election time-outs, rounded up to
// seconds: this with its own, else minLease. It grants no less, whatever is asked for.
const DefaultLease = 2 * time.Second

const (
	minLease = time.Second
	maxLease = time.Hour
)

// Choices are examples of what ParseOptions reads, for lists.
var Choices = []string{"reads=serializable", "fencing=no", "timeouts=default", "lease=1s", "image=quay.io/coreos/etcd:v3.6.0"}

// ParseOptions reads "key=value,key=value", such as "reads=serializable"; empty
// means the defaults.
//
//	reads=linearizable|serializable
//	fencing=yes|no
//	timeouts=tuned|default
//	lease=DURATION                 1s, or with timeouts=default 2s, to 1h, in whole seconds
//	image=REFERENCE
func ParseOptions(text string) (Options, error) {
	parsed, err := options.Parse(text, (*Options).list, Choices)
	if err == nil && parsed.DefaultTimes && parsed.Lease == minLease {
		return Options{}, fmt.Errorf("lease=%q is not possible with timeouts=default: etcd grants %v at least", minLease, DefaultLease)
	}
	return parsed, err
}

// String is what ParseOptions reads, without the defaults.
func (o Options) String() string { return o.list().String() }

func (o *Options) list() options.List {
	return options.List{
		options.Switch("reads", &o.SerializableReads, "linearizable", "serializable"),
		options.Switch("fencing", &o.NoFencing, "yes", "no"),
		options.Switch("timeouts", &o.DefaultTimes, "tuned", "default"),
		options.Duration("lease", &o.Lease, DefaultLease, minLease, maxLease, time.Second),
		options.Image(&o.Image),
	}
}

// Target returns the target. Its World is nil.
func Target(options Options) harness.Target {
	// A lock on a lease may always have two holders, whatever else holds.
	claim := history.Claim{CAP: "CP", Expect: []string{string(anomaly.HeldTwice)}}
	if options.SerializableReads {
		claim.Expect = append(claim.Expect, string(anomaly.StaleRead))
		claim.Guarantees = []string{history.LinearizableWrites}
	}
	return harness.Target{
		Name:        "etcd",
		Options:     options.String(),
		Claim:       claim,
		Ports:       []string{peerPort},
		Program:     options.program,
		Ready:       ready,
		Open:        options.open,
		Leader:      leader,
		LogPatterns: []*regexp.Regexp{corruption},
	}
}

// corruption is what a member logs that panics, gives up, or finds its log or its
// peers' data to be not what it wrote.
var corruption = regexp.MustCompile(`"level":"(panic|fatal)"|found data inconsistency with peers|etcdserver: corrupt cluster|Was the raft log corrupted|walpb: crc mismatch`)

// program runs one member. What is in its data directory wins over the flags
// about the first cluster, so a restart needs no others.
func (o Options) program(place cluster.Place) cluster.Program {
	heartbeat, election := "50", "500"
	if o.DefaultTimes {
		heartbeat, election = "100", "1000"
	}
	var members []string
	for _, node := range slices.Sorted(maps.Keys(place.Public)) {
		members = append(members, node+"=http://"+place.Public[node][peerPort])
	}
	return cluster.Program{Path: "etcd", Container: images.Container(image, o.Image), Args: []string{
		"--name", place.Node,
		"--data-dir", filepath.Join(place.Data, "etcd"),
		"--listen-client-urls", "http://" + place.Listen,
		"--advertise-client-urls", "http://" + place.Listen,
		"--listen-peer-urls", "http://" + place.Ports[peerPort].Listen,
		"--initial-advertise-peer-urls", "http://" + place.Ports[peerPort].Public,
		"--initial-cluster", strings.Join(members, ","),
		"--initial-cluster-state", "new",
		"--heartbeat-interval", heartbeat,
		"--election-timeout", election,
		"--pre-vote=true",
		"--logger", "zap",
		"--log-level", "warn",
	}}
}

// ready is Target.Ready: all members name one leader, and each can read through it.
func ready(ctx context.Context, c cluster.Cluster) error {
	statuses := ask(ctx, c)
	for _, node := range c.Nodes() {
		s := statuses[node]
		switch {
		case s.err != nil:
			return fmt.Errorf("ask %s who leads: %w", node, s.err)
		case s.leader == 0 || s.leader != statuses[c.Nodes()[0]].leader:
			return fmt.Errorf("%s names the leader %x, and %s %x", node, s.leader, c.Nodes()[0], statuses[c.Nodes()[0]].leader)
		}
	}
	var reads errgroup.Group
	for _, node := range c.Nodes() {
		reads.Go(func() error {
			member, err := dial(c.Address(node))
			if err != nil {
				return err
			}
			_, err = member.Get(ctx, "ready")
			if err := errors.Join(err, member.Close()); err != nil {
				return fmt.Errorf("read through %s: %w", node, err)
			}
			return nil
		})
	}
	return reads.Wait()
}

// leader is Target.Leader. A leader that is cut off may believe in itself for
// another while, so the highest term decides.
func leader(ctx context.Context, c cluster.Cluster) (cluster.Node, error) {
	var best cluster.Node
	statuses := ask(ctx, c)
	for node, s := range statuses {
		if s.err == nil && s.leader == s.member && (best == "" || cmp.Compare(s.term, statuses[best].term) > 0) {
			best = node
		}
	}
	if best == "" {
		return "", errors.New("no member says that it leads")
	}
	return best, nil
}

// A status is what a member says of itself.
type status struct {
	member, leader, term uint64
	err                  error
}

// ask asks all members at once for their status.
func ask(ctx context.Context, c cluster.Cluster) map[cluster.Node]status {
	ctx, cancel := context.WithTimeout(ctx, statusBudget)
	defer cancel()
	type answer struct {
		node cluster.Node
		status
	}
	answers := make(chan answer)
	for _, node := range c.Nodes() {
		go func() { answers <- answer{node, statusOf(ctx, c.Address(node))} }()
	}
	statuses := map[cluster.Node]status{}
	for range c.Nodes() {
		a := <-answers
		statuses[a.node] = a.status
	}
	return statuses
}

func statusOf(ctx context.Context, address string) status {
	member, err := dial(address)
	if err != nil {
		return status{err: err}
	}
	defer member.Close()
	answer, err := member.Status(ctx, address)
	if err != nil {
		return status{err: err}
	}
	return status{member: answer.Header.MemberId, leader: answer.Leader, term: answer.RaftTerm}
}

// dial returns a client of one member, to which it need not be connected.
func dial(address string) (*clientv3.Client, error) {
	return clientv3.New(configuration(address))
}
