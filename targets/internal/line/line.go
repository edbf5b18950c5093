// Package line is what the built-in targets speak: requests and replies of one
// line each, words parted by spaces, in order, over TCP.
//
// It is a protocol to read with the naked eye (and with nc), not a fast one. Its
// one subtlety is what a broken connection means: a line counts when its newline
// has arrived, so a request that could not be written whole was certainly not
// carried out, and one that was written whole and not answered may have been. Call
// tells the two apart for the harness.
package line

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/harness"
)

// MaxBytes bounds a line; a set of a million elements fits.
const MaxBytes = 16 << 20

// ErrTooLong is returned for a line of more than MaxBytes.
var ErrTooLong = fmt.Errorf("line longer than %d bytes", MaxBytes)

// A Conn is either end of a connection. One goroutine may read while another
// writes, and any may Close.
type Conn struct {
	conn   net.Conn
	reader *bufio.Reader
}

// New returns the end of a connection that is already there.
func New(conn net.Conn) *Conn {
	return &Conn{conn, bufio.NewReaderSize(conn, 16<<10)}
}

// Dial connects. Nothing has been sent if it fails, so its errors are definite.
func Dial(ctx context.Context, address string) (*Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, harness.Definite(err)
	}
	return New(conn), nil
}

// Close makes a Receive, Send or Call that hangs return.
func (c *Conn) Close() error { return c.conn.Close() }

// SetDeadline bounds Receive and Send, as net.Conn's does.
func (c *Conn) SetDeadline(t time.Time) error { return c.conn.SetDeadline(t) }

// Receive returns the words of the next line, of which there is at least one;
// empty lines are skipped. A line without its newline is io.ErrUnexpectedEOF.
func (c *Conn) Receive() ([]string, error) {
	for {
		text, err := c.next()
		if err != nil {
			return nil, err
		}
		if words := strings.Fields(text); len(words) > 0 {
			return words, nil
		}
	}
}

func (c *Conn) next() (string, error) {
	var text []byte
	for {
		part, err := c.reader.ReadSlice('\n')
		if len(text)+len(part) > MaxBytes {
			return "", ErrTooLong
		}
		text = append(text, part...)
		switch {
		case err == nil:
			return string(text), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(text) > 0:
			return "", io.ErrUnexpectedEOF
		default:
			return "", err
		}
	}
}

// Send writes lines, without their newlines, in one go.
func (c *Conn) Send(lines ...string) error {
	_, err := io.WriteString(c.conn, strings.Join(lines, "\n")+"\n")
	return err
}

// Call sends a request of these words and waits for the reply, until ctx ends.
// Its error is definite if the request cannot have been carried out. After any
// error the connection is out of step and must be closed.
func (c *Conn) Call(ctx context.Context, words ...string) ([]string, error) {
	deadline, _ := ctx.Deadline() // else the zero time: none
	if err := c.SetDeadline(deadline); err != nil {
		return nil, harness.Definite(err)
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	if err := c.Send(strings.Join(words, " ")); err != nil {
		stop()
		return nil, harness.Definite(err)
	}
	reply, err := c.Receive()
	if !stop() && err == nil {
		err = context.Cause(ctx) // the deadline in the past is set, or will be
	}
	return reply, err
}

// Serve accepts connections and hands each to handle, in a goroutine of its own,
// until ctx ends or accepting fails. It closes the listener and every connection,
// and returns when the last handle has. The end of ctx is not an error.
func Serve(ctx context.Context, listener net.Listener, handle func(context.Context, *Conn)) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("serving %s: %w", listener.Addr(), err)
		}
		handlers.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			handle(ctx, New(conn))
		})
	}
}
