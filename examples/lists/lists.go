package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
)

// n1 is the primary, always.
const primary = "n1"

// system is the store as the command line names it.
var system = harness.System{
	Name: "lists", About: "a primary with a log on disk, backups in memory",
	Options: []string{"reads=own", "compaction=hasty"}, Target: target,
}

// target is the store on trial: reads go to the primary or, with reads=own, to the
// client's own node, which may lag behind. With compaction=hasty it has a bug.
func target(options string) (harness.Target, error) {
	t := harness.Target{Name: "lists", Options: options, World: process.World(), Ready: ready}
	var reads cluster.Node = primary
	var more []string
	switch options {
	case "":
	case "reads=own":
		reads, t.Claim.Expect = "", []string{"disorder"}
	case "compaction=hasty":
		more = []string{"-hasty"}
	default:
		return t, fmt.Errorf("no options %q (want reads=own or compaction=hasty)", options)
	}
	t.Program = func(p cluster.Place) cluster.Program {
		args := []string{"-listen", p.Listen, "-primary", p.Peers[primary]}
		if p.Node == primary {
			args = append([]string{"-listen", p.Listen, "-log", filepath.Join(p.Data, "log")}, more...)
		}
		return cluster.Program{Path: server(), Args: args}
	}
	t.Open = func(_ context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
		if reads != "" {
			node = reads
		}
		return &client{&connection{address: c.ClientAddress(primary, "")}, &connection{address: c.ClientAddress(node, "")}}, nil
	}
	return t, nil
}

func ready(ctx context.Context, c cluster.Cluster) error {
	for _, node := range c.Nodes() {
		if _, err := once(ctx, c.ClientAddress(node, ""), message{Do: "get"}); err != nil {
			return err
		}
	}
	return nil
}

// server builds the server, which go.mod names as a tool, and returns where it is.
var server = sync.OnceValue(func() string {
	path, err := exec.Command("go", "tool", "-n", "server").Output()
	if err != nil {
		panic(fmt.Sprint("the server cannot be built: ", err))
	}
	return strings.TrimSpace(string(path))
})

// A client updates the primary.
type client struct{ updates, reads *connection }

func (c *client) Append(ctx context.Context, key, text string) error {
	_, err := c.updates.ask(ctx, message{Do: "append", Key: key, Value: text})
	return err
}

func (c *client) Get(ctx context.Context, key string) ([]string, error) {
	return c.reads.ask(ctx, message{Do: "get", Key: key})
}

func (c *client) Close() error { return errors.Join(c.updates.Close(), c.reads.Close()) }

// A message is the server's.
type message struct {
	Do, Key, Value string   `json:",omitempty"`
	Values         []string `json:",omitempty"`
	Error          string   `json:",omitempty"`
}

// A connection is made when it is first used.
type connection struct {
	address string
	conn    net.Conn
}

// once asks on a connection of its own.
func once(ctx context.Context, address string, request message) ([]string, error) {
	c := &connection{address: address}
	defer c.Close()
	return c.ask(ctx, request)
}

// ask has a definite error if the connection was refused, or the server refused.
func (c *connection) ask(ctx context.Context, request message) ([]string, error) {
	if c.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
		if err != nil {
			return nil, harness.Definite(err)
		}
		c.conn = conn
	}
	deadline, _ := ctx.Deadline()
	if err := c.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := json.NewEncoder(c.conn).Encode(request); err != nil {
		return nil, err
	}
	var answer message
	if err := json.NewDecoder(c.conn).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, harness.Definite(errors.New(answer.Error))
	}
	return answer.Values, nil
}

func (c *connection) Close() error {
	if c.conn == nil {
		return nil
	}
	return c.conn.Close()
}
