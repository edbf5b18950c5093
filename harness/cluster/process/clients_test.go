//go:build linux || darwin

package process

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// Clients lose a node, in either direction, and find it again; nobody else does.
func TestLinksOfClients(t *testing.T) {
	c, _ := build(t, 2, testProgram, cluster.ClientFault)
	start(t, c)
	client := func(node cluster.Node, timeout time.Duration) error {
		_, err := request(c.ClientAddress(node, ""), "ping", timeout)
		return err
	}
	must(t, client("n1", 20*time.Second))
	for name, link := range map[string]cluster.Link{
		"there": {From: cluster.Clients, To: "n1"},
		"back":  {From: "n1", To: cluster.Clients},
	} {
		for _, cut := range []cluster.Condition{silent, broken} {
			t.Run(name+" "+string(cut.Cut), func(t *testing.T) {
				conn, err := net.Dial("tcp4", c.ClientAddress("n1", ""))
				must(t, err)
				defer conn.Close()
				converse(t, conn, "n1")
				must(t, c.SetLinks(t.Context(), []cluster.Link{link}, cut))
				if err := client("n1", 100*time.Millisecond); err == nil {
					t.Error("a client came through the cut")
				}
				must(t, client("n2", 20*time.Second))
				if _, err := request(c.Address("n1"), "ping", 20*time.Second); err != nil {
					t.Errorf("the harness is cut off, too: %v", err)
				}
				if got, err := request(c.Address("n2"), "ask n1", 20*time.Second); got != "pong from n1" {
					t.Errorf("n2 is cut off from n1, too: %q, %v", got, err)
				}
				if cut == broken {
					expectReset(t, conn)
				}
				must(t, c.SetLinks(t.Context(), []cluster.Link{link}, whole))
				must(t, client("n1", 20*time.Second))
				if cut == silent {
					converse(t, conn, "n1")
				}
			})
		}
	}
	must(t, c.SetLinks(t.Context(), []cluster.Link{{From: cluster.Clients, To: "n1"}}, cluster.Condition{Delay: 50 * time.Millisecond}))
	began := time.Now()
	must(t, client("n1", 20*time.Second))
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("over a delay of 50 ms it took %v", took)
	}
	if err := c.SetLinks(t.Context(), []cluster.Link{{From: cluster.Clients, To: "n1"}}, cluster.Condition{Loss: 0.1}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("loss: %v", err)
	}
	must(t, c.Kill(t.Context(), "n2"))
	if err := client("n2", 20*time.Second); err == nil {
		t.Error("a node that is down has answered")
	}
}

// Who asks for no such faults has no such links.
func TestNoLinksOfClients(t *testing.T) {
	c, _ := build(t, 1, testProgram, cluster.CutFault)
	if c.ClientAddress("n1", "") != c.Address("n1") {
		t.Error("clients do not go straight to their node")
	}
	if c.SetLinks(t.Context(), []cluster.Link{{From: cluster.Clients, To: "n1"}}, silent) == nil {
		t.Error("a link was cut that is not there")
	}
}
