// Package consensus is what the built-in targets on hashicorp/raft have in
// common: a member with its log and snapshots on disk, whose peers and clients
// come through one address, and which can answer linearizable reads without
// writing to the log.
//
//	connection ─ first byte ─┬─ < ' ' ─▶ door ─▶ transport ─▶ hashicorp/raft ─▶ state machine
//	                         └─ other ─▶ the target's serve
//
// Members are named, not addressed: in raft's configuration the name is both, and
// each member maps the others' names to the addresses where it reaches them.
package consensus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/node"
)

const (
	// EnqueueTimeout bounds how long raft's main loop may be too busy to take a
	// command or barrier.
	EnqueueTimeout = 500 * time.Millisecond
	// HeartbeatTimeout is how long a follower that does not hear from its leader
	// stays true to it.
	HeartbeatTimeout = 250 * time.Millisecond
)

// tune makes elections take some hundred milliseconds, and snapshots come about
// once a second at a hundred writes a second.
func tune(config *hraft.Config) {
	config.HeartbeatTimeout = HeartbeatTimeout
	config.ElectionTimeout = 250 * time.Millisecond
	config.LeaderLeaseTimeout = 200 * time.Millisecond
	config.CommitTimeout = 5 * time.Millisecond
	config.SnapshotInterval = 500 * time.Millisecond
	config.SnapshotThreshold = 100
	config.TrailingLogs = 50
}

// A Disk is what a member keeps over restarts: log, term and vote, and snapshots.
type Disk struct {
	// Log is what raft is given as its log; it may be replaced before Join.
	Log    hraft.LogStore
	Logger hclog.Logger // to standard error

	stable    *raftboltdb.BoltStore
	snapshots hraft.SnapshotStore
}

// Open opens a member's disk, in its place's Data.
func Open(place cluster.Place) (*Disk, error) {
	logger := hclog.New(&hclog.LoggerOptions{Name: place.Node, Level: hclog.Info, Output: os.Stderr})
	if err := os.MkdirAll(place.Data, 0o700); err != nil {
		return nil, err
	}
	snapshots, err := hraft.NewFileSnapshotStoreWithLogger(place.Data, 2, logger.Named("snapshots"))
	if err != nil {
		return nil, fmt.Errorf("open snapshots in %s: %w", place.Data, err)
	}
	stable, err := raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(place.Data, "raft.db"),
		// A log that another process holds open is an error, no reason to wait.
		BoltOptions: &bbolt.Options{Timeout: time.Second},
	})
	if err != nil {
		return nil, fmt.Errorf("open log in %s: %w", place.Data, err)
	}
	return &Disk{Log: stable, Logger: logger, stable: stable, snapshots: snapshots}, nil
}

func (d *Disk) Close() error { return d.stable.Close() }

// A Member is a hashicorp/raft that clients and peers reach at one address.
type Member struct {
	*hraft.Raft

	place     cluster.Place
	transport *transport
	peers     *door
	followers []*follower
	barrier   atomic.Uint64 // the last term whose barrier has been applied here
}

// Join starts a member. Each place names all members, so it does not matter which
// of them begin. Serve must follow.
func Join(listener net.Listener, place cluster.Place, disk *Disk, machine hraft.FSM) (*Member, error) {
	config := hraft.DefaultConfig()
	config.LocalID = hraft.ServerID(place.Node)
	config.Logger = disk.Logger
	tune(config)

	m := &Member{place: place, peers: newDoor(listener)}
	m.transport = newTransport(m.peers, place, disk.Logger)
	err := bootstrap(config, disk, m.transport, place)
	if err == nil {
		m.Raft, err = hraft.NewRaft(config, machine, disk.Log, disk.stable, disk.snapshots, m.transport)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start raft: %w", err), m.transport.Close())
	}
	m.transport.raft.Store(m.Raft)
	for _, name := range node.Others(place) {
		m.followers = append(m.followers, newFollower(name, place.Node, m.transport))
	}
	return m, nil
}

// bootstrap writes the log's first entry, which names the members, if there is
// nothing yet.
func bootstrap(config *hraft.Config, disk *Disk, trans *transport, place cluster.Place) error {
	existing, err := hraft.HasExistingState(disk.stable, disk.stable, disk.snapshots)
	if err != nil || existing {
		return err
	}
	var members hraft.Configuration
	for _, name := range slices.Sorted(maps.Keys(place.Peers)) {
		members.Servers = append(members.Servers, hraft.Server{ID: hraft.ServerID(name), Address: hraft.ServerAddress(name)})
	}
	return hraft.BootstrapCluster(config, disk.stable, disk.stable, disk.snapshots, trans, members)
}

// Serve hands each client's connection to serve, in a goroutine of its own, until
// ctx ends, and then ends the member. Its listener and all connections are closed
// when it returns, and every goroutine has ended.
func (m *Member) Serve(ctx context.Context, serve func(context.Context, net.Conn)) error {
	var questions sync.WaitGroup
	asking, stop := context.WithCancel(ctx)
	for _, f := range m.followers {
		questions.Go(func() { f.run(asking) })
	}
	err := sort(ctx, m.peers.outer, m.peers, serve)
	err = errors.Join(err, m.Shutdown().Error(), m.transport.Close())
	stop()
	questions.Wait()
	return err
}

// Refused reports whether an error of Apply or Barrier promises that nothing was
// or will be appended to the log. hashicorp/raft returns these three before an
// entry gets an index, and only then; in particular a leader that loses
// leadership with the entry in its log says ErrLeadershipLost.
func Refused(err error) bool {
	return errors.Is(err, hraft.ErrNotLeader) ||
		errors.Is(err, hraft.ErrEnqueueTimeout) ||
		errors.Is(err, hraft.ErrLeadershipTransferInProgress)
}
