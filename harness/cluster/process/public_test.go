//go:build linux

package process

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// publicProgram is a node whose peers call it at its further ports, for each of
// which there is a name such as "n2/gossip".
func publicProgram(place cluster.Place) cluster.Program {
	listen := []string{place.Listen}
	for _, port := range place.Ports {
		listen = append(listen, port.Listen)
	}
	var peers []string
	for name, ports := range place.Public {
		for port, address := range ports {
			peers = append(peers, name+"/"+port+"="+address)
		}
	}
	return cluster.Program{Args: []string{"test-node", place.Node, strings.Join(listen, " "), strings.Join(peers, " ")}}
}

func buildPublic(t testing.TB, program func(cluster.Place) cluster.Program, ports ...string) *loopback {
	t.Helper()
	c, err := World().Build(t.Context(), cluster.Spec{Nodes: cluster.Names(3), Ports: ports, Program: program, Logs: t.TempDir(), Faults: []cluster.Fault{cluster.ClientFault}})
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c.(*loopback)
}

// Everybody calls a node's further port at one address, and it is known all the
// same whose link that is: also a child's of a node, and after a restart. Calls of
// strangers, and of a node to itself, cross no link.
func TestPublicPortsKnowWhoCalls(t *testing.T) {
	c := buildPublic(t, publicProgram, "client", "gossip")
	start(t, c)
	ask := func(who cluster.Node, what string) string {
		t.Helper()
		reply, err := request(c.Address(who), what, 20*time.Second)
		must(t, err)
		return reply
	}
	want := func(who cluster.Node, what, reply string) {
		t.Helper()
		if got := ask(who, what); !strings.HasPrefix(got, reply) {
			t.Errorf("%s %s: %q, want %q", who, what, got, reply)
		}
	}
	all := func() {
		t.Helper()
		for _, port := range []string{"/client", "/gossip"} {
			for _, how := range []string{"ask ", "have-asked "} {
				want("n1", how+"n2"+port, "pong from n2")
				want("n3", how+"n2"+port, "pong from n2")
			}
		}
	}
	all()
	must(t, c.SetLinks(t.Context(), []cluster.Link{{From: "n1", To: "n2"}}, broken))
	for _, port := range []string{"/client", "/gossip"} {
		want("n1", "ask n2"+port, "error: ")
		if got := ask("n1", "have-asked n2"+port); !strings.Contains(got, "connection reset") { // the child's error
			t.Errorf("n1's child was answered %q", got)
		}
		want("n3", "ask n2"+port, "pong from n2")
		want("n3", "have-asked n2"+port, "pong from n2")
		want("n2", "ask n2"+port, "pong from n2")
	}
	if reply, err := request(c.nodes["n1"].place.Public["n2"]["gossip"], "ping", 10*time.Second); reply != "pong from n2" {
		t.Errorf("a stranger is answered %q, %v", reply, err)
	}
	if reply, err := request(c.PortAddress("n2", "gossip"), "ping", 10*time.Second); reply != "pong from n2" {
		t.Errorf("a client is answered %q, %v", reply, err)
	}
	must(t, c.SetLinks(t.Context(), []cluster.Link{{From: "n1", To: "n2"}}, whole))
	all()

	addresses := c.nodes["n1"].place.Public["n1"]
	must(t, c.Kill(t.Context(), "n1"))
	must(t, c.Start(t.Context(), "n1"))
	awaitServing(t, c, "n1")
	all()
	for port, address := range addresses {
		want("n3", "ask n1/"+port, "pong from n1")
		if now := c.nodes["n3"].place.Public["n1"][port]; now != address {
			t.Errorf("n1's %s has moved from %s to %s", port, address, now)
		}
	}
}

// Every port has such links, and who follows an announced address crosses them too.
func TestLinksOfClientsOfPorts(t *testing.T) {
	c := buildPublic(t, publicProgram, "peer")
	start(t, c)
	public := c.nodes["n1"].place.Ports["peer"].Public
	for _, address := range []string{c.ClientAddress("n1", "peer"), public} {
		_, err := request(address, "ping", 20*time.Second)
		must(t, err)
		must(t, c.SetLinks(t.Context(), []cluster.Link{{From: "n1", To: cluster.Clients}}, broken))
		if got, err := request(address, "ping", 20*time.Second); err == nil {
			t.Errorf("an answer over a link that is cut: %s", got)
		}
		if _, err := request(c.PortAddress("n1", "peer"), "ping", 20*time.Second); err != nil {
			t.Errorf("the harness is cut off, too: %v", err)
		}
		must(t, c.SetLinks(t.Context(), []cluster.Link{{From: "n1", To: cluster.Clients}}, whole))
	}
}

// A link that is cut silently holds back what is under way on a connection that
// was there before, in both directions by themselves.
func TestPublicPortsCutOldConnections(t *testing.T) {
	c := buildPublic(t, publicProgram, "gossip")
	start(t, c)
	asked := make(chan string, 1)
	must(t, c.SetLinks(t.Context(), []cluster.Link{{From: "n2", To: "n1"}}, silent))
	go func() {
		reply, _ := request(c.Address("n1"), "ask n2/gossip", 20*time.Second)
		asked <- reply
	}()
	select {
	case reply := <-asked:
		t.Fatalf("answered %q across a cut", reply)
	case <-time.After(blink):
	}
	must(t, c.SetLinks(t.Context(), []cluster.Link{{From: "n2", To: "n1"}}, whole))
	if reply := <-asked; reply != "pong from n2" {
		t.Errorf("answered %q after the cut", reply)
	}
}

// Real servers: a replica loses its primary with the link, and finds it again.
func TestRedisReplicatesOverPublicPorts(t *testing.T) {
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip(err)
	}
	c := buildPublic(t, func(place cluster.Place) cluster.Program {
		_, port, _ := net.SplitHostPort(place.Ports["redis"].Listen)
		args := []string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--repl-diskless-sync-delay", "0", "--repl-timeout", "3", "--repl-ping-replica-period", "1"}
		if place.Node != "n1" {
			host, port, _ := net.SplitHostPort(place.Public["n1"]["redis"])
			args = append(args, "--replicaof", host, port)
		}
		return cluster.Program{Path: server, Args: args}
	}, "redis")
	for _, node := range c.Nodes() {
		must(t, c.Start(t.Context(), node))
	}
	linked := func(node cluster.Node, status string) func() bool {
		return func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.PortAddress(node, "redis"))
			if err != nil {
				return false
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Second))
			if _, err := conn.Write([]byte("INFO replication\r\nQUIT\r\n")); err != nil {
				return false
			}
			buffer := make([]byte, 4096)
			n, _ := conn.Read(buffer)
			return strings.Contains(string(buffer[:n]), "master_link_status:"+status)
		}
	}
	eventually(t, "both replicate", func() bool { return linked("n2", "up")() && linked("n3", "up")() })
	must(t, c.SetLinks(t.Context(), []cluster.Link{{From: "n1", To: "n2"}, {From: "n2", To: "n1"}}, silent))
	eventually(t, "n2 has lost its primary", linked("n2", "down"))
	eventually(t, "n3 has not", linked("n3", "up"))
	must(t, c.SetLinks(t.Context(), []cluster.Link{{From: "n1", To: "n2"}, {From: "n2", To: "n1"}}, whole))
	eventually(t, "n2 replicates again", linked("n2", "up"))
}

// What a connection costs over the proxy of a public port, and over one that knows
// who calls.
func BenchmarkConnect(b *testing.B) {
	c := buildPublic(b, publicProgram, "gossip")
	start(b, c)
	for name, address := range map[string]string{"public": c.nodes["n1"].place.Public["n2"]["gossip"], "pair": c.nodes["n1"].place.Peers["n2"]} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := request(address, "ping", 10*time.Second); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
