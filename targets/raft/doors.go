package raft

import (
	"bufio"
	"context"
	"net"
	"sync"
	"time"
)

// firstByteTimeout bounds how long a connection may say nothing at first.
const firstByteTimeout = 10 * time.Second

// sort accepts connections until accepting fails, as it does when the listener
// is closed, and passes each on to one of two doors. A connection whose first
// byte is a control character comes from a peer, since raft's messages begin
// with their type, a small number; all others are clients'.
func sort(ctx context.Context, listener net.Listener, peers, clients *door) {
	var sorters sync.WaitGroup
	defer sorters.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		conn, err := listener.Accept()
		if err != nil {
			peers.fail(err)
			clients.fail(err)
			return
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
			} else {
				clients.pass(peekedConn{conn, reader})
			}
		})
	}
}

// A peekedConn has not lost the byte that told who is calling.
type peekedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c peekedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// A door is a net.Listener for some of the connections to another.
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
