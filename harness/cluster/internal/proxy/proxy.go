package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

const (
	// maxConnections bounds the connections that a proxy carries: more than a trial
	// has clients. Others wait in the kernel's backlog, as at a busy server.
	maxConnections = 16_384
	// chunkBytes is read at once at most.
	chunkBytes = 32 << 10
	// acceptPause is before accepting again when there are too many open files.
	acceptPause = 10 * time.Millisecond
)

// A proxy carries connections to one address.
type proxy struct {
	listener    *net.TCPListener
	destination string
	route       route

	ctx    context.Context // ends with the proxy
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu   sync.Mutex
	open map[*connection]struct{}
}

// A route returns the links that a connection crosses, there and back. False
// means that nobody can tell, and that the connection must not be.
type route func(source *net.TCPConn) (there, back *link, ok bool)

func newProxy(destination string, route route) (*proxy, error) {
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, destination: destination, route: route, open: map[*connection]struct{}{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.group.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// stop resets all connections; wait returns when no trace of them is left.
func (p *proxy) stop() {
	p.cancel()
	p.listener.Close()
	p.reset(every)
}

func (p *proxy) wait() { p.group.Wait() }

func (p *proxy) accept() {
	slots := make(chan struct{}, maxConnections)
	for {
		select {
		case slots <- struct{}{}:
		case <-p.ctx.Done():
			return
		}
		source, err := p.listener.AcceptTCP()
		if err == nil {
			p.group.Go(func() {
				p.carry(source)
				<-slots
			})
			continue
		}
		<-slots
		select {
		case <-time.After(acceptPause):
		case <-p.ctx.Done():
			return
		}
	}
}

// reset resets those connections that which picks. One that is not among them yet
// sees the reason by itself, provided that the reason was there first.
func (p *proxy) reset(which func(*connection) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		if which(c) {
			c.shut(true)
		}
	}
}

func every(*connection) bool { return true }

// isReset reports whether either direction is cut by reset.
func (c *connection) isReset() bool {
	return c.there.link.current.Load().Cut == cluster.Reset || c.back.link.current.Load().Cut == cluster.Reset
}

// carry takes a connection from its acceptance to its end.
func (p *proxy) carry(source *net.TCPConn) {
	there, back, ok := p.route(source)
	if !ok {
		source.SetLinger(0)
		source.Close()
		return
	}
	there.used.Store(true)
	ctx, cancel := context.WithCancel(p.ctx)
	c := &connection{
		ctx: ctx, cancel: cancel, sockets: []*net.TCPConn{source},
		there: direction{there, newQueue()},
		back:  direction{back, newQueue()},
	}
	defer c.shut(true)
	p.mu.Lock()
	p.open[c] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.open, c)
		p.mu.Unlock()
	}()
	if p.ctx.Err() != nil { // stop may have missed it
		return
	}

	var group sync.WaitGroup
	defer group.Wait()
	over := make(chan struct{})
	group.Go(func() {
		defer close(over)
		c.there.receive(source)
	})
	destination, ok := p.dial(c, over)
	if !ok {
		c.shut(true)
		return
	}
	group.Go(func() { c.back.receive(destination) })
	group.Go(func() { c.deliver(c.there, destination, c.back) })
	group.Go(func() { c.deliver(c.back, source, c.there) })
}

// dial connects to the destination once both directions are whole, unless one
// is cut by reset or the connection is over before.
func (p *proxy) dial(c *connection, over <-chan struct{}) (*net.TCPConn, bool) {
	for {
		there, back := c.there.link.current.Load(), c.back.link.current.Load()
		if there.Cut == cluster.Reset || back.Cut == cluster.Reset {
			return nil, false
		}
		if there.Cut == cluster.Whole && back.Cut == cluster.Whole {
			break
		}
		select {
		case <-there.changed:
		case <-back.changed:
		case <-over:
			return nil, false
		case <-c.ctx.Done():
			return nil, false
		}
	}
	var dialer net.Dialer
	socket, err := dialer.DialContext(c.ctx, "tcp4", p.destination)
	if err != nil {
		return nil, false
	}
	destination := socket.(*net.TCPConn)
	return destination, c.add(destination)
}

// A connection is one that a proxy carries: two sockets, back to back.
type connection struct {
	ctx         context.Context // ends when it is shut
	cancel      context.CancelFunc
	there, back direction
	fins        atomic.Int32 // directions that have ended in good order

	mu      sync.Mutex
	sockets []*net.TCPConn
	closed  bool
}

// A direction is one of the two ways of a connection.
type direction struct {
	link  *link
	queue *queue
}

// add makes the connection close the socket when it is shut, or at once if it
// has been.
func (c *connection) add(socket *net.TCPConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		socket.Close()
		return false
	}
	c.sockets = append(c.sockets, socket)
	return true
}

// shut closes the connection at once, at both ends, and ends its goroutines. A
// reset drops what is under way, in the kernel too.
func (c *connection) shut(reset bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	c.cancel()
	c.there.queue.close()
	c.back.queue.close()
	for _, socket := range c.sockets {
		if reset {
			socket.SetLinger(0)
		}
		socket.Close()
	}
}

// receive puts on the way whatever comes out of a socket, its end included.
func (d direction) receive(from *net.TCPConn) {
	buffer := make([]byte, chunkBytes)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !d.queue.push(chunk{data: bytes.Clone(buffer[:n]), due: d.link.due()}) {
			return
		}
		if err == io.EOF {
			d.end(fin)
			return
		}
		if err != nil {
			d.end(reset)
			return
		}
	}
}

// end puts the news of an end on the way.
func (d direction) end(how end) { d.queue.push(chunk{due: d.link.due(), end: how}) }

// deliver takes what is on the way and brings it to a socket. If that is found
// broken, the news travels in the opposite direction.
func (c *connection) deliver(d direction, to *net.TCPConn, opposite direction) {
	for {
		next, ok := d.queue.pop()
		if !ok {
			return
		}
		if err := c.pass(d.link, next, to); err != nil {
			opposite.end(reset)
			return
		}
	}
}

// pass brings one chunk to a socket, when the link lets it. Its error is the
// socket's.
func (c *connection) pass(l *link, next chunk, to *net.TCPConn) error {
	for {
		n, ok := l.admit(c.ctx, next.due, len(next.data))
		if !ok {
			c.shut(true)
			return nil
		}
		switch next.end {
		case reset:
			c.shut(true)
			return nil
		case fin:
			if err := to.CloseWrite(); err != nil {
				return err
			}
			if c.fins.Add(1) == 2 {
				c.shut(false)
			}
			return nil
		}
		if _, err := to.Write(next.data[:n]); err != nil {
			return err
		}
		if next.data = next.data[n:]; len(next.data) == 0 {
			return nil
		}
	}
}
