package raft

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/line"
	"github.com/rashomon-io/rashomon/targets/internal/node"
)

// enqueueTimeout bounds how long raft's main loop may be too busy to take a
// command.
const enqueueTimeout = 500 * time.Millisecond

// heartbeatTimeout is how long a follower that does not hear from its leader
// stays true to it.
const heartbeatTimeout = 250 * time.Millisecond

// tune makes elections take some hundred milliseconds, and snapshots come about
// once a second at a hundred writes a second.
func tune(config *hraft.Config) {
	config.HeartbeatTimeout = heartbeatTimeout
	config.ElectionTimeout = 250 * time.Millisecond
	config.LeaderLeaseTimeout = 200 * time.Millisecond
	config.CommitTimeout = 5 * time.Millisecond
	config.SnapshotInterval = 500 * time.Millisecond
	config.SnapshotThreshold = 100
	config.TrailingLogs = 50
}

// Node runs one node until standard input ends. Its arguments are the options
// and what node.Parse takes.
func Node(args []string) error {
	if len(args) == 0 {
		return errors.New("node raft: want the options, which may be empty, and the place")
	}
	options, err := ParseOptions(args[0])
	if err != nil {
		return err
	}
	place, err := node.Parse("raft", args[1:])
	if err != nil {
		return err
	}
	ctx, listener, err := node.Listen(place)
	if err != nil {
		return err
	}
	if err := run(ctx, listener, place, options); err != nil {
		return fmt.Errorf("node %s: %w", place.Node, err)
	}
	return nil
}

// A server is one member of the cluster, as clients see it.
type server struct {
	name    string
	options Options
	store   *store
	raft    *hraft.Raft
	reader  *reader
}

// run serves until ctx ends.
func run(ctx context.Context, listener net.Listener, place cluster.Place, options Options) (err error) {
	defer listener.Close()
	logger := hclog.New(&hclog.LoggerOptions{Name: place.Node, Level: hclog.Info, Output: os.Stderr})
	disk, snapshots, err := open(place.Data, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()

	var background sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		listener.Close()
		background.Wait()
	}()

	config := hraft.DefaultConfig()
	config.LocalID = hraft.ServerID(place.Node)
	config.Logger = logger
	tune(config)

	peers := newDoor(listener)
	trans := newTransport(peers, place, logger)
	defer trans.Close()
	if err := bootstrap(config, disk, snapshots, trans, place); err != nil {
		return err
	}
	if options.Reads == Lease {
		// Whatever this node promised before it was killed, it keeps.
		select {
		case <-time.After(heartbeatTimeout):
		case <-ctx.Done():
			return nil
		}
	}
	var log hraft.LogStore = disk
	if options.Bug == NoFsync {
		lossy := &lossyLog{disk: disk}
		background.Go(func() { lossy.run(ctx) })
		log = lossy
	}
	s := &server{name: place.Node, options: options, store: newStore(options.Bug)}
	if s.raft, err = hraft.NewRaft(config, s.store, log, disk, snapshots, trans); err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	defer func() { err = errors.Join(err, s.raft.Shutdown().Error()) }()
	trans.raft.Store(s.raft)
	s.reader = newReader(s.raft, trans, place)
	for _, f := range s.reader.followers {
		background.Go(func() { f.run(ctx) })
	}
	return sort(ctx, listener, peers, s.serve)
}

func open(directory string, logger hclog.Logger) (*raftboltdb.BoltStore, hraft.SnapshotStore, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, nil, err
	}
	snapshots, err := hraft.NewFileSnapshotStoreWithLogger(directory, 2, logger.Named("snapshots"))
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshots in %s: %w", directory, err)
	}
	disk, err := raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(directory, "raft.db"),
		// A log that another process holds open is an error, no reason to wait.
		BoltOptions: &bbolt.Options{Timeout: time.Second},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open log in %s: %w", directory, err)
	}
	return disk, snapshots, nil
}

// bootstrap writes the log's first entry, which names the members, if there is
// nothing yet. It is the same on every node, so it does not matter which of
// them begin.
func bootstrap(config *hraft.Config, disk *raftboltdb.BoltStore, snapshots hraft.SnapshotStore, trans *transport, place cluster.Place) error {
	existing, err := hraft.HasExistingState(disk, disk, snapshots)
	if err != nil || existing {
		return err
	}
	var members hraft.Configuration
	for _, name := range slices.Sorted(maps.Keys(place.Peers)) {
		members.Servers = append(members.Servers, hraft.Server{ID: hraft.ServerID(name), Address: hraft.ServerAddress(name)})
	}
	if err := hraft.BootstrapCluster(config, disk, disk, snapshots, trans, members); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return nil
}

// serve answers one client until it leaves.
func (s *server) serve(ctx context.Context, conn *line.Conn) {
	for {
		request, err := conn.Receive()
		if err != nil {
			return
		}
		if err := conn.Send(s.answer(ctx, request)); err != nil {
			return
		}
	}
}

// answer carries out a request: those of package line, and
//
//	barrier            ok, once the leader has applied all that was before
//	leader             leader NODE TERM
func (s *server) answer(ctx context.Context, request []string) string {
	verb := request[0]
	local := func() string { return s.store.read(request) }
	isRead := line.IsRead(verb)

	if isRead && s.options.Reads == Lease {
		if result, ok := s.reader.lease.read(s.raft.CurrentTerm, local); ok {
			return result
		}
	}
	leads := s.raft.State() == hraft.Leader
	_, leader := s.raft.LeaderWithID()
	switch {
	case isRead && s.options.Reads == Any:
		return local()
	case isRead && s.options.Reads == Local && leads:
		return local()
	case isRead && s.options.Bug == StaleFollower && !leads && leader == "":
		return local()

	case !leads && (leader == "" || string(leader) == s.name):
		return line.Refused("no leader known")
	case verb == "leader":
		return fmt.Sprint("leader ", leader, " ", s.raft.CurrentTerm())
	case !leads:
		return line.Moved(string(leader))

	case isRead:
		return s.reader.read(ctx, local)
	case verb == "barrier":
		return outcome(s.raft.Barrier(enqueueTimeout).Error())
	default:
		return s.propose(request)
	}
}

// propose appends a command to the log, and answers when this node has applied
// it.
func (s *server) propose(request []string) string {
	// A dry run on nothing tells whether it is a command.
	if reply := line.Answer(newState(), request); strings.HasPrefix(reply, "refused") {
		return reply
	}
	command := []byte(strings.Join(request, " "))
	switch s.options.Bug {
	case AckBeforeCommit:
		return s.ackBeforeCommit(command)
	case DoubleApply:
		return s.doubleApply(command)
	}
	return await(s.raft.Apply(command, enqueueTimeout))
}

// await returns the reply of the state machine.
func await(future hraft.ApplyFuture) string {
	if err := future.Error(); err != nil {
		return outcome(err)
	}
	return future.Response().(string)
}

// outcome tells errors that promise that nothing was or will be appended from
// all others. hashicorp/raft returns these three before an entry gets an index,
// and only then; in particular a leader that loses leadership with the entry in
// its log says ErrLeadershipLost.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, hraft.ErrNotLeader),
		errors.Is(err, hraft.ErrEnqueueTimeout),
		errors.Is(err, hraft.ErrLeadershipTransferInProgress):
		return line.Refused(err.Error())
	default:
		return "failed " + strings.Join(strings.Fields(err.Error()), " ")
	}
}
