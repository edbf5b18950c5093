package proxy

import (
	"sync"
	"time"
)

const (
	// queueBytes bounds what one direction of a connection holds. Its source
	// then has to wait, as behind a full window.
	queueBytes = 4 << 20
	// chunkOverhead is what a chunk of one byte costs beside it.
	chunkOverhead = 64
)

// A queue holds the bytes that are under way in one direction of a connection.
type queue struct {
	mu      sync.Mutex
	changed sync.Cond
	chunks  []chunk
	size    int
	last    time.Time // when the youngest chunk is due
	closed  bool
}

// A chunk is bytes that were read together, or the news of the connection's
// end, which travels like bytes and behind them.
type chunk struct {
	data []byte
	due  time.Time
	end  end
}

type end int

const (
	none  end = iota
	fin       // this direction has ended
	reset     // the connection is broken
)

func newQueue() *queue {
	q := new(queue)
	q.changed.L = &q.mu
	return q
}

func (c chunk) size() int { return len(c.data) + chunkOverhead }

// push waits until there is room, and reports whether the queue is open. The
// news of an end always has room. No chunk is due before the one ahead of it.
func (q *queue) push(c chunk) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.size >= queueBytes && c.end == none && !q.closed {
		q.changed.Wait()
	}
	if q.closed {
		return false
	}
	if c.due.Before(q.last) {
		c.due = q.last
	}
	q.last = c.due
	q.chunks = append(q.chunks, c)
	q.size += c.size()
	q.changed.Signal()
	return true
}

// pop waits for the next chunk, and reports whether the queue is open.
func (q *queue) pop() (chunk, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.chunks) == 0 && !q.closed {
		q.changed.Wait()
	}
	if q.closed {
		return chunk{}, false
	}
	c := q.chunks[0]
	q.chunks[0] = chunk{} // its bytes may be collected
	q.chunks = q.chunks[1:]
	q.size -= c.size()
	q.changed.Signal()
	return c, true
}

// close drops what is under way, and ends push and pop.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.chunks = nil
	q.changed.Broadcast()
}
