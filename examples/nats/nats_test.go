package nats_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/workloads"
)

const (
	routes = "routes" // the port at which servers reach each other
	bucket = "registers"
	stream = "elements"
)

// Any replica of a bucket answers reads from its own copy, unless the bucket's
// owner forbids it: a server that is cut off answers with what was.
func TestBucketHasStaleReads(t *testing.T) {
	target := target(t)
	target.Claim = history.Claim{CAP: "CP", Expect: []string{string(checker.StaleRead)}}
	partitions := nemesis.Partitions("one")
	partitions.Interval = 4 * time.Second
	result := harness.Check(t, harness.Trial{
		Target: target, Workload: workloads.Register{}, Nemesis: partitions,
		Nodes: 3, Concurrency: 12, Duration: 8 * time.Second, Timeout: time.Second,
	})
	if result.StaleReads.Certain == 0 {
		t.Error("no stale read was found")
	}
}

// A stream that was created last before all servers are killed is gone for good,
// with all that it had acknowledged, if they come back within the minute:
// https://github.com/nats-io/nats-server/pull/5946, mended in version 2.10.23.
func TestStreamIsLost(t *testing.T) {
	kills := nemesis.Kills("all")
	kills.Interval = 3 * time.Second
	run, result, err := harness.Run(t.Context(), harness.Trial{
		Target: target(t), Workload: workloads.Set{}, Nemesis: kills,
		Nodes: 3, Concurrency: 6, Rate: 200, Quiet: time.Second, Duration: 3 * time.Second, Timeout: time.Second,
		Dir: t.ArtifactDir(), Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(harness.Summary(run, result))
	if result.AsClaimed != checker.NotAsClaimed {
		t.Errorf("the stream is lost, and the trial is %s, %s", result.Verdict, result.AsClaimed)
	}
}

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
	registers := jetstream.KeyValueConfig{Bucket: bucket, Replicas: 3}
	_, err = js.CreateKeyValue(ctx, registers)
	for strings.Contains(fmt.Sprint(err), "no suitable peers") {
		_, err = js.CreateKeyValue(ctx, registers)
	}
	if err != nil {
		return fmt.Errorf("create the bucket: %w", err)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: stream, Replicas: 3}); err != nil {
		return fmt.Errorf("create the stream: %w", err)
	}
	return nil
}
