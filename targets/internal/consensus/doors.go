package consensus

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// firstByteTimeout bounds how long a connection may say nothing at first.
const firstByteTimeout = 10 * time.Second

// sort accepts connections until ctx ends or accepting fails, and returns when
// it has served the last client. A connection whose first byte is a control
// character comes from a peer, since raft's messages begin with their type, a
// small number, and is passed through its door; all others are clients', and
// are served at once. The end of ctx is not an error.
func sort(ctx context.Context, listener net.Listener, peers *door, serve func(context.Context, net.Conn)) error {
	var sorters sync.WaitGroup
	defer sorters.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		conn, err := listener.Accept()
		if err != nil {
			peers.fail(err)
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("serving %s: %w", listener.Addr(), err)
		}
		sorters.Go(func() {
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			reader := bufio.NewReader(conn)
			conn.SetReadDeadline(time.Now().Add(firstByteTimeout))
			first, err := reader.Peek(1)
			if err != nil {
				conn.Close()
				return
			}
			conn.SetReadDeadline(time.Time{})
			if first[0] < ' ' {
				peers.pass(peekedConn{conn, reader})
				return
			}
			defer conn.Close()
			serve(ctx, peekedConn{conn, reader})
		})
	}
}

// A peekedConn has not lost the byte that told who is calling.
type peekedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c peekedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// A door is a net.Listener for those connections to another that come from
// peers.
type door struct {
	outer net.Listener
	conns chan net.Conn

	once sync.Once
	done chan struct{} // closed by Close or fail
	err  error         // why
}

func newDoor(outer net.Listener) *door {
	return &door{outer: outer, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (d *door) pass(conn net.Conn) {
	select {
	case d.conns <- conn:
	case <-d.done:
		conn.Close()
	}
}

func (d *door) fail(err error) {
	d.once.Do(func() {
		d.err = err
		close(d.done)
	})
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case conn := <-d.conns:
		return conn, nil
	case <-d.done:
		return nil, d.err
	}
}

func (d *door) Close() error {
	d.fail(net.ErrClosed)
	return nil
}

func (d *door) Addr() net.Addr { return d.outer.Addr() }
