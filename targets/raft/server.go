package raft

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/consensus"
	"github.com/rashomon-io/rashomon/targets/internal/line"
	"github.com/rashomon-io/rashomon/targets/internal/node"
)

const (
	enqueueTimeout   = consensus.EnqueueTimeout
	heartbeatTimeout = consensus.HeartbeatTimeout
)

// Node runs one node until standard input ends. Its arguments are the options
// and what node.Parse takes.
func Node(args []string) error { return node.Run("raft", args, ParseOptions, run) }

// A server is one member of the cluster, as clients see it.
type server struct {
	name    string
	options Options
	store   *store
	raft    *consensus.Member
	lease   *lease
}

// run serves until ctx ends.
func run(ctx context.Context, listener net.Listener, place cluster.Place, options Options) (err error) {
	defer listener.Close()
	disk, err := consensus.Open(place)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()

	if options.Reads == Lease {
		// Whatever this node promised before it was killed, it keeps.
		select {
		case <-time.After(heartbeatTimeout):
		case <-ctx.Done():
			return nil
		}
	}
	if options.Bug == NoFsync {
		lossy := &lossyLog{disk: disk.Log}
		disk.Log = lossy
		var flushes sync.WaitGroup
		flushing, stop := context.WithCancel(ctx)
		flushes.Go(func() { lossy.run(flushing) })
		defer func() {
			stop()
			flushes.Wait()
		}()
	}
	s := &server{name: place.Node, options: options, store: newStore(options.Bug), lease: newLease()}
	if s.raft, err = consensus.Join(listener, place, disk, s.store); err != nil {
		return err
	}
	return s.raft.Serve(ctx, s.serve)
}

// serve answers one client until it leaves.
func (s *server) serve(ctx context.Context, client net.Conn) {
	conn := line.New(client)
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
		if result, ok := s.lease.read(s.raft.CurrentTerm, local); ok {
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
		return s.read(ctx, local)
	case verb == "barrier":
		return outcome(s.raft.Barrier(enqueueTimeout).Error())
	default:
		return s.propose(request)
	}
}

// read returns what query returns, or why it may not.
func (s *server) read(ctx context.Context, query func() string) (result string) {
	asked := s.lease.now()
	term, err := s.raft.Read(ctx, func() { result = query() })
	if err != nil {
		return line.Refused(err.Error())
	}
	s.lease.extend(term, asked)
	return result
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
// all others.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case consensus.Refused(err):
		return line.Refused(err.Error())
	default:
		return "failed " + strings.Join(strings.Fields(err.Error()), " ")
	}
}
