package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A Client speaks to one agent. Its methods may be called concurrently.
type Client struct {
	conn  io.ReadWriteCloser
	lines chan []byte   // to be written
	ended chan struct{} // closed when the conversation is over
	wg    sync.WaitGroup

	mu      sync.Mutex
	id      uint64
	pending map[uint64]chan<- Response
	why     error // of the end
}

// NewClient speaks to the agent at the other end of conn, and owns conn. It
// must be closed, which tells the agent to undo everything.
func NewClient(conn io.ReadWriteCloser) *Client {
	c := &Client{
		conn:    conn,
		lines:   make(chan []byte),
		ended:   make(chan struct{}),
		pending: make(map[uint64]chan<- Response),
	}
	c.wg.Go(c.read)
	c.wg.Go(c.write)
	return c
}

// Do sends the request, whose ID it sets, and waits for its response. The error
// is why the change is not certain to be in force: the agent's own, ctx's, or
// that the connection has ended. A request whose ctx ended may still take effect.
func (c *Client) Do(ctx context.Context, request Request) (Response, error) {
	answer := make(chan Response, 1)
	c.mu.Lock()
	c.id++
	request.ID = c.id
	c.pending[request.ID] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.pending, request.ID)
		c.mu.Unlock()
	}()

	line, err := json.Marshal(request)
	if err != nil {
		return Response{}, fmt.Errorf("agent: %w", err)
	}
	select {
	case c.lines <- append(line, '\n'):
	case <-c.ended:
		return Response{}, c.why
	case <-ctx.Done():
		return Response{}, fmt.Errorf("agent: the request was not sent: %w", ctx.Err())
	}
	select {
	case response := <-answer:
		if response.Error != "" {
			return response, fmt.Errorf("agent: %s", response.Error)
		}
		return response, nil
	case <-c.ended:
		return Response{}, c.why
	case <-ctx.Done():
		return Response{}, fmt.Errorf("agent: no response: %w", ctx.Err())
	}
}

// Close ends the conversation and returns when conn is closed. Calls of Do that
// wait get an error.
func (c *Client) Close() error {
	err := c.end(errors.New("agent: the connection was closed"))
	c.wg.Wait()
	return err
}

// end closes the connection, for the first of several reasons.
func (c *Client) end(why error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != nil {
		return nil
	}
	c.why = why
	close(c.ended)
	return c.conn.Close()
}

func (c *Client) write() {
	for {
		select {
		case line := <-c.lines:
			if _, err := c.conn.Write(line); err != nil {
				c.end(fmt.Errorf("agent: the connection has ended: %w", err))
				return
			}
		case <-c.ended:
			return
		}
	}
}

func (c *Client) read() {
	lines := bufio.NewReaderSize(c.conn, maxLine)
	for {
		line, err := readLine(lines)
		if err != nil {
			c.end(fmt.Errorf("agent: the connection has ended: %w", err))
			return
		}
		var response Response
		if err := json.Unmarshal(line, &response); err != nil {
			c.end(fmt.Errorf("agent: what answers is no agent: %.80q", line))
			return
		}
		c.mu.Lock()
		if answer, found := c.pending[response.ID]; found {
			delete(c.pending, response.ID) // a second answer finds nobody
			answer <- response
		}
		c.mu.Unlock()
	}
}
