package raftredis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	hraft "github.com/hashicorp/raft"
	"github.com/tidwall/redcon"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/consensus"
	"github.com/rashomon-io/rashomon/targets/internal/node"
)

// Node runs one node until standard input ends. Its arguments are the options
// and what node.Parse takes.
func Node(args []string) error { return node.Run(name, args, ParseOptions, run) }

// A server is one member of the cluster, as clients see it.
type server struct {
	options Options
	machine *machine
	raft    *consensus.Member
}

// run serves until ctx ends.
func run(ctx context.Context, listener net.Listener, place cluster.Place, options Options) (err error) {
	defer listener.Close()
	disk, err := consensus.Open(place)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	s := &server{options: options}
	if s.machine, err = openMachine(vfs.Default, filepath.Join(place.Data, "state"), disk.Logger.Named("pebble")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.machine.Close()) }()
	if s.raft, err = consensus.Join(listener, place, disk, s.machine); err != nil {
		return err
	}
	return s.raft.Serve(ctx, s.serve)
}

// serve answers one client until it leaves.
func (s *server) serve(ctx context.Context, client net.Conn) {
	requests := requests{from: client}
	for {
		request, err := requests.next()
		if errors.Is(err, errProtocol) {
			client.Write(refuse(fmt.Errorf("ERR %w", err)))
			return
		}
		if err != nil {
			return
		}
		if _, err := client.Write(s.answer(ctx, request)); err != nil {
			return
		}
	}
}

// answer carries out a request: a command, or
//
//	PING                  PONG
//	INFO [replication]    what follower and leader say of themselves
//
// Clients take READONLY and MASTERDOWN, with which Redis' replicas refuse what they
// must not do, for a promise that nothing has been and will be done.
func (s *server) answer(ctx context.Context, request []string) []byte {
	switch strings.ToUpper(request[0]) {
	case "PING":
		return redcon.AppendString(nil, "PONG")
	case "INFO":
		return redcon.AppendBulkString(nil, s.replication())
	}
	command, err := lookup(request)
	if err != nil {
		return refuse(err)
	}
	if s.raft.State() != hraft.Leader {
		return refuse(errors.New("READONLY this node does not lead"))
	}
	if command.writes {
		return s.propose(request)
	}

	var reply []byte
	if s.options.LocalReads {
		reply, err = s.machine.read(request)
	} else if _, unconfirmed := s.raft.Read(ctx, func() { reply, err = s.machine.read(request) }); unconfirmed != nil {
		return refuse(fmt.Errorf("MASTERDOWN %w", unconfirmed))
	}
	var refused refusal
	switch {
	case errors.Is(err, errMayExpire):
		return s.propose(request)
	case errors.As(err, &refused):
		return refuse(refused)
	case err != nil:
		return refuse(fmt.Errorf("ERR reading the state: %w", err))
	}
	return reply
}

// propose appends a request to the log, and answers when this node has applied it.
func (s *server) propose(request []string) []byte {
	future := s.raft.Apply(entry(time.Now(), request), consensus.EnqueueTimeout)
	switch err := future.Error(); {
	case consensus.Refused(err):
		return refuse(fmt.Errorf("READONLY %w", err))
	case err != nil:
		return refuse(fmt.Errorf("ERR nobody knows whether it was done: %w", err))
	}
	return future.Response().([]byte)
}

// replication is as in Redis, with the names of nodes for addresses, and the term.
func (s *server) replication() string {
	lines := []string{"# Replication"}
	if s.raft.State() == hraft.Leader {
		lines = append(lines, "role:master")
	} else {
		link := "down"
		_, leader := s.raft.LeaderWithID()
		if leader != "" {
			link = "up"
		}
		lines = append(lines,
			"role:slave",
			fmt.Sprint("master_host:", leader),
			"master_link_status:"+link,
			fmt.Sprint("master_last_io_seconds_ago:", int(time.Since(s.raft.LastContact()).Seconds())))
	}
	lines = append(lines, fmt.Sprint("term:", s.raft.CurrentTerm()), "")
	return strings.Join(lines, "\r\n")
}

func refuse(err error) []byte { return redcon.AppendError(nil, err.Error()) }
