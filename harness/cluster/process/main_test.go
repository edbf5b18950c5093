//go:build linux || darwin

package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// The test binary is also the node that it tests, and the harness that is
// killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "test-node":
			serve(os.Args[2], os.Args[3], os.Args[4])
			return
		case "test-asker":
			reply, err := request(os.Args[2], "ping", 10*time.Second)
			fmt.Println(reply, err)
			return
		case "test-harness":
			runHarness(os.Args[2], os.Args[3])
			return
		}
	}
	os.Exit(m.Run())
}

// held are a node's connections that stay.
var held sync.Map

// serve is a node: it answers lines, at several addresses.
func serve(name, listen, peers string) {
	addresses := map[string]string{}
	for peer := range strings.FieldsSeq(peers) {
		to, address, _ := strings.Cut(peer, "=")
		addresses[to] = address
	}
	var listeners sync.WaitGroup
	for at := range strings.FieldsSeq(listen) {
		listener, err := net.Listen("tcp4", at)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		listeners.Go(func() { serveAt(listener, name, addresses) })
	}
	fmt.Println(name, "serves")
	listeners.Wait()
}

func serveAt(listener net.Listener, name string, addresses map[string]string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			defer conn.Close()
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				fmt.Fprintln(conn, answer(name, addresses, strings.Fields(lines.Text())))
			}
		}()
	}
}

func answer(name string, peers map[string]string, words []string) string {
	switch words[0] {
	case "ping":
		return "pong from " + name
	case "ask": // a peer, over the link
		reply, err := request(peers[words[1]], "ping", 10*time.Second)
		if err != nil {
			return "error: " + err.Error()
		}
		return reply
	case "hold": // a connection, which stays
		connection, err := net.Dial("tcp4", words[1])
		if err != nil {
			return "error: " + err.Error()
		}
		held.Store(words[1], connection)
		return "held"
	case "have-asked": // by a child
		reply, err := exec.Command("/proc/self/exe", "test-asker", peers[words[1]]).Output()
		if err != nil {
			return "error: " + err.Error()
		}
		return strings.TrimSpace(string(reply))
	case "put": // a value, in the data directory
		file, err := os.Create("value")
		if err == nil {
			_, err = file.WriteString(words[1])
		}
		if err == nil {
			err = file.Sync()
		}
		return fmt.Sprint(err)
	case "get":
		value, err := os.ReadFile("value")
		if err != nil {
			return err.Error()
		}
		return string(value)
	case "exit":
		status, _ := strconv.Atoi(words[1])
		fmt.Fprintf(os.Stderr, "out of luck\n\n")
		os.Exit(status)
	}
	return "what?"
}

// request asks one question on a connection of its own.
func request(address, question string, timeout time.Duration) (string, error) {
	conn, err := net.DialTimeout("tcp4", address, timeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(timeout))
	if _, err := fmt.Fprintln(conn, question); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// converse asks a question on a connection that stays.
func converse(t testing.TB, conn net.Conn, node cluster.Node) {
	t.Helper()
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err := fmt.Fprintln(conn, "ping")
	must(t, err)
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "pong from "+node+"\n" {
		t.Fatalf("%s answers %q, %v", node, line, err)
	}
}

// expectReset waits for the end of the connection.
func expectReset(t testing.TB, conn net.Conn) {
	t.Helper()
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %d bytes, %v; want a reset", n, err)
	}
}

// testProgram runs the test binary as a node.
func testProgram(place cluster.Place) cluster.Program {
	var peers []string
	for name, address := range place.Peers {
		peers = append(peers, name+"="+address)
	}
	return cluster.Program{Args: []string{"test-node", place.Node, place.Listen, strings.Join(peers, " ")}}
}

// blink is how long a test watches that nothing happens.
const blink = 30 * time.Millisecond

var silent, broken, whole = cluster.Condition{Cut: cluster.Silent}, cluster.Condition{Cut: cluster.Reset}, cluster.Condition{}

// build builds a cluster that is closed with the test.
func build(t testing.TB, nodes int, program func(cluster.Place) cluster.Program, faults ...cluster.Fault) (*loopback, string) {
	t.Helper()
	logs := t.TempDir()
	c, err := World().Build(t.Context(), cluster.Spec{Nodes: cluster.Names(nodes), Program: program, Logs: logs, Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c.(*loopback), logs
}

// start starts all nodes and waits until they serve.
func start(t testing.TB, c *loopback) {
	t.Helper()
	for _, name := range c.Nodes() {
		if err := c.Start(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range c.Nodes() {
		awaitServing(t, c, name)
	}
}

func awaitServing(t testing.TB, c *loopback, name cluster.Node) {
	t.Helper()
	eventually(t, name+" serves", func() bool {
		_, err := request(c.Address(name), "ping", time.Second)
		return err == nil
	})
}

// must ends the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(20 * time.Second); !holds(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("still not after 20 s: %s", what)
		}
	}
}

// runHarness builds, uses and closes clusters until it is killed. All its
// processes have the token in their arguments.
func runHarness(directory, token string) {
	program := func(place cluster.Place) cluster.Program {
		if place.Node == "n3" { // has a child, which Pdeathsig does not reach
			return cluster.Program{Path: "sh", Args: []string{"-c", "sleep $0 & wait", token}}
		}
		program := testProgram(place)
		program.Args = append(program.Args, token)
		return program
	}
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	var once sync.Once
	for {
		c, err := World().Build(ctx, cluster.Spec{Nodes: cluster.Names(3), Logs: directory, Program: program, Faults: []cluster.Fault{cluster.ClientFault}})
		check(err)
		for range 3 {
			for _, name := range c.Nodes() {
				check(c.Start(ctx, name))
			}
			once.Do(func() { // be looked at
				fmt.Println("up")
				bufio.NewReader(os.Stdin).ReadString('\n')
			})
			check(c.Pause(ctx, "n2"))
			check(c.Kill(ctx, "n1"))
			check(c.Kill(ctx, "n3"))
			check(c.Kill(ctx, "n2"))
		}
		check(c.Close())
	}
}
