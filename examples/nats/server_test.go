package nats_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
)

const (
	routes = "routes" // the port at which servers reach each other
	bucket = "registers"
	stream = "elements"
)

// target is a cluster of servers that keep streams on disk.
func target(t *testing.T) harness.Target {
	t.Helper()
	var stderr strings.Builder
	build := exec.Command("go", "tool", "-n", "nats-server") // builds it, and prints where it is
	build.Stderr = &stderr
	path, err := build.Output()
	if err != nil {
		t.Skipf("nats-server cannot be built: %v: %s", err, stderr.String())
	}
	return harness.Target{
		Name:  "nats",
		World: process.World(),
		Ports: []string{routes},
		Program: func(p cluster.Place) cluster.Program {
			var others []string
			for node, ports := range p.Public {
				if node != p.Node {
					others = append(others, "nats://"+ports[routes])
				}
			}
			slices.Sort(others)
			host, port, _ := strings.Cut(p.Listen, ":")
			return cluster.Program{Path: strings.TrimSpace(string(path)), Args: []string{
				"--name", p.Node, "--addr", host, "--port", port, "--jetstream", "--store_dir", p.Data,
				"--cluster_name", "trial", "--cluster", "nats://" + p.Ports[routes].Listen,
				"--cluster_advertise", p.Ports[routes].Public, "--no_advertise", "--routes", strings.Join(others, ","),
			}}
		},
		Ready:   ready,
		Prepare: prepare,
		Open:    open,
		Leader:  leader,
	}
}

// ready wants JetStream to answer through every server, and every server to hear
// all of them: replies are lost until all routes are there.
func ready(ctx context.Context, c cluster.Cluster) error {
	var heard []*nats.Subscription
	var conns []*nats.Conn
	for _, node := range c.Nodes() {
		conn, js, err := connect(ctx, c, node)
		if err != nil {
			return fmt.Errorf("%s: %w", node, err)
		}
		defer conn.Close()
		hears, err := conn.SubscribeSync("ready")
		if err == nil {
			_, err = js.AccountInfo(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", node, err)
		}
		conns, heard = append(conns, conn), append(heard, hears)
	}
	for _, conn := range conns {
		if err := conn.Publish("ready", nil); err != nil {
			return err
		}
	}
	for i, node := range c.Nodes() {
		for range conns {
			if _, err := heard[i].NextMsgWithContext(ctx); err != nil {
				return fmt.Errorf("%s does not hear all servers: %w", node, err)
			}
		}
	}
	return nil
}

// prepare creates what the clients use, the stream last. Until the servers have
// told each other of their disks, there is no place for three replicas.
func prepare(ctx context.Context, c cluster.Cluster) error {
	conn, js, err := connect(ctx, c, c.Nodes()[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	const noPlace = 10005 // "no suitable peers for placement"
	var refused *jetstream.APIError
	for {
		_, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket, Replicas: 3})
		if !errors.As(err, &refused) || refused.ErrorCode != noPlace {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("create the bucket: %w", err)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: stream, Replicas: 3}); err != nil {
		return fmt.Errorf("create the stream: %w", err)
	}
	return nil
}

// leader asks one server after the other who leads the bucket.
func leader(ctx context.Context, c cluster.Cluster) (node cluster.Node, err error) {
	for _, asked := range c.Nodes() {
		if node, err = leaderAsToldBy(ctx, c, asked); err == nil {
			break
		}
	}
	return node, err
}

func leaderAsToldBy(ctx context.Context, c cluster.Cluster, asked cluster.Node) (cluster.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
	defer cancel()
	conn, js, err := connect(ctx, c, asked)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	registers, err := js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return "", err
	}
	return registers.CachedInfo().Cluster.Leader, nil
}
