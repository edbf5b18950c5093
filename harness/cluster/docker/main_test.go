package docker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// In tests, rashomon is the one of testdata, also under the race detector, whose
// programs are not static. The test binary is only the harness that is killed.
func TestMain(m *testing.M) {
	command = "github.com/rashomon-io/rashomon/harness/cluster/docker/testdata/rashomon"
	serves = true
	runsAs = func(string, string, string) error { return errors.New("it is a test's") }
	if len(os.Args) > 2 && os.Args[1] == "test-harness" {
		runHarness(os.Args[2])
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "test-supports" {
		for w := World(); len(os.Args) > 1; os.Args = os.Args[1:] { // as often as asked
			fmt.Println(w.Supports(context.Background(), cluster.KillFault))
		}
		return
	}
	os.Exit(m.Run())
}

// needEngine skips a test where there is no engine.
var needEngine = func() func(testing.TB) {
	find := sync.OnceValue(func() error {
		e, err := connect(context.Background())
		if err == nil {
			e.close()
		}
		return err
	})
	return func(t testing.TB) {
		t.Helper()
		if err := find(); err != nil {
			t.Skip(err)
		}
	}
}()

// echo runs testdata's node.
func echo(place cluster.Place) cluster.Program {
	var peers []string
	for name, address := range place.Peers {
		peers = append(peers, name+"="+address)
	}
	slices.Sort(peers)
	return cluster.Program{Args: []string{"echo", place.Node, place.Listen, strings.Join(peers, " ")}}
}

// built builds a cluster that is closed with the test.
func built(t testing.TB, spec cluster.Spec) *containers {
	t.Helper()
	needEngine(t)
	if spec.Logs == "" {
		spec.Logs = t.TempDir()
	}
	c, err := World().Build(t.Context(), spec)
	must(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c.(*containers)
}

// started also starts all nodes and waits until they serve.
func started(t testing.TB, spec cluster.Spec) *containers {
	t.Helper()
	c := built(t, spec)
	must(t, c.each(t.Context(), "start", (*node).start))
	for _, name := range c.Nodes() {
		awaitServing(t, c, name)
	}
	return c
}

func awaitServing(t testing.TB, c cluster.Cluster, name cluster.Node) {
	t.Helper()
	eventually(t, name+" serves", func() bool {
		_, err := request(c.Address(name), "ping", time.Second)
		return err == nil
	})
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

// expect asks and compares.
func expect(t testing.TB, c cluster.Cluster, name cluster.Node, question, want string) {
	t.Helper()
	if got, err := request(c.Address(name), question, 10*time.Second); got != want || err != nil {
		t.Errorf("%s answers %q with %q, %v; want %q", name, question, got, err, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(20 * time.Second); !holds(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("still not after 20 s: %s", what)
		}
	}
}
