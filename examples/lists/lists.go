package main

import (
	"context"
	"encoding/json"
	"errors"
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

// lists is the store on trial. Arguments are further ones of its server.
func lists(options string, arguments ...string) harness.Target {
	return harness.Target{
		Name:    "lists",
		Options: options,
		World:   process.World(),
		Program: func(p cluster.Place) cluster.Program {
			args := []string{"-listen", p.Listen, "-primary", p.Peers[primary]}
			if p.Node == primary {
				args = append([]string{"-listen", p.Listen, "-log", filepath.Join(p.Data, "log")}, arguments...)
			}
			return cluster.Program{Path: server(), Args: args}
		},
		Ready: func(ctx context.Context, c cluster.Cluster) error {
			for _, node := range c.Nodes() {
				conn := &connection{address: c.Address(node)}
				_, err := conn.ask(ctx, message{Do: "get"})
				conn.Close()
				if err != nil {
					return err
				}
			}
			return nil
		},
		Open: func(_ context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
			return &client{&connection{address: c.Address(primary)}, &connection{address: c.Address(node)}}, nil
		},
	}
}

// server builds the server, which go.mod names as a tool, and returns where it is.
var server = sync.OnceValue(func() string {
	path, err := exec.Command("go", "tool", "-n", "server").Output()
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(path))
})

// A client writes to the primary, and reads from its own node.
type client struct{ primary, own *connection }

func (c *client) Append(ctx context.Context, key, text string) error {
	_, err := c.primary.ask(ctx, message{Do: "append", Key: key, Value: text})
	return err
}

func (c *client) Get(ctx context.Context, key string) ([]string, error) {
	return c.own.ask(ctx, message{Do: "get", Key: key})
}

func (c *client) Close() error { return errors.Join(c.primary.Close(), c.own.Close()) }

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

// ask sends one request. A refused connection, and what the server refuses, have
// certainly changed nothing.
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
