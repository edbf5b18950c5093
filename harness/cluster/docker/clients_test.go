package docker

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// Clients lose a node, in either direction, and find it again; nobody else does.
func TestLinksOfClients(t *testing.T) {
	c := started(t, cluster.Spec{
		Nodes: cluster.Names(2), Roles: map[cluster.Node]string{"n1": "router", "n2": "store"}, Faults: []cluster.Fault{cluster.ClientFault},
		Program: func(place cluster.Place) cluster.Program {
			program := echo(place)
			program.Env = append(program.Env, "ROLE="+place.Roles[place.Node])
			return program
		},
	})
	if c.Role("n1") != "router" || !slices.Contains(c.nodes["n2"].program.Env, "ROLE=store") {
		t.Errorf("n1 is a %q, and n2 is told %q", c.Role("n1"), c.nodes["n2"].program.Env)
	}
	client := func(node cluster.Node, timeout time.Duration) (string, error) {
		return request(c.ClientAddress(node, ""), "ping", timeout)
	}
	served := func(node cluster.Node) {
		t.Helper()
		if got, err := client(node, 20*time.Second); got != "pong from "+node {
			t.Errorf("a client of %s got %q, %v", node, got, err)
		}
	}
	served("n1")
	for _, link := range []cluster.Link{{From: cluster.Clients, To: "n1"}, {From: "n1", To: cluster.Clients}} {
		for _, cut := range []cluster.Cut{cluster.Silent, cluster.Reset} {
			must(t, c.SetLinks(t.Context(), []cluster.Link{link}, cluster.Condition{Cut: cut}))
			if got, err := client("n1", 200*time.Millisecond); err == nil {
				t.Errorf("%s, cut %s, brought a client %q", link, cut, got)
			}
			served("n2")
			expect(t, c, "n1", "ping", "pong from n1")
			expect(t, c, "n2", "ask n1", "pong from n1")
			must(t, c.SetLinks(t.Context(), []cluster.Link{link}, cluster.Condition{}))
			served("n1")
		}
	}
	must(t, c.SetLinks(t.Context(), []cluster.Link{{From: cluster.Clients, To: "n1"}}, cluster.Condition{Delay: 100 * time.Millisecond}))
	began := time.Now()
	served("n1")
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("over a delay of 100 ms it took %v", took)
	}
	if err := c.SetLinks(t.Context(), []cluster.Link{{From: cluster.Clients, To: "n1"}}, cluster.Condition{Loss: 0.1}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("loss: %v", err)
	}
	// Whoever heals everything does not know what was prepared for.
	must(t, c.SetLinks(t.Context(), []cluster.Link{{From: cluster.Clients, To: "n1"}, {From: "n1", To: "n2"}}, cluster.Condition{}))
}
