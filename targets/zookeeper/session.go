package zookeeper

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/rashomon-io/rashomon/harness"
)

// open is the access control list of nodes that anybody may use.
var open = zk.WorldACL(zk.PermAll)

// farewell is how long a session's end may take to be told to the server.
const farewell = 100 * time.Millisecond

// A session is one of the library's connections, for one server. What the library
// does not have, it adds: contexts, and errors that tell what was never sent. The
// library would keep a request until it is connected again; here it fails.
type session struct {
	conn    *zk.Conn
	address string
	events  <-chan zk.Event // closed when the library's goroutines have ended
	calls   sync.WaitGroup

	mu     sync.Mutex
	tcp    net.Conn // the last one
	closed bool
}

var errNoSession = harness.Definite(errors.New("there is no session with the server"))

// dial waits until there is a session. Without one, nothing was asked for, so its
// errors are definite.
func dial(ctx context.Context, address string, timeout time.Duration) (*session, error) {
	// Refused is known at once, and not as silence.
	probe, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, harness.Definite(err)
	}
	s := &session{address: address, tcp: probe}
	first := probe
	dialer := func(network, address string, timeout time.Duration) (net.Conn, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if conn := first; conn != nil {
			first = nil
			return conn, nil
		}
		if s.closed {
			return nil, net.ErrClosed
		}
		s.mu.Unlock()
		conn, err := net.DialTimeout(network, address, timeout)
		s.mu.Lock()
		if err == nil {
			s.tcp = conn
			if s.closed {
				conn.Close()
			}
		}
		return conn, err
	}
	s.conn, s.events, err = zk.Connect([]string{address}, timeout, zk.WithDialer(dialer), zk.WithLogger(silent{}), zk.WithLogInfo(false))
	if err != nil {
		probe.Close()
		return nil, harness.Definite(err)
	}
	for s.conn.State() != zk.StateHasSession {
		select {
		case <-s.events: // anything that happened
		case <-ctx.Done():
			s.close()
			return nil, errNoSession
		}
	}
	return s, nil
}

type silent struct{}

func (silent) Printf(string, ...any) {}

// do carries out a call until ctx ends; the call itself ends with the session at
// the latest.
func (s *session) do(ctx context.Context, call func(*zk.Conn) error) error {
	if s.conn.State() != zk.StateHasSession {
		return errNoSession
	}
	done := make(chan error, 1)
	s.calls.Go(func() { done <- call(s.conn) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends the session, and makes calls that hang return. A server that does not
// answer is not waited for, beyond the second that the library insists on.
func (s *session) close() {
	s.mu.Lock()
	s.closed = true
	tcp := s.tcp
	s.mu.Unlock()
	cut := time.AfterFunc(farewell, func() { tcp.Close() })
	s.conn.Close()
	cut.Stop()
	tcp.Close()
	for range s.events {
	}
	s.calls.Wait()
}
