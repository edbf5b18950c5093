package agent

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// Probes cross the link all the time. A cut is in force when the last one
// that still arrives was sent, and healed when the first one arrives again.
func TestCutIsInForceAtOnce(t *testing.T) {
	w := newWorld(t, cluster.CutFault)
	node, peer := w.udp(t)
	base := time.Now()
	stop := make(chan struct{})
	var both sync.WaitGroup
	both.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
				var stamp [8]byte
				binary.BigEndian.PutUint64(stamp[:], uint64(time.Since(base)))
				peer.Write(stamp[:])
			}
		}
	})
	var mu sync.Mutex
	var arrivals []time.Duration // when they were sent
	both.Go(func() {
		var stamp [8]byte
		for {
			if _, err := node.Read(stamp[:]); err != nil {
				return
			}
			mu.Lock()
			arrivals = append(arrivals, time.Duration(binary.BigEndian.Uint64(stamp[:])))
			mu.Unlock()
		}
	})
	var inForce, healed []time.Duration
	for range 5 {
		time.Sleep(50 * time.Millisecond) // of healthy link
		cut := time.Since(base)
		w.set(t, cluster.Condition{Cut: cluster.Silent})
		time.Sleep(100 * time.Millisecond) // of cut
		heal := time.Since(base)
		w.set(t, cluster.Condition{})
		time.Sleep(50 * time.Millisecond)

		mu.Lock()
		last, first := cut, time.Duration(math.MaxInt64)
		for _, sent := range arrivals {
			if sent < heal {
				last = max(last, sent)
			} else {
				first = min(first, sent)
			}
		}
		mu.Unlock()
		inForce, healed = append(inForce, last-cut), append(healed, first-heal)
	}
	close(stop)
	node.Close()
	both.Wait()
	slices.Sort(inForce)
	slices.Sort(healed)
	t.Logf("in force after %v, healed after %v", inForce, healed)
	if median := inForce[len(inForce)/2]; median > 5*time.Millisecond {
		t.Errorf("a cut is in force %v after the call (median), want at most 5 ms", median)
	}
	if median := healed[len(healed)/2]; median > 20*time.Millisecond {
		t.Errorf("a cut is healed %v after the call (median), want at most 20 ms", median)
	}
}

func TestCutIsDirected(t *testing.T) {
	w := newWorld(t, cluster.CutFault)
	node, peer := w.udp(t)
	w.set(t, cluster.Condition{Cut: cluster.Silent})
	if _, err := peer.Write([]byte("vanishes")); err != nil {
		t.Errorf("the peer was told of a silent cut: %v", err)
	}
	if _, err := node.WriteTo([]byte("passes"), peer.LocalAddr()); err != nil {
		t.Error(err)
	}
	buffer := make([]byte, 100)
	peer.SetReadDeadline(time.Now().Add(time.Second))
	if _, err := peer.Read(buffer); err != nil {
		t.Errorf("the other direction is cut as well: %v", err)
	}
	node.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := node.Read(buffer); err == nil {
		t.Errorf("%q crossed a link that is cut", buffer[:n])
	}
}

func TestSilentCutSparesConnections(t *testing.T) {
	w := newWorld(t, cluster.CutFault)
	node, peer := w.tcp(t)
	w.set(t, cluster.Condition{Cut: cluster.Silent})
	if _, err := peer.Write([]byte("held")); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 4)
	node.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := node.Read(buffer); !errors.Is(err, syscall.EAGAIN) && n > 0 {
		t.Fatalf("%q crossed a link that is cut", buffer[:n])
	}
	w.set(t, cluster.Condition{})
	node.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(node, buffer); err != nil {
		t.Fatalf("the connection did not survive: %v", err)
	}
	if string(buffer) != "held" {
		t.Errorf("got %q", buffer)
	}
}

func TestResetCut(t *testing.T) {
	w := newWorld(t, cluster.CutFault)
	node, peer := w.tcp(t)
	listener := w.listen(t)
	w.set(t, cluster.Condition{Cut: cluster.Reset})

	peer.Write([]byte("x"))
	peer.SetReadDeadline(time.Now().Add(time.Second))
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer's end of the connection: %v, want a reset", err)
	}
	node.Write([]byte("x"))
	node.SetReadDeadline(time.Now().Add(time.Second))
	if _, err := node.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the node's end of the connection: %v, want a reset", err)
	}
	if _, err := w.dial(t, listener); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new connection: %v, want it refused", err)
	}
	w.set(t, cluster.Condition{})
	if conn, err := w.dial(t, listener); err != nil {
		t.Errorf("a new connection after heal: %v", err)
	} else {
		conn.Close()
	}
}

// A thousand and more draws of many links make the mean certain. The busy link's
// delay glides between draws, so that its deviation is smaller.
//
// Load can only make packets late. So none may be early, the quickest must be on
// time, and all must be there and in order, on any machine. Mean and deviation are
// judged where a processor is free; elsewhere the test says that they were not.
func TestDelay(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name      string
		condition cluster.Condition
		gap       time.Duration
		deviation time.Duration
		within    time.Duration
	}{
		{"healthy", cluster.Condition{}, 20 * ms, 0, ms},
		{"constant", cluster.Condition{Delay: 50 * ms}, 20 * ms, 0, ms},
		{"uniform, idle links", cluster.Condition{Delay: 50 * ms, Jitter: 20 * ms}, 42 * ms, 11547 * time.Microsecond, 1500 * time.Microsecond},
		{"uniform, busy links", cluster.Condition{Delay: 50 * ms, Jitter: 20 * ms}, 15 * ms, 9500 * time.Microsecond, 2 * ms},
		{"normal, idle links", cluster.Condition{Delay: 50 * ms, Jitter: 10 * ms, Normal: true}, 42 * ms, 10 * ms, 1500 * time.Microsecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, cluster.DelayFault)
			w.set(t, test.condition)
			count := int(2500 * ms / test.gap)
			busy := busyMachine(t)
			got := stream(t, w, len(peerAddrs), count, 64, test.gap)
			if want := count * len(peerAddrs); len(got) != want {
				t.Fatalf("%d of %d datagrams arrived", len(got), want)
			}
			slices.SortStableFunc(got, func(a, b datagram) int { return a.source - b.source })
			if !slices.IsSortedFunc(got, func(a, b datagram) int { return cmp.Or(a.source-b.source, a.number-b.number) }) {
				t.Error("jitter reorders datagrams")
			}
			c := test.condition
			if quickest := slices.MinFunc(got, func(a, b datagram) int { return cmp.Compare(a.after, b.after) }).after; !c.Normal {
				near(t, "quickest", quickest, c.Delay-c.Jitter+3*ms, 3*ms) // from on time to a little late
			}
			mean, deviation := mean(got), deviation(got)
			t.Logf("mean %v (want %v ± 2 ms), deviation %v (want %v ± %v)", mean, c.Delay, deviation, test.deviation, test.within)
			if (mean-c.Delay).Abs() <= 2*ms && (deviation-test.deviation).Abs() <= test.within {
				return
			}
			if busy != "" {
				t.Skipf("mean %v and deviation %v are out of range, but not judged: %s", mean, deviation, busy)
			}
			t.Error("mean or deviation is out of range")
		})
	}
}

func TestShares(t *testing.T) {
	const count = 10_000
	for _, test := range []struct {
		name      string
		condition cluster.Condition
		want      shares
	}{
		{"healthy", cluster.Condition{}, shares{}},
		{"loss", cluster.Condition{Loss: 0.1}, shares{lost: 0.1}},
		{"all lost", cluster.Condition{Loss: 1}, shares{lost: 1}},
		{"reorder", cluster.Condition{Reorder: 0.1}, shares{reordered: 0.1}},
		{"reorder with delay", cluster.Condition{Reorder: 0.1, Delay: 20 * time.Millisecond}, shares{reordered: 0.1}},
		{"duplicate", cluster.Condition{Duplicate: 0.1}, shares{duplicated: 0.1}},
		{"duplicate with delay", cluster.Condition{Duplicate: 0.1, Delay: 20 * time.Millisecond}, shares{duplicated: 0.1}},
		{"corrupt", cluster.Condition{Corrupt: 0.1}, shares{lost: 0.1}},
		{"corrupt and repair", cluster.Condition{Corrupt: 0.1, Repair: true}, shares{changed: 0.1}},
		{"flaky", cluster.Condition{Loss: 0.1, Reorder: 0.1, Corrupt: 0.1, Repair: true},
			shares{lost: 0.1, reordered: 0.09, changed: 0.09}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, cluster.LossFault)
			w.set(t, test.condition)
			got := measure(t, stream(t, w, 1, count, 1024, 200*time.Microsecond), count)
			for _, share := range []struct {
				name      string
				got, want float64
			}{
				{"lost", got.lost, test.want.lost},
				{"reordered", got.reordered, test.want.reordered},
				{"duplicated", got.duplicated, test.want.duplicated},
				{"changed", got.changed, test.want.changed},
			} {
				within := 0.015
				if share.want == 0 && test.condition.Corrupt == 0 || share.want == 1 {
					within = 0 // what is not asked for must not happen; but a flipped number counts as lost
				}
				near(t, share.name, share.got, share.want, within)
			}
		})
	}
}

func TestRate(t *testing.T) {
	w := newWorld(t, cluster.RateFault)
	const rate = 1_000_000
	w.set(t, cluster.Condition{BytesPerSecond: rate})
	got := stream(t, w, 1, 4000, 1400, 500*time.Microsecond) // 2.8 MB/s, for 2 s
	if len(got) < 1000 {
		t.Fatalf("only %d datagrams arrived", len(got))
	}
	size := 0
	for _, d := range got[1:] {
		size += d.size
	}
	seconds := got[len(got)-1].at.Sub(got[0].at).Seconds()
	near(t, "bytes per second", float64(size)/seconds, rate, rate/50)
}

// TCP mends everything but what has a right checksum.
func TestAllAtOnce(t *testing.T) {
	w := newWorld(t, cluster.DelayFault, cluster.LossFault, cluster.RateFault)
	node, peer := w.tcp(t)
	w.set(t, cluster.Condition{
		Delay: 5 * time.Millisecond, Jitter: 2 * time.Millisecond, Normal: true, BytesPerSecond: 5_000_000,
		Loss: 0.01, Reorder: 0.01, Duplicate: 0.01, Corrupt: 0.01,
	})
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(i * 7 / 3)
	}
	var sender sync.WaitGroup
	sender.Go(func() { peer.Write(sent) })
	defer sender.Wait()
	got := make([]byte, len(sent))
	begin := time.Now()
	node.SetReadDeadline(begin.Add(20 * time.Second))
	if n, err := io.ReadFull(node, got); err != nil {
		t.Errorf("%d of %d bytes arrived: %v", n, len(sent), err)
	} else if !slices.Equal(got, sent) {
		t.Error("other bytes arrived than were sent")
	}
	if took, least := time.Since(begin), 200*time.Millisecond; took < least {
		t.Errorf("took %v, at that rate it must take %v", took, least)
	}
	peer.Close() // should it still write
}

func TestHeldPackets(t *testing.T) {
	for _, test := range []struct {
		name    string
		next    cluster.Condition
		arrives bool
	}{
		{"healed", cluster.Condition{}, true},
		{"changed", cluster.Condition{Delay: time.Millisecond}, true},
		{"the same again", cluster.Condition{Delay: time.Hour}, false},
		{"cut", cluster.Condition{Cut: cluster.Silent}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, cluster.DelayFault)
			node, peer := w.udp(t)
			w.set(t, cluster.Condition{Delay: time.Hour})
			for range 100 {
				if _, err := peer.Write([]byte("held")); err != nil {
					t.Fatal(err)
				}
			}
			arrived := func(within time.Duration) (count int) {
				node.SetReadDeadline(time.Now().Add(within))
				for count < 100 {
					if _, err := node.Read(make([]byte, 4)); err != nil {
						break
					}
					count++
				}
				return count
			}
			if got := arrived(50 * time.Millisecond); got > 0 {
				t.Fatalf("%d datagrams arrived before their time", got)
			}
			w.set(t, test.next)
			want := 0
			if test.arrives {
				want = 100
			}
			if got := arrived(200 * time.Millisecond); got != want {
				t.Errorf("%d datagrams arrived, want %d", got, want)
			}
		})
	}
}

func TestQueuesOfOthers(t *testing.T) {
	w := newWorld(t, cluster.DelayFault)
	for number := range uint16(10) {
		var taken *queue
		w.node.do(t, func() (err error) {
			taken, err = openQueue(number, cluster.Condition{Delay: time.Hour}, func(err error) { t.Error(err) })
			return err
		})
		defer taken.close(true)
	}
	w.set(t, cluster.Condition{Delay: 50 * time.Millisecond})
	got := stream(t, w, 1, 1, 64, time.Millisecond)
	if len(got) != 1 || got[0].after < 50*time.Millisecond {
		t.Errorf("with some queues taken, %d datagrams arrived", len(got))
	}
}

// Without a fault of their own, the links of other peers are healthy.
func TestPeersAreApart(t *testing.T) {
	w := newWorld(t, cluster.CutFault, cluster.DelayFault)
	for i, c := range []cluster.Condition{{Cut: cluster.Silent}, {Delay: 100 * time.Millisecond}} {
		request := Request{Links: &LinksRequest{Peers: peerAddrs[i : i+1], Condition: c}}
		if _, err := w.client.Do(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	per := make([]int, len(peerAddrs))
	for _, d := range stream(t, w, len(peerAddrs), 10, 64, 10*time.Millisecond) {
		per[d.source]++
		want := time.Duration(0)
		if d.source == 1 {
			want = 100 * time.Millisecond
		}
		if d.after < want || d.after > want+50*time.Millisecond {
			t.Errorf("peer %d: a datagram took %v, want %v", d.source, d.after, want)
		}
	}
	for source, count := range per {
		if want := min(source, 1) * 10; count != want {
			t.Errorf("peer %d: %d datagrams arrived, want %d", source, count, want)
		}
	}
}

// The agent's table is gone when the agent is, another one stays.
func TestTable(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(*world)
	}{
		{"end of input", func(w *world) { w.client.Close() }},
		{"SIGTERM", func(w *world) { w.agent.Process.Signal(syscall.SIGTERM) }},
		{"SIGKILL, and the next agent", func(w *world) {
			w.agent.Process.Kill()
			w.startAgent(t)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, cluster.CutFault, cluster.DelayFault)
			w.node.do(t, func() error {
				var nft firewall
				defer nft.close()
				return nft.transact(func(conn *nftables.Conn) {
					nat := conn.AddTable(ours("nat"))
					conn.AddChain(&nftables.Chain{Name: "DOCKER_OUTPUT", Table: nat})
				})
			})
			w.set(t, cluster.Condition{Cut: cluster.Silent})
			w.set(t, cluster.Condition{Delay: time.Second})
			if got := w.tables(t); !slices.Equal(got, []string{"nat", tableName}) {
				t.Errorf("tables %q with a fault in force", got)
			}
			test.end(w)
			for deadline := time.Now().Add(5 * time.Second); ; {
				got := w.tables(t)
				if slices.Equal(got, []string{"nat"}) {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("tables %q are left", got)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

func (w *world) tables(t testing.TB) (names []string) {
	w.node.do(t, func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := conn.ListTables()
		for _, table := range tables {
			names = append(names, table.Name)
		}
		return err
	})
	slices.Sort(names)
	return names
}

func BenchmarkDelayedFlow(b *testing.B) {
	w := newWorld(b, cluster.DelayFault)
	w.set(b, cluster.Condition{Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond})
	node, peer := w.tcp(b)
	var receiver sync.WaitGroup
	receiver.Go(func() { io.Copy(io.Discard, node) })
	chunk := make([]byte, 1<<20)
	for range 64 { // until the window is open
		peer.Write(chunk)
	}
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if _, err := peer.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(chunk))*8/1e6/b.Elapsed().Seconds(), "Mbit/s")
	node.Close()
	receiver.Wait()
}

// BenchmarkSetLinks is how long a change of twenty links takes.
func BenchmarkSetLinks(b *testing.B) {
	for name, c := range map[string]cluster.Condition{
		"cut":   {Cut: cluster.Silent},
		"delay": {Delay: time.Millisecond},
	} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, cluster.CutFault, cluster.DelayFault)
			for b.Loop() {
				w.set(b, c)
				w.set(b, cluster.Condition{})
			}
		})
	}
}
