package raft

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// TestMain lets the test binary be a node.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "node" && os.Args[2] == "raft" {
		if err := Node(os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// processes is a cluster.Cluster of processes that reach each other directly.
type processes struct {
	program func(cluster.Place) cluster.Program
	places  map[cluster.Node]cluster.Place
	names   []cluster.Node
	logs    string

	mu      sync.Mutex
	running map[cluster.Node]*process
}

type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	log   *os.File
}

// start runs a cluster and waits until it is ready.
func start(t *testing.T, nodes int, options Options) *processes {
	t.Helper()
	target := Target(options)
	c := &processes{
		program: target.Program,
		places:  map[cluster.Node]cluster.Place{},
		names:   cluster.Names(nodes),
		logs:    t.TempDir(),
		running: map[cluster.Node]*process{},
	}
	data := t.TempDir()
	peers := map[cluster.Node]string{}
	for _, node := range c.names {
		peers[node] = freeAddress(t)
	}
	for _, node := range c.names {
		c.places[node] = cluster.Place{Node: node, Listen: peers[node], Peers: peers, Data: filepath.Join(data, node)}
	}
	t.Cleanup(func() {
		c.Close()
		if t.Failed() {
			for _, node := range c.names {
				log, _ := os.ReadFile(filepath.Join(c.logs, node))
				t.Logf("log of %s:\n%s", node, log[max(0, len(log)-4000):])
			}
		}
	})
	began := time.Now()
	for _, node := range c.names {
		if err := c.Start(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func(ctx context.Context) error { return target.Ready(ctx, c) })
	t.Logf("%d nodes ready after %v", nodes, time.Since(began).Round(time.Millisecond))
	return c
}

// freeAddress is below the range from which the system takes ports for
// outgoing connections, so that nobody takes it meanwhile.
func freeAddress(t *testing.T) string {
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

// eventually repeats try until it succeeds, for ten seconds.
func eventually(t *testing.T, try func(context.Context) error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := try(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still after 10 s: %v", err)
		}
		<-tick.C
	}
}

func (c *processes) Nodes() []cluster.Node            { return c.names }
func (c *processes) Address(node cluster.Node) string { return c.places[node].Listen }

func (c *processes) Start(_ context.Context, node cluster.Node) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(c.logs, node), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(self, c.program(c.places[node]).Args...)
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[node] = &process{cmd, stdin, log}
	return nil
}

func (c *processes) take(node cluster.Node) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.running[node]
	delete(c.running, node)
	return p
}

func (c *processes) Kill(_ context.Context, node cluster.Node) error {
	if p := c.take(node); p != nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		p.log.Close()
	}
	return nil
}

func (c *processes) signal(node cluster.Node, signal os.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running[node].cmd.Process.Signal(signal)
}

func (c *processes) Pause(_ context.Context, node cluster.Node) error {
	return c.signal(node, syscall.SIGSTOP)
}

func (c *processes) Resume(_ context.Context, node cluster.Node) error {
	return c.signal(node, syscall.SIGCONT)
}

func (c *processes) SetLinks(context.Context, []cluster.Link, cluster.Condition) error {
	return fmt.Errorf("links cannot be set here")
}

func (c *processes) State(node cluster.Node) cluster.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[node] == nil {
		return cluster.Down
	}
	return cluster.Running
}

func (c *processes) Close() error {
	for _, node := range c.names {
		c.Kill(context.Background(), node)
	}
	return nil
}
