package proxy

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// burst is how far the throttle may run ahead, and how much it lets pass at a
// time: long enough for timers, short enough to look like a steady flow.
const burst = 10 * time.Millisecond

// A link is one direction between two nodes, shared by all connections that
// cross it. Its condition is one immutable value that is exchanged as a whole.
type link struct {
	current atomic.Pointer[condition]
	used    atomic.Bool // a connection has come to it
}

type condition struct {
	cluster.Condition
	changed chan struct{} // closed when another condition has taken its place

	mu   sync.Mutex
	sent time.Time // when the throttle has let pass what it admitted so far
}

func newLink() *link {
	l := new(link)
	l.current.Store(&condition{changed: make(chan struct{})})
	return l
}

func (l *link) set(c cluster.Condition) {
	old := l.current.Swap(&condition{Condition: c, changed: make(chan struct{})})
	close(old.changed)
}

// due returns when what has arrived now is to leave the link.
func (l *link) due() time.Time {
	c, now := l.current.Load(), time.Now()
	delay := c.Delay
	switch {
	case c.Jitter > 0 && c.Normal:
		delay += time.Duration(rand.NormFloat64() * float64(c.Jitter))
	case c.Jitter > 0:
		delay += time.Duration((2*rand.Float64() - 1) * float64(c.Jitter))
	}
	return now.Add(max(0, delay))
}

// admit waits until bytes that are due then may leave the link, and returns how
// many of size may: all, or as many as the throttle lets pass at once. It looks
// at the condition anew whenever that changes. False means that the connection
// must be reset, or that ctx has ended.
func (l *link) admit(ctx context.Context, due time.Time, size int) (int, bool) {
	for ctx.Err() == nil {
		c := l.current.Load()
		switch {
		case c.Cut == cluster.Reset:
			return 0, false
		case c.Cut == cluster.Silent:
			select {
			case <-c.changed:
			case <-ctx.Done():
			}
			continue
		case !c.outlasts(ctx, due):
			continue
		case c.BytesPerSecond == 0 || size == 0:
			return size, true
		}
		admitted, sent := c.throttle(size)
		if c.outlasts(ctx, sent) {
			return admitted, true
		}
	}
	return 0, false
}

// outlasts waits until a time, and reports whether neither the condition nor
// ctx ended earlier.
func (c *condition) outlasts(ctx context.Context, until time.Time) bool {
	wait := time.Until(until)
	if wait <= 0 {
		return true
	}
	select {
	case <-time.After(wait):
		return true
	case <-c.changed:
		return false
	case <-ctx.Done():
		return false
	}
}

// throttle takes up to size bytes' worth of the link's time, behind whatever
// else crosses it, and returns how many bytes and when they have passed.
func (c *condition) throttle(size int) (int, time.Time) {
	rate := float64(c.BytesPerSecond)
	size = min(size, max(1, int(rate*burst.Seconds())))
	c.mu.Lock()
	defer c.mu.Unlock()
	if earliest := time.Now().Add(-burst); c.sent.Before(earliest) {
		c.sent = earliest
	}
	c.sent = c.sent.Add(time.Duration(float64(size) / rate * float64(time.Second)))
	return size, c.sent
}
