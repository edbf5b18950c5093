package proxy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// blink is how long a test watches that nothing happens.
const blink = 30 * time.Millisecond

var silent, broken, whole = cluster.Condition{Cut: cluster.Silent}, cluster.Condition{Cut: cluster.Reset}, cluster.Condition{}

// A fixture is a proxy and what it leads to.
type fixture struct {
	*proxy
	there, back *link
	server      *net.TCPListener
}

func newFixture(t testing.TB) fixture {
	t.Helper()
	server, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	there, back := newLink(), newLink()
	p, err := newProxy(server.Addr().String(), func(*net.TCPConn) (*link, *link, bool) { return there, back, true })
	must(t, err)
	t.Cleanup(func() {
		p.stop()
		p.wait()
		server.Close()
	})
	return fixture{p, there, back, server}
}

// set does what SetLinks does.
func (f fixture) set(l *link, c cluster.Condition) {
	l.set(c)
	f.reset((*connection).isReset)
}

func (f fixture) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTCP("tcp4", nil, f.listener.Addr().(*net.TCPAddr))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (f fixture) accept(t testing.TB) *net.TCPConn {
	t.Helper()
	must(t, f.server.SetDeadline(time.Now().Add(20*time.Second)))
	conn, err := f.server.AcceptTCP()
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// pair is a connection that has been used both ways.
func (f fixture) pair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	client = f.dial(t)
	server = f.accept(t)
	transfer(t, client, server)
	transfer(t, server, client)
	return client, server
}

// transfer sends a few bytes and waits for them.
func transfer(t testing.TB, from, to *net.TCPConn) {
	t.Helper()
	send(t, from, "hello")
	expect(t, to, "hello")
}

func send(t testing.TB, to *net.TCPConn, text string) {
	t.Helper()
	_, err := to.Write([]byte(text))
	must(t, err)
}

func expect(t testing.TB, from *net.TCPConn, want string) {
	t.Helper()
	must(t, from.SetReadDeadline(time.Now().Add(20*time.Second)))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// expectNothing watches for a blink that neither bytes nor an end arrive.
func expectNothing(t testing.TB, from *net.TCPConn) {
	t.Helper()
	must(t, from.SetReadDeadline(time.Now().Add(blink)))
	if n, err := from.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %d bytes, %v; want silence", n, err)
	}
}

func expectEnd(t testing.TB, from *net.TCPConn, want error) {
	t.Helper()
	must(t, from.SetReadDeadline(time.Now().Add(20*time.Second)))
	if n, err := from.Read(make([]byte, 1)); !errors.Is(err, want) {
		t.Fatalf("got %d bytes, %v; want %v", n, err, want)
	}
}

// expectReset dials, and is reset while it does or soon after.
func (f fixture) expectReset(t testing.TB) {
	t.Helper()
	conn, err := net.DialTCP("tcp4", nil, f.listener.Addr().(*net.TCPAddr))
	if err == nil {
		defer conn.Close()
		expectEnd(t, conn, syscall.ECONNRESET)
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("dialling: %v", err)
	}
}

func TestSilentCutHoldsOneDirection(t *testing.T) {
	f := newFixture(t)
	client, server := f.pair(t)
	for range 3 {
		f.set(f.there, silent)
		send(t, client, "question")
		expectNothing(t, server)
		transfer(t, server, client) // the other direction is whole
		f.set(f.there, whole)
		expect(t, server, "question")

		f.set(f.back, silent)
		transfer(t, client, server)
		send(t, server, "answer")
		expectNothing(t, client)
		f.set(f.back, whole)
		expect(t, client, "answer")
	}
}

func TestSilentCutHoldsNewConnections(t *testing.T) {
	for name, which := range map[string]func(fixture) *link{
		"there": func(f fixture) *link { return f.there },
		"back":  func(f fixture) *link { return f.back },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.set(which(f), silent)
			f.dial(t).Close() // given up: never seen
			client := f.dial(t)
			send(t, client, "hello")
			must(t, f.server.SetDeadline(time.Now().Add(blink)))
			if conn, err := f.server.Accept(); err == nil {
				t.Fatalf("a connection came through the cut: %v", conn)
			}
			f.set(which(f), whole)
			expect(t, f.accept(t), "hello")
		})
	}
}

func TestSilentCutHoldsTheEnd(t *testing.T) {
	for name, test := range map[string]struct {
		linger int
		want   error
	}{
		"fin":   {-1, io.EOF},
		"reset": {0, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			client, server := f.pair(t)
			f.set(f.back, silent)
			must(t, server.SetLinger(test.linger))
			must(t, server.Close())
			expectNothing(t, client)
			f.set(f.back, whole)
			expectEnd(t, client, test.want)
		})
	}
}

// A write that meets a dead destination tells the source, though the
// destination had ended its own direction in good order.
func TestResetAfterEndTravelsBack(t *testing.T) {
	f := newFixture(t)
	client, server := f.pair(t)
	must(t, server.Close())
	expectEnd(t, client, io.EOF)
	eventually(t, "writing fails", func() bool {
		_, err := client.Write([]byte("anybody?"))
		return err != nil
	})
}

func TestHalfClose(t *testing.T) {
	f := newFixture(t)
	client := f.dial(t)
	send(t, client, "question")
	must(t, client.CloseWrite())
	server := f.accept(t)
	expect(t, server, "question")
	expectEnd(t, server, io.EOF)
	transfer(t, server, client)
	must(t, server.Close())
	expectEnd(t, client, io.EOF)
	eventually(t, "the connection is forgotten", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.open) == 0
	})
}

func TestResetCut(t *testing.T) {
	for name, which := range map[string]func(fixture) *link{
		"there": func(f fixture) *link { return f.there },
		"back":  func(f fixture) *link { return f.back },
	} {
		for before, condition := range map[string]cluster.Condition{"whole": whole, "silent": silent} {
			t.Run(name+" after "+before, func(t *testing.T) {
				f := newFixture(t)
				client, server := f.pair(t)
				f.set(which(f), condition)
				f.set(which(f), broken)
				expectEnd(t, client, syscall.ECONNRESET)
				expectEnd(t, server, syscall.ECONNRESET)
				f.expectReset(t)
				f.set(which(f), whole)
				f.pair(t)
			})
		}
	}
}

func TestDestinationRefuses(t *testing.T) {
	f := newFixture(t)
	must(t, f.server.Close())
	f.expectReset(t)
}

// Whatever happens to a link short of a reset, all bytes arrive once it is
// healed, in order.
func TestNoByteIsLostOrReordered(t *testing.T) {
	const size = 8 << 20
	f := newFixture(t)
	client, server := f.pair(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	received := make(chan [sha256.Size]byte, 2)
	for _, way := range []struct{ from, to *net.TCPConn }{{client, server}, {server, client}} {
		go func() {
			io.Copy(way.from, bytes.NewReader(data))
			way.from.CloseWrite()
		}()
		go func() {
			all, err := io.ReadAll(way.to)
			if err != nil {
				t.Error(err)
			}
			received <- sha256.Sum256(all)
		}()
	}
	conditions := []cluster.Condition{
		whole, silent,
		{Delay: 2 * time.Millisecond, Jitter: 2 * time.Millisecond},
		{BytesPerSecond: 100 << 10},
		{Delay: time.Millisecond, BytesPerSecond: 20 << 20},
	}
	for range 40 {
		f.set([]*link{f.there, f.back}[random.IntN(2)], conditions[random.IntN(len(conditions))])
		<-time.After(time.Duration(random.IntN(5000)) * time.Microsecond)
	}
	f.set(f.there, whole)
	f.set(f.back, whole)
	for range 2 {
		select {
		case got := <-received:
			if got != sha256.Sum256(data) {
				t.Error("what was received is not what was sent")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("not all bytes have arrived")
		}
	}
}

// On a busy machine anything may take longer than it should. So these tests
// never accept what is too fast, and measure again when it is too slow.

func TestDelay(t *testing.T) {
	const rounds = 40
	f := newFixture(t)
	client, server := f.pair(t)
	f.set(f.there, cluster.Condition{Delay: 8 * time.Millisecond, Jitter: 4 * time.Millisecond})
	f.set(f.back, cluster.Condition{Delay: 5 * time.Millisecond})
	eventually(t, "the mean is near 8 ms", func() bool {
		took := make([]time.Duration, rounds)
		var sum time.Duration
		for i := range took {
			began := time.Now()
			transfer(t, client, server)
			took[i] = time.Since(began)
			sum += took[i]
			began = time.Now()
			transfer(t, server, client)
			if back := time.Since(began); back < 5*time.Millisecond {
				t.Errorf("a delay of 5 ms took %v", back)
			}
		}
		mean, least, most := sum/rounds, slices.Min(took), slices.Max(took)
		t.Logf("8 ms ± 4 ms: mean %v, from %v to %v", mean, least, most)
		if least < 4*time.Millisecond || mean < 6*time.Millisecond || most-least < 4*time.Millisecond {
			t.Errorf("8 ms ± 4 ms: mean %v, from %v to %v", mean, least, most)
		}
		return mean < 10*time.Millisecond
	})
}

// A delay postpones the flow, and does not thin it.
func TestDelayDoesNotLimitThroughput(t *testing.T) {
	const delay, messages = 50 * time.Millisecond, 100
	f := newFixture(t)
	client, server := f.pair(t)
	f.set(f.there, cluster.Condition{Delay: delay})
	ticker := time.NewTicker(time.Millisecond) // so that each is a chunk
	defer ticker.Stop()
	eventually(t, "messages overlap on the way", func() bool {
		began := time.Now()
		go func() {
			for range messages {
				<-ticker.C
				client.Write([]byte("message"))
			}
		}()
		expect(t, server, string(bytes.Repeat([]byte("message"), messages)))
		took := time.Since(began)
		if took < delay {
			t.Errorf("a delay of %v took %v", delay, took)
		}
		return took < messages*delay/10
	})
}

func TestThrottle(t *testing.T) {
	const rate, each, connections = 1 << 20, 100 << 10, 3
	want := time.Duration(float64(connections*each) / rate * float64(time.Second))
	f := newFixture(t)
	f.set(f.there, cluster.Condition{BytesPerSecond: rate})
	eventually(t, "the rate is reached", func() bool {
		began := time.Now()
		done := make(chan error)
		for range connections {
			client, server := f.dial(t), f.accept(t)
			go client.Write(make([]byte, each))
			go func() {
				_, err := io.ReadFull(server, make([]byte, each))
				done <- err
			}()
		}
		for range connections {
			must(t, <-done)
		}
		took := time.Since(began)
		t.Logf("took %v, ideally %v", took, want)
		if took < want-2*burst {
			t.Errorf("%d bytes at %d a second took only %v", connections*each, rate, took)
		}
		return took < want*5/4
	})
}

// A rate so low that the next byte is an hour away does not survive its end.
func TestLiftedRateLetsGo(t *testing.T) {
	f := newFixture(t)
	client, server := f.pair(t)
	f.set(f.there, cluster.Condition{BytesPerSecond: 1})
	send(t, client, "a slow message")
	f.set(f.there, whole)
	expect(t, server, "a slow message")
}

func TestHeldBytesAreBounded(t *testing.T) {
	const much = 256 << 20
	f := newFixture(t)
	client, _ := f.pair(t)
	f.set(f.there, silent)
	must(t, client.SetWriteDeadline(time.Now().Add(500*time.Millisecond)))
	sent := 0
	for block := make([]byte, 1<<20); sent < much; {
		n, err := client.Write(block)
		sent += n
		if err != nil {
			break
		}
	}
	t.Logf("sent %d bytes into a cut link", sent)
	if sent < queueBytes || sent >= much {
		t.Errorf("a cut link took %d bytes, want %d and what the kernel holds", sent, queueBytes)
	}
}

func TestStopEndsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	f := newFixture(t)
	f.pair(t)
	f.set(f.back, silent)
	client := f.dial(t) // held
	f.stop()
	f.wait()
	expectEnd(t, client, syscall.ECONNRESET)
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })
}

func BenchmarkDirectRoundTrip(b *testing.B) {
	f := newFixture(b)
	client, err := net.DialTCP("tcp4", nil, f.server.Addr().(*net.TCPAddr))
	must(b, err)
	defer client.Close()
	roundTrips(b, client, f.accept(b))
}

func BenchmarkProxyRoundTrip(b *testing.B) {
	f := newFixture(b)
	client, server := f.pair(b)
	roundTrips(b, client, server)
}

func roundTrips(b *testing.B, client, server *net.TCPConn) {
	must(b, server.SetDeadline(time.Time{}))
	must(b, client.SetDeadline(time.Time{}))
	go io.Copy(server, server)
	message := make([]byte, 128)
	for b.Loop() {
		_, err := client.Write(message)
		must(b, err)
		_, err = io.ReadFull(client, message)
		must(b, err)
	}
}

func BenchmarkDirectThroughput(b *testing.B) {
	f := newFixture(b)
	client, err := net.DialTCP("tcp4", nil, f.server.Addr().(*net.TCPAddr))
	must(b, err)
	defer client.Close()
	throughput(b, client, f.accept(b))
}

func BenchmarkProxyThroughput(b *testing.B) {
	f := newFixture(b)
	client, server := f.pair(b)
	throughput(b, client, server)
}

func throughput(b *testing.B, client, server *net.TCPConn) {
	must(b, server.SetDeadline(time.Time{}))
	block := make([]byte, 64<<10)
	b.SetBytes(int64(len(block)))
	go func() {
		for {
			if _, err := client.Write(block); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, len(block))
	for b.Loop() {
		_, err := io.ReadFull(server, buffer)
		must(b, err)
	}
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
