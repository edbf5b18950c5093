package docker

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// Every end is told once, at once, with all that the node has said in its log; one
// that the harness brought about is not.
func TestExitedIsTold(t *testing.T) {
	logs := t.TempDir()
	var mu sync.Mutex
	var told []string
	arrived := make(chan time.Time, 10)
	c := built(t, cluster.Spec{Nodes: cluster.Names(1), Program: echo, Logs: logs, Exited: func(node cluster.Node, status string) {
		arrived <- time.Now()
		text, err := os.ReadFile(filepath.Join(logs, node, "stderr.log"))
		mu.Lock()
		defer mu.Unlock()
		told = append(told, node+": "+status)
		if strings.HasPrefix(status, "exit") && (err != nil || strings.Count(string(text), "out of luck\n") != len(told)) {
			t.Errorf("told %q, and the log has only %v\n%s", told, err, text)
		}
	}})
	live := func() {
		t.Helper()
		must(t, c.Start(t.Context(), "n1"))
		awaitServing(t, c, "n1")
	}
	awaitTold := func(since time.Time) {
		t.Helper()
		select {
		case at := <-arrived:
			if took := at.Sub(since); took > 2*time.Second {
				t.Errorf("told %v later", took)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nobody was told")
		}
	}
	for range 3 { // restarted as soon as it can be
		live()
		began := time.Now()
		request(c.Address("n1"), "exit 3", 10*time.Second)
		eventually(t, "exited", func() bool { return c.State("n1") == cluster.Exited })
		live()
		awaitTold(began)
		must(t, c.Kill(t.Context(), "n1")) // is not told
	}
	live()
	began := time.Now()
	_, err := c.engine.api.ContainerKill(t.Context(), c.nodes["n1"].target, client.ContainerKillOptions{Signal: "SIGKILL"})
	must(t, err)
	awaitTold(began)
	live()
	must(t, c.Close())
	mu.Lock()
	defer mu.Unlock()
	want := []string{"n1: exit status 3", "n1: exit status 3", "n1: exit status 3", "n1: signal: killed"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestExitForWantOfMemoryIsTold(t *testing.T) {
	told := make(chan string, 1)
	c := started(t, cluster.Spec{Nodes: cluster.Names(1), Program: echo, Exited: func(_ cluster.Node, status string) { told <- status }})
	const limit = 64 << 20 // bytes
	_, err := c.engine.api.ContainerUpdate(t.Context(), c.nodes["n1"].target, client.ContainerUpdateOptions{
		Resources: &container.Resources{Memory: limit, MemorySwap: limit},
	})
	if err != nil {
		t.Skip(err) // no memory controller
	}
	request(c.Address("n1"), "devour", 20*time.Second)
	select {
	case status := <-told:
		if status != "signal: killed, out of memory" {
			t.Errorf("told %q", status)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was told")
	}
}
