//go:build linux || darwin

package nemesis_test

import (
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
)

// The faults of links are measured by who uses the links: messages from one node
// to another and back take as long as the record says that they must, and not
// longer before and after.
func TestLinksAreMeasured(t *testing.T) {
	for _, test := range []struct {
		faults nemesis.Schedule
		bytes  int
		least  func(*history.Condition) time.Duration // of a round trip
	}{
		{nemesis.Latency("leader-out"), 1, func(c *history.Condition) time.Duration { return c.Delay / 2 }},
		{nemesis.Slow("all"), 16 << 10, func(c *history.Condition) time.Duration {
			return time.Second * (16 << 10) * 8 / 10 / time.Duration(c.BytesPerSecond)
		}},
	} {
		t.Run(test.faults.Name(), func(t *testing.T) {
			t.Parallel()
			world, links := echoes(t)
			conn, err := net.Dial("tcp4", links["n2"])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ping := func() time.Duration {
				sent := time.Now()
				message := make([]byte, test.bytes)
				if _, err := conn.Write(message); err != nil {
					t.Fatal(err)
				}
				conn.SetReadDeadline(sent.Add(10 * time.Second))
				if _, err := io.ReadFull(conn, message); err != nil {
					t.Fatal(err)
				}
				return time.Since(sent)
			}
			median := func(pings int) time.Duration {
				var took []time.Duration
				for range pings {
					took = append(took, ping())
				}
				slices.Sort(took)
				return took[pings/2]
			}

			before := median(5)
			injected, measured := make(chan *history.Condition, 1), make(chan struct{})
			var played sync.WaitGroup
			played.Go(func() {
				test.faults.Interval = time.Hour // one fault
				err := test.faults.Play(t.Context(), harness.Stage{
					Cluster: world, World: process.World(), Duration: time.Second, Rand: rand.New(rand.NewPCG(3, 3)),
					Record: func(e history.Event) {
						if e.Type == history.Inject {
							injected <- e.Condition
							<-measured // before it is healed
						}
					},
				})
				if err != nil {
					t.Error(err)
				}
			})
			condition := <-injected
			during := median(5)
			close(measured)
			played.Wait()
			after := median(5)
			t.Logf("%+v: %v, %v, %v", *condition, before, during, after)
			least := test.least(condition)
			if before > least || during < least || after > least {
				t.Errorf("a round trip took %v before, %v during and %v after a fault that costs %v", before, during, after, least)
			}
		})
	}
}

// echoes returns two nodes that send back what they get, and where the first
// reaches its peers. The test itself listens in their place.
func echoes(t *testing.T) (cluster.Cluster, map[cluster.Node]string) {
	var links map[cluster.Node]string
	nodes, err := process.World().Build(t.Context(), cluster.Spec{
		Nodes: cluster.Names(2), Logs: t.TempDir(),
		Program: func(place cluster.Place) cluster.Program {
			if place.Node == "n1" {
				links = place.Peers
			}
			return cluster.Program{Path: "sleep", Args: []string{"60"}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		if err := nodes.Close(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	for _, node := range nodes.Nodes() {
		if err := nodes.Start(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp4", nodes.Address("n2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				io.Copy(conn, conn)
			})
		}
	})
	return nodes, links
}
