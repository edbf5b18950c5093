// Package redis is the target redis: Redis with Sentinel, version 7, as it is
// deployed to survive the loss of a node.
//
// # A node
//
// Each node runs a redis-server and a redis-sentinel (node.go). The server of n1
// begins as the primary, the others as its replicas. A majority of sentinels that
// has not heard from the primary for a while promotes a replica, and tells the
// other servers to follow it.
//
// # A client
//
// A client is pinned to a node and goes where that node leads it: to the node's
// own server if that is a primary, else to the primary that it replicates from,
// but only while that link works (client.go). So who is cut off together with the
// old primary goes on writing to it, as applications in its data centre would.
//
// # Weakness
//
// Replication is asynchronous: a primary answers first and replicates later. One
// that is cut off, paused or just slow goes on acknowledging writes until
// somebody tells it of its successor; it then becomes a replica, takes a full
// copy, and what it acknowledged meanwhile is gone. Until then there are two
// primaries. WAIT and min-replicas-to-write narrow the window and do not close
// it: Redis' own documentation of both says so, and of its replication that
// acknowledged writes can be lost in a failover.
// (https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/,
// https://redis.io/docs/latest/commands/wait/)
//
// # Durability
//
// As Redis comes, it takes a snapshot once a minute at the most, so a server
// that is killed and restarted has an older state, or none. If it is the primary
// and back before its absence is noticed, all replicas copy that.
package redis

import (
	"fmt"
	"net"
	"regexp"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/targets/images"
	"github.com/rashomon-io/rashomon/targets/options"
)

const (
	image = "redis:7"
	// The ports of a node. The main one is not used: Redis' nodes tell each other
	// their addresses, so they need public ones.
	serverPort   = "server"
	sentinelPort = "sentinel"
	// primaryName is what the sentinels call the primary that they watch.
	primaryName = "rashomon"
)

// Options are what a user can choose. The zero Options are Redis' defaults, but
// for its times.
type Options struct {
	// ReplicaReads lets each node's own server answer reads.
	ReplicaReads bool
	// Wait is for how many replicas a client waits after each write, by WAIT. A
	// write that fewer acknowledged in time has an unknown outcome.
	Wait int
	// MinReplicas is min-replicas-to-write: with fewer that lag by no more than
	// min-replicas-max-lag (10 s, or tuned 2 s), a primary refuses writes.
	MinReplicas int
	// AppendFsync is when the append-only file reaches the disk: "no",
	// "everysec" or "always". Empty means that there is no such file.
	AppendFsync string
	// DefaultTimes are Redis' own, which suit trials of many minutes: a primary
	// is down after 30 s. Otherwise they are tuned to trials of seconds.
	DefaultTimes bool
	// Lease is after what time a lock expires that was not released, 0 for
	// DefaultLease.
	Lease time.Duration
	// Image is the container image, such as that of another version; empty for
	// the usual one, and for whatever version is in PATH.
	Image string
}

// DefaultLease is a lock's.
const DefaultLease = 2 * time.Second

// The ranges of options.
const (
	maxReplicas = harness.MaxNodes - 1
	minLease    = 10 * time.Millisecond
	maxLease    = time.Hour
)

// Choices are examples of what ParseOptions reads, for lists.
var Choices = []string{
	"reads=replica", "wait=1", "min-replicas-to-write=1", "appendfsync=always", "timeouts=default", "lease=2s", "image=redis:8",
}

// ParseOptions reads "key=value,key=value", such as "reads=replica,wait=1"; empty
// means the defaults.
//
//	reads=primary|replica
//	wait=N, min-replicas-to-write=N    0 to 63
//	appendfsync=no|everysec|always
//	timeouts=tuned|default
//	lease=DURATION                     10ms to 1h, in whole milliseconds
//	image=REFERENCE
func ParseOptions(text string) (Options, error) {
	return options.Parse(text, (*Options).list, Choices)
}

// String is what ParseOptions reads, without the defaults.
func (o Options) String() string { return o.list().String() }

func (o *Options) list() options.List {
	return options.List{
		options.Switch("reads", &o.ReplicaReads, "primary", "replica"),
		options.Number("wait", &o.Wait, maxReplicas, "a number of replicas"),
		options.Number("min-replicas-to-write", &o.MinReplicas, maxReplicas, "a number of replicas"),
		options.Word("appendfsync", &o.AppendFsync, "", "no", "everysec", "always"),
		options.Switch("timeouts", &o.DefaultTimes, "tuned", "default"),
		options.Duration("lease", &o.Lease, DefaultLease, minLease, maxLease, time.Millisecond),
		options.Image(&o.Image),
	}
}

// corruption is what a server logs that crashes, or cannot read what it has on disk. A
// replica's short read of what its primary sends is ordinary, and none of these.
var corruption = regexp.MustCompile(`=== REDIS BUG REPORT START|crashed by signal: |Guru Meditation: |Bad file format reading the append only file|Terminating server after rdb file reading failure`)

// Target returns the target. Its World is nil.
func Target(options Options) harness.Target {
	s := &system{options: options}
	return harness.Target{
		Name:    "redis",
		Options: options.String(),
		// No option changes the claim. Two primaries at once are enough for all of
		// these, and no option excludes them. A phantom read is not among them:
		// what a server refused it never does, and nothing is made up.
		Claim: history.Claim{CAP: "AP", Expect: []string{
			string(anomaly.StaleRead), string(anomaly.LostCommit), string(anomaly.DoubleSwap),
			string(anomaly.Resurrected), string(anomaly.Disorder), string(anomaly.WrongCount),
			string(anomaly.OutOfOrder), string(anomaly.DequeuedTwice), string(anomaly.HeldTwice),
		}},
		LogPatterns: []*regexp.Regexp{corruption},
		Ports:       []string{serverPort, sentinelPort},
		Program:     s.program,
		Ready:       s.ready,
		Open:        s.servers().Open,
		Leader:      s.leader,
	}
}

// A system is what a Target's functions share.
type system struct {
	options Options
	// announced maps the public addresses of servers, by which they know each
	// other, to the nodes' names. Program fills it in before a node starts.
	announced sync.Map
}

func (s *system) times() times {
	if s.options.DefaultTimes {
		return defaultTimes
	}
	return tunedTimes
}

func (s *system) servers() Servers {
	return Servers{
		Address: func(c cluster.Cluster, node cluster.Node) string { return c.PortAddress(node, serverPort) },
		NodeAt:  s.nodeAt, Silence: s.times().silence,
		ReplicaReads: s.options.ReplicaReads, Wait: s.options.Wait, Lease: s.options.Lease,
	}
}

func (s *system) nodeAt(host, port string) (cluster.Node, error) {
	address := net.JoinHostPort(host, port)
	if node, known := s.announced.Load(address); known {
		return node.(cluster.Node), nil
	}
	return "", fmt.Errorf("%s is no node's address", address)
}

func (s *system) program(place cluster.Place) cluster.Program {
	for node, ports := range place.Public {
		s.announced.Store(ports[serverPort], node)
	}
	return cluster.Program{Path: "sh", Args: s.arguments(place), Container: images.Container(image, s.options.Image)}
}
