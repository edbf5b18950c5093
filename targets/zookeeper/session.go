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

const (
	// farewell is how long a session's end may take to be told to the server.
	farewell = 100 * time.Millisecond
	// reconnect is the pause before another connection is tried.
	reconnect = 50 * time.Millisecond
)

// A session is one of the library's connections, for one server. What the library
// does not have, it adds: contexts, errors that tell what was never sent, and soon
// another connection when one is lost, for which the library would wait a second.
type session struct {
	address string
	conn    *zk.Conn
	events  <-chan zk.Event // closed when the library's goroutines have ended
	ended   chan struct{}   // closed by close
	calls   sync.WaitGroup

	mu  sync.Mutex
	tcp net.Conn // the last one
}

// begin asks for a session and does not wait for it. Its errors are definite, and
// refused is known at once, not as silence.
func begin(ctx context.Context, address string, timeout time.Duration) (*session, error) {
	first, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, harness.Definite(err)
	}
	s := &session{address: address, ended: make(chan struct{}), tcp: first}
	dialer := func(network, address string, timeout time.Duration) (net.Conn, error) {
		if conn := first; conn != nil {
			first = nil
			return conn, nil
		}
		return s.dial(network, address, timeout)
	}
	s.conn, s.events, err = zk.Connect([]string{address}, timeout,
		zk.WithHostProvider(only{s}), zk.WithDialer(dialer), zk.WithLogger(silent{}), zk.WithLogInfo(false))
	if err != nil {
		first.Close()
		return nil, harness.Definite(err)
	}
	return s, nil
}

func (s *session) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	select {
	case <-time.After(reconnect):
	case <-s.ended:
		return nil, net.ErrClosed
	}
	conn, err := net.DialTimeout(network, address, timeout)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tcp = conn
	if s.over() {
		conn.Close()
	}
	return conn, nil
}

// over reports whether close was called.
func (s *session) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// only is the library's list of servers, with one.
type only struct{ *session }

func (only) Init([]string) error { return nil }
func (only) Len() int            { return 1 }
func (only) Connected()          {}

// Next returns the server. True has the library wait, or end if it is to.
func (o only) Next() (string, bool) { return o.address, o.over() }

type silent struct{}

func (silent) Printf(string, ...any) {}

// await returns nil once there is a session. Without one nothing is asked for, so
// its errors are definite.
func (s *session) await(ctx context.Context) error {
	for s.conn.State() != zk.StateHasSession {
		select {
		case _, open := <-s.events: // whatever happened
			if !open {
				return harness.Definite(net.ErrClosed)
			}
		case <-ctx.Done():
			return errNoSession
		}
	}
	return nil
}

var errNoSession = harness.Definite(errors.New("there is no session with the server"))

// do carries out a call until ctx ends; the call itself ends with the session at
// the latest.
func (s *session) do(ctx context.Context, call func(*zk.Conn) error) error {
	if err := s.await(ctx); err != nil {
		return err
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
	close(s.ended)
	s.mu.Lock()
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
