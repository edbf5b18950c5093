package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// The test binary is the agent, when it is told so.
const asAgent = "RASHOMON_TEST_AS_AGENT"

func TestMain(m *testing.M) {
	run := func() error { os.Exit(m.Run()); return nil }
	switch {
	case os.Getenv(asAgent) != "":
		run = func() error { return Main(nil) }
	case os.Getenv(asHolder) != "":
		run = holder
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var (
	nodeAddr = netip.MustParseAddr("10.99.0.1")
	peerAddr = netip.MustParseAddr("10.99.0.2")
	// peerAddrs are the addresses of as many peers, which live in one namespace.
	peerAddrs = func() (addrs []netip.Addr) {
		for addr := peerAddr; len(addrs) < 20; addr = addr.Next() {
			addrs = append(addrs, addr)
		}
		return addrs
	}()
)

// A namespace is one of the network.
type namespace struct{ handle netns.NsHandle }

// do runs f in the namespace. What f opens stays there.
func (n namespace) do(t testing.TB, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread dies with the goroutine
		err := netns.Set(n.handle)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A world is a node with its agent, and its peers, joined by a cable.
type world struct {
	node, peer namespace
	client     *Client
	agent      *exec.Cmd
}

// newWorld skips the test where the kernel or the user lacks what faults need.
func newWorld(t testing.TB, faults ...cluster.Fault) *world {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	w := &world{node: newNamespace(t), peer: newNamespace(t)}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = "eth0"
	w.node.do(t, func() error {
		err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(w.peer.handle))})
		if err != nil {
			return fmt.Errorf("veth: %w", err)
		}
		return up([]netip.Addr{nodeAddr})
	})
	w.peer.do(t, func() error { return up(peerAddrs) })

	w.startAgent(t)
	hello, err := w.client.Do(t.Context(), Request{Hello: &HelloRequest{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		if lack := hello.Lacks[fault]; lack != "" {
			t.Skipf("no fault %s here: %s", fault, lack)
		}
	}
	return w
}

func newNamespace(t testing.TB) namespace {
	t.Helper()
	type result struct {
		handle netns.NsHandle
		err    error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread()
		handle, err := netns.New()
		made <- result{handle, err}
	}()
	r := <-made
	if r.err != nil {
		t.Skipf("no network namespaces here: %v", r.err)
	}
	t.Cleanup(func() { r.handle.Close() })
	return namespace{r.handle}
}

func up(addrs []netip.Addr) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, addr := range addrs {
		address := &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(24, 32)}}
		if err := netlink.AddrAdd(eth0, address); err != nil {
			return err
		}
	}
	return errors.Join(netlink.LinkSetUp(lo), netlink.LinkSetUp(eth0))
}

// pipes is a connection to a child's standard input and output.
type pipes struct {
	io.Reader
	io.WriteCloser
}

func (w *world) startAgent(t testing.TB) {
	t.Helper()
	w.agent = exec.Command("/proc/self/exe")
	w.agent.Env = append(os.Environ(), asAgent+"=yes")
	w.agent.Stderr = os.Stderr
	in, err := w.agent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.node.do(t, w.agent.Start)
	w.client = NewClient(pipes{out, in})
	t.Cleanup(func() { w.client.Close() })
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		w.agent.Wait()
	}()
	t.Cleanup(func() {
		w.client.Close()
		select {
		case <-exited:
		case <-time.After(5 * time.Second):
			t.Error("the agent did not exit at the end of its input")
			w.agent.Process.Signal(syscall.SIGKILL)
			<-exited
		}
	})
}

// set gives the links from all peers to the node that condition.
func (w *world) set(t testing.TB, c cluster.Condition) Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	response, err := w.client.Do(ctx, Request{Links: &LinksRequest{Peers: peerAddrs, Condition: c}})
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// udp returns the node's socket, and one of a peer that writes to it.
func (w *world) udp(t testing.TB) (node *net.UDPConn, peer *net.UDPConn) {
	t.Helper()
	w.node.do(t, func() (err error) {
		node, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(nodeAddr, 0)))
		if err != nil {
			return err
		}
		raw, err := node.SyscallConn()
		if err != nil {
			return err
		}
		return errors.Join(err, raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
		}))
	})
	t.Cleanup(func() { node.Close() })
	return node, w.udpFrom(t, peerAddr, node)
}

func (w *world) udpFrom(t testing.TB, addr netip.Addr, node *net.UDPConn) (peer *net.UDPConn) {
	t.Helper()
	w.peer.do(t, func() (err error) {
		from := net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))
		peer, err = net.DialUDP("udp4", from, node.LocalAddr().(*net.UDPAddr))
		return err
	})
	t.Cleanup(func() { peer.Close() })
	return peer
}

// tcp returns both ends of a connection that the peer opened.
func (w *world) tcp(t testing.TB) (node *net.TCPConn, peer *net.TCPConn) {
	t.Helper()
	listener := w.listen(t)
	conn, err := w.dial(t, listener)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	accepted, err := listener.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	return accepted, conn
}

func (w *world) listen(t testing.TB) (listener *net.TCPListener) {
	t.Helper()
	w.node.do(t, func() (err error) {
		listener, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(nodeAddr, 0)))
		return err
	})
	t.Cleanup(func() { listener.Close() })
	return listener
}

func (w *world) dial(t testing.TB, to net.Listener) (conn *net.TCPConn, failed error) {
	t.Helper()
	w.peer.do(t, func() error {
		dialer := net.Dialer{Timeout: 300 * time.Millisecond}
		var c net.Conn
		if c, failed = dialer.DialContext(t.Context(), "tcp4", to.Addr().String()); failed == nil {
			conn = c.(*net.TCPConn)
		}
		return nil
	})
	return conn, failed
}
