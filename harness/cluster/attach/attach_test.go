//go:build linux || darwin

package attach

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// The test binary is also the nodes, and the harness that is killed.
func TestMain(m *testing.M) {
	Main()
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "test-node":
			serveEcho(os.Args[2])
		case "test-runs":
			if serves(context.Background(), os.Args[2]) != nil {
				os.Exit(1)
			}
			return
		case "test-harness":
			breakAndWait(os.Args[2], os.Args[3])
		}
	}
	os.Exit(m.Run())
}

// serveEcho is a node.
func serveEcho(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			defer connection.Close()
			for lines := bufio.NewScanner(connection); lines.Scan(); {
				fmt.Fprintln(connection, lines.Text())
			}
		}()
	}
}

// three is a cluster of three nodes that run, each of which has a file with its
// process's number in dir.
func three(t *testing.T, dir string) Cluster {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	signal := func(name string) []string {
		return []string{"sh", "-c", "kill -s " + name + ` $(cat "$0")`, filepath.Join(dir, "{name}.pid")}
	}
	c := Cluster{
		Name: "staging", Consent: "staging", Prefix: "rashomon/",
		Kill: signal("KILL"), Pause: signal("STOP"), Resume: signal("CONT"),
		Start: []string{"sh", "-c", `"$0" test-node "$1" >/dev/null 2>&1 & echo $! > "$2"`, binary, "{address}", filepath.Join(dir, "{name}.pid")},
		Runs:  []string{binary, "test-runs", "{address}"},
	}
	for i := range 3 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.Nodes = append(c.Nodes, Node{Name: fmt.Sprintf("db%d", i+1), Address: listener.Addr().String()})
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h := newHand(c, cluster.Names(3))
	t.Cleanup(func() {
		for _, name := range cluster.Names(3) {
			_ = h.carryOut(kill, name)
		}
	})
	for _, name := range cluster.Names(3) {
		if err := h.carryOut(start, name); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// answers returns nil if the node does what it is asked.
func answers(address string) error {
	const patience = 500 * time.Millisecond
	connection, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(connection, "hello"); err != nil {
		return err
	}
	_, err = bufio.NewReader(connection).ReadString('\n')
	return err
}

func eventuallyAnswer(t *testing.T, c Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for _, node := range c.Nodes {
		for {
			err := answers(node.Address)
			if err == nil {
				break
			}
			select {
			case <-poll.C:
			case <-ctx.Done():
				t.Fatalf("%s does not answer: %v", node.Name, err)
			}
		}
	}
}

func spec(logs string) cluster.Spec {
	return cluster.Spec{Nodes: cluster.Names(3), Logs: logs, Program: func(cluster.Place) cluster.Program { return cluster.Program{} }}
}

func build(t *testing.T, c Cluster) *attached {
	t.Helper()
	built, err := World(c).Build(t.Context(), spec(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { built.Close() })
	for _, name := range built.Nodes() {
		if err := built.Start(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	return built.(*attached)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Each fault does what it says, healing undoes it, and Close undoes what is left.
func TestFaults(t *testing.T) {
	c := three(t, t.TempDir())
	a := build(t, c)
	ctx := t.Context()
	first, second := c.Nodes[0].Address, c.Nodes[1].Address

	must(t, a.Kill(ctx, "n1"))
	must(t, a.Kill(ctx, "n1"))
	if answers(first) == nil || a.State("n1") != cluster.Down {
		t.Errorf("a killed node answers, or is %s", a.State("n1"))
	}
	if err := a.Pause(ctx, "n1"); err == nil {
		t.Error("a killed node was paused")
	}
	must(t, a.Start(ctx, "n1"))
	if err := answers(first); err != nil || a.State("n1") != cluster.Running {
		t.Errorf("%v; it is %s", err, a.State("n1"))
	}
	if err := a.Start(ctx, "n1"); err == nil {
		t.Error("a node that runs was started")
	}

	must(t, a.Pause(ctx, "n2"))
	must(t, a.Pause(ctx, "n2"))
	for answers(second) == nil && t.Context().Err() == nil { // kill does not wait until the last thread has stopped
	}
	if a.State("n2") != cluster.Paused {
		t.Errorf("a paused node is %s", a.State("n2"))
	}
	must(t, a.Resume(ctx, "n2"))
	must(t, a.Resume(ctx, "n2"))
	if err := answers(second); err != nil || a.State("n2") != cluster.Running {
		t.Errorf("%v; it is %s", err, a.State("n2"))
	}

	must(t, a.Kill(ctx, "n1"))
	must(t, a.Pause(ctx, "n2"))
	must(t, a.Pause(ctx, "n3"))
	must(t, a.Kill(ctx, "n3"))
	must(t, a.Close())
	must(t, a.Close())
	eventuallyAnswer(t, c)
}

// breakAndWait is the harness that is killed: it does one fault after the other.
func breakAndWait(file, logs string) {
	c, err := Read(file)
	if err != nil {
		panic(err)
	}
	c.Consent = c.Name
	a, err := World(c).Build(context.Background(), spec(logs))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for _, name := range a.Nodes() {
		if err := a.Start(ctx, name); err != nil {
			panic(err)
		}
	}
	fmt.Println("attached")
	for {
		if err := errors.Join(a.Kill(ctx, "n1"), a.Pause(ctx, "n2"), a.Kill(ctx, "n3"), a.Start(ctx, "n1"), a.Resume(ctx, "n2"), a.Start(ctx, "n3")); err != nil {
			panic(err)
		}
	}
}

// Whenever the harness is killed, all nodes run again.
func TestKilledHarness(t *testing.T) {
	for range 5 {
		moment := time.Duration(rand.IntN(400)) * time.Millisecond
		t.Run(moment.String(), func(t *testing.T) {
			dir, logs := t.TempDir(), t.TempDir()
			c := three(t, dir)
			file := filepath.Join(dir, "staging.json")
			write(t, file, c)
			harness := exec.Command(os.Args[0], "test-harness", file, logs)
			harness.Stderr = t.Output()
			stdout, err := harness.StdoutPipe()
			must(t, err)
			must(t, harness.Start())
			if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "attached\n" {
				t.Fatalf("the harness began with %q, %v", line, err)
			}
			<-time.After(moment)
			must(t, harness.Process.Kill())
			_ = harness.Wait()
			guardianEnds(t, filepath.Join(logs, "attach.log"))
			eventuallyAnswer(t, c)
		})
	}
}

// guardianEnds waits until nobody has the guardian's log any more, and returns when
// all is undone.
func guardianEnds(t *testing.T, log string) {
	t.Helper()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("looking for the guardian needs /proc")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		held := false
		links, _ := filepath.Glob("/proc/[0-9]*/fd/2")
		for _, link := range links {
			path, _ := os.Readlink(link)
			held = held || path == log
		}
		if !held {
			break
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatal("the guardian has not ended")
		}
	}
	if said, err := os.ReadFile(log); err != nil || len(said) > 0 {
		t.Errorf("the guardian said %q, %v", said, err)
	}
}

// Who kills the guardian gets errors, and the cluster back.
func TestKilledGuardian(t *testing.T) {
	c := three(t, t.TempDir())
	a := build(t, c)
	must(t, a.Kill(t.Context(), "n1"))
	must(t, a.Pause(t.Context(), "n2"))
	must(t, a.guardian.process.Process.Kill())
	<-a.guardian.read
	if err := a.Kill(t.Context(), "n3"); !errors.Is(err, errGone) {
		t.Errorf("got %v, want %v", err, errGone)
	}
	must(t, a.Close())
	eventuallyAnswer(t, c)
}
