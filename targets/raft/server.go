package raft

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
)

// enqueueTimeout bounds how long raft's main loop may be too busy to take a
// command.
const enqueueTimeout = 500 * time.Millisecond

// tune sets raft's times and sizes: see the package comment, and snapshots
// about once a second at a hundred writes a second.
func tune(config *hraft.Config) {
	config.HeartbeatTimeout = 250 * time.Millisecond
	config.ElectionTimeout = 250 * time.Millisecond
	config.LeaderLeaseTimeout = 200 * time.Millisecond
	config.CommitTimeout = 5 * time.Millisecond
	config.SnapshotInterval = 500 * time.Millisecond
	config.SnapshotThreshold = 100
	config.TrailingLogs = 50
}

// Node runs one node, as nodeArguments says, without its leading "node raft".
// It returns when standard input ends: whoever started it is gone.
func Node(args []string) error {
	flags := flag.NewFlagSet("node raft", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var (
		id      = flags.String("id", "", "this node's name")
		address = flags.String("listen", "", "TCP address to serve")
		data    = flags.String("data", "", "directory of log and snapshots")
		peers   = flags.String("peers", "", "NAME=ADDRESS,… of all nodes")
		reads   = flags.String("reads", string(Linearizable), "how reads are answered")
		bug     = flags.String("bug", "", "planted bug")
	)
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("node raft: %w", err)
	}
	options := Options{Reads: Reads(*reads), Bug: Bug(*bug)}
	if _, err := ParseOptions(options.String()); err != nil {
		return err
	}
	known, err := parsePeers(*peers)
	if err != nil {
		return fmt.Errorf("node raft: --peers: %w", err)
	}
	if _, found := known[*id]; !found {
		return fmt.Errorf("node raft: --id=%s is not among --peers=%s", *id, *peers)
	}
	known[*id] = *id

	n, err := startNode(*id, *address, *data, known, options)
	if err != nil {
		return fmt.Errorf("node %s: %w", *id, err)
	}
	orphaned, served := make(chan struct{}), make(chan error, 1)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(orphaned)
	}()
	go func() { served <- n.listener.serve(n.serve) }()
	select {
	case <-orphaned:
		err = n.close()
		return errors.Join(err, <-served)
	case err := <-served:
		return errors.Join(err, n.close())
	}
}

func parsePeers(text string) (addresses, error) {
	peers := addresses{}
	for part := range strings.SplitSeq(text, ",") {
		name, address, found := strings.Cut(part, "=")
		if !found || name == "" || address == "" {
			return nil, fmt.Errorf("%q is not NAME=ADDRESS", part)
		}
		peers[name] = address
	}
	return peers, nil
}

// A node is one member of the cluster.
type node struct {
	id       string
	options  Options
	listener *listener
	store    *store
	raft     *hraft.Raft
	reader   *reader

	stopped context.Context // ends with close
	stop    context.CancelFunc
	wg      sync.WaitGroup
	disk    io.Closer
}

func startNode(id, address, data string, peers addresses, options Options) (_ *node, err error) {
	n := &node{id: id, options: options, store: newStore(options.Bug)}
	n.stopped, n.stop = context.WithCancel(context.Background())
	logger := hclog.New(&hclog.LoggerOptions{Name: id, Level: hclog.Info, Output: os.Stderr})

	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	disk, err := raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(data, "raft.db"),
		// A log that another process holds open is an error, not a reason to wait.
		BoltOptions: &bbolt.Options{Timeout: time.Second},
	})
	if err != nil {
		return nil, fmt.Errorf("open log in %s: %w", data, err)
	}
	n.disk = disk
	snapshots, err := hraft.NewFileSnapshotStoreWithLogger(data, 2, logger.Named("snapshots"))
	if err != nil {
		return nil, fmt.Errorf("open snapshots in %s: %w", data, err)
	}
	if n.listener, err = listen(id, address); err != nil {
		return nil, err
	}
	trans := newTransport(n.listener, peers, logger)

	config := hraft.DefaultConfig()
	config.LocalID = hraft.ServerID(id)
	config.Logger = logger
	tune(config)

	existing, err := hraft.HasExistingState(disk, disk, snapshots)
	if err != nil {
		return nil, err
	}
	if !existing {
		// Every node begins with the same first entry, so it does not matter
		// which of them begin.
		var members hraft.Configuration
		for _, name := range slices.Sorted(maps.Keys(peers)) {
			members.Servers = append(members.Servers, hraft.Server{ID: hraft.ServerID(name), Address: hraft.ServerAddress(name)})
		}
		if err := hraft.BootstrapCluster(config, disk, disk, snapshots, trans, members); err != nil {
			return nil, fmt.Errorf("bootstrap: %w", err)
		}
	}
	var log hraft.LogStore = disk
	if options.Bug == NoFsync {
		log = n.newLossyLog(disk)
	}
	if n.raft, err = hraft.NewRaft(config, n.store, log, disk, snapshots, trans); err != nil {
		return nil, fmt.Errorf("start raft: %w", err)
	}
	trans.raft.Store(n.raft)
	n.reader = newReader(n.raft, trans, id, peers)
	for _, f := range n.reader.followers {
		n.wg.Go(func() { f.run(n.stopped) })
	}
	return n, nil
}

// close stops the node, clients first. Raft goes on until they are answered,
// or until it steps down.
func (n *node) close() error {
	n.stop()
	err := n.listener.Close()
	n.wg.Wait()
	return errors.Join(err, n.raft.Shutdown().Error(), n.disk.Close())
}

// serve answers one client until it leaves.
func (n *node) serve(conn net.Conn) {
	scanner := lines(conn, maxRequest)
	for scanner.Scan() {
		r, err := parseRequest(scanner.Text())
		if err != nil {
			fmt.Fprintln(conn, answer{"error", err.Error()})
			return
		}
		if _, err := fmt.Fprintln(conn, n.answer(r)); err != nil {
			return
		}
	}
	if err := scanner.Err(); err != nil {
		fmt.Fprintln(conn, answer{"error", err.Error()})
	}
}

// answer carries out a request.
func (n *node) answer(r request) answer {
	local := func() answer { return n.store.read(r) }
	isRead := r.verb == "read" || r.verb == "elements"

	if isRead && n.options.Reads == Any {
		return local()
	}
	leads := n.raft.State() == hraft.Leader
	_, leader := n.raft.LeaderWithID()
	switch {
	case leads && r.verb == "leader":
		return answer{"leader", fmt.Sprint(n.id, " ", n.raft.CurrentTerm())}
	case leads && isRead && n.options.Reads == Local:
		return local()
	case leads && isRead:
		return n.reader.read(n.stopped, local)
	case leads && r.verb == "barrier":
		return outcome(n.raft.Barrier(enqueueTimeout).Error())
	case leads:
		return n.propose(r)

	case isRead && leader == "" && n.options.Bug == StaleFollower:
		return local()
	case leader == "" || string(leader) == n.id:
		return fail("no leader known")
	case r.verb == "leader":
		return answer{"leader", fmt.Sprint(leader, " ", n.raft.CurrentTerm())}
	default:
		return answer{"redirect", string(leader)}
	}
}

// propose appends a command to the log, and answers when this node has applied
// it.
func (n *node) propose(command request) answer {
	switch n.options.Bug {
	case AckBeforeCommit:
		return n.ackBeforeCommit(command)
	case DoubleApply:
		return n.doubleApply(command)
	}
	return await(n.raft.Apply([]byte(command.String()), enqueueTimeout))
}

// await returns the answer of the state machine.
func await(future hraft.ApplyFuture) answer {
	if err := future.Error(); err != nil {
		return outcome(err)
	}
	return future.Response().(answer)
}

// outcome tells errors that promise that nothing was or will be appended from
// all others. hashicorp/raft returns these three before an entry gets an index,
// and only then; in particular a leader that loses leadership with the entry in
// its log says ErrLeadershipLost.
func outcome(err error) answer {
	switch {
	case err == nil:
		return ok()
	case errors.Is(err, hraft.ErrNotLeader),
		errors.Is(err, hraft.ErrEnqueueTimeout),
		errors.Is(err, hraft.ErrLeadershipTransferInProgress):
		return fail("%v", err)
	default:
		return answer{"unknown", err.Error()}
	}
}
