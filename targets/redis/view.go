package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A view is what a node's server or sentinel says of the cluster.
type view struct {
	node cluster.Node
	// primary is who the sentinel says is the primary; epoch numbers the
	// failovers that it knows of.
	primary cluster.Node
	epoch   int64
	usable  string // the sentinel's word on whether it could carry out a failover

	server replication
}

// A replication is a server's own story.
type replication struct {
	isPrimary bool
	replicas  string // of a primary: how many are connected

	host, port string // of a replica: of its primary
	linked     bool   // it hears from it
}

// ask returns a server's replication. The link of a replica does not work if it
// has brought nothing for longer than silence, in seconds: that it is cut off
// Redis itself notices only after repl-timeout.
func ask(ctx context.Context, server *goredis.Client, silence int) (replication, error) {
	info := server.InfoMap(ctx, "replication")
	if err := info.Err(); err != nil {
		return replication{}, err
	}
	field := func(name string) string { return info.Item("Replication", name) }
	switch role := field("role"); role {
	case "master":
		return replication{isPrimary: true, replicas: field("connected_slaves")}, nil
	case "slave":
		quiet, err := strconv.Atoi(field("master_last_io_seconds_ago"))
		return replication{
			host: field("master_host"), port: field("master_port"),
			linked: field("master_link_status") == "up" && err == nil && quiet <= silence,
		}, nil
	default:
		return replication{}, fmt.Errorf("its role is %.100q", role)
	}
}

// ready returns nil once all servers replicate from n1 and all sentinels agree,
// and know enough to replace it.
func (s *system) ready(ctx context.Context, c cluster.Cluster) error {
	views, err := s.views(ctx, c, true)
	if err != nil {
		return err
	}
	nodes := len(c.Nodes())
	for _, v := range views {
		switch want := fmt.Sprintf("OK %d usable", nodes); {
		case v.primary != views[0].primary:
			return fmt.Errorf("the sentinel of %s watches %s, and that of %s watches %s", views[0].node, views[0].primary, v.node, v.primary)
		case !strings.HasPrefix(v.usable, want):
			return fmt.Errorf("the sentinel of %s: %s", v.node, v.usable)
		case v.server.isPrimary != (v.node == v.primary):
			return fmt.Errorf("the sentinel of %s watches %s, whatever the servers think", v.node, v.primary)
		case v.server.isPrimary && v.server.replicas != strconv.Itoa(nodes-1):
			return fmt.Errorf("%s replicas of %s are connected, want %d", v.server.replicas, v.node, nodes-1)
		case !v.server.isPrimary && !v.server.linked:
			return fmt.Errorf("%s does not hear from its primary yet", v.node)
		}
	}
	return nil
}

// leader returns the primary by the newest epoch that a sentinel knows.
func (s *system) leader(ctx context.Context, c cluster.Cluster) (cluster.Node, error) {
	views, err := s.views(ctx, c, false)
	if len(views) == 0 {
		return "", fmt.Errorf("no sentinel names a primary: %w", err)
	}
	newest := slices.MaxFunc(views, func(a, b view) int { return cmp.Compare(a.epoch, b.epoch) })
	return newest.primary, nil
}

// views asks all nodes at once and returns what those say that answer, in the
// order of nodes, and why the others do not. Servers are asked if wanted.
func (s *system) views(ctx context.Context, c cluster.Cluster, servers bool) ([]view, error) {
	all := make([]view, len(c.Nodes()))
	failures := make([]error, len(all))
	var asking sync.WaitGroup
	for i, node := range c.Nodes() {
		asking.Go(func() {
			all[i].node = node
			failures[i] = s.look(ctx, c, &all[i], servers)
		})
	}
	asking.Wait()
	var views []view
	var silent []string
	for i, v := range all {
		if failures[i] != nil {
			silent = append(silent, v.node+": "+failures[i].Error())
			continue
		}
		views = append(views, v)
	}
	if len(silent) > 0 {
		return views, errors.New(strings.Join(silent, "; "))
	}
	return views, nil
}

func (s *system) look(ctx context.Context, c cluster.Cluster, v *view, servers bool) error {
	sentinel := goredis.NewSentinelClient(connection(c.PortAddress(v.node, sentinelPort)))
	defer sentinel.Close()
	about, err := sentinel.Master(ctx, primaryName).Result()
	if err != nil {
		return fmt.Errorf("sentinel: %w", err)
	}
	if v.epoch, err = strconv.ParseInt(about["config-epoch"], 10, 64); err != nil {
		return fmt.Errorf("sentinel: config-epoch: %w", err)
	}
	// Unlike the address in about, this one is the new primary's as soon as that
	// was promoted.
	address, err := sentinel.GetMasterAddrByName(ctx, primaryName).Result()
	if err != nil || len(address) != 2 {
		return fmt.Errorf("sentinel: address of the primary %q: %w", address, err)
	}
	if v.primary, err = s.nodeAt(address[0], address[1]); err != nil || !servers {
		return err
	}
	if v.usable, err = sentinel.CkQuorum(ctx, primaryName).Result(); err != nil {
		return fmt.Errorf("sentinel: %w", err)
	}
	server := goredis.NewClient(connection(c.PortAddress(v.node, serverPort)))
	defer server.Close()
	v.server, err = ask(ctx, server, s.times().silence)
	return err
}
