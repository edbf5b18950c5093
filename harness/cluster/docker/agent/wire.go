package agent

import (
	"math/rand/v2"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

const (
	// late is how much later a reordered packet arrives: some packets later on
	// a busy link, so that TCP takes note.
	late = 10 * time.Millisecond
	// backlog is how long a packet may wait for a slow wire. A longer queue
	// drops it, as a router's does, or else a sender would fill it for minutes.
	backlog = 200 * time.Millisecond
)

// A wire decides when the packets of one link arrive.
//
// Its rate is that of a wire that sends one packet after the other: there is no
// token bucket, because every packet passes here and none is let ahead.
//
// Its delay belongs to the link at a moment, and not to a packet. If each packet
// drew its own, then packets that stay in order would wait for the slowest of
// those before them, and a busy link would show the largest delay instead of
// the mean. So the delay glides from one independent draw to the next, in twice
// the jitter: within that time it cannot fall by more than the time itself, so no
// packet overtakes another. A packet that comes when the link was idle for so long
// gets a fresh draw. The mean is right at any rate of packets.
type wire struct {
	cluster.Condition

	free time.Time // the wire has sent off what it admitted
	last time.Time // the latest arrival of a packet that is in order

	seen     time.Time // the last packet
	leg      time.Time // when the delay left from
	from, to time.Duration
}

// arrival returns when a packet of that many bytes that was sent now arrives.
// False means never: too many wait already.
func (w *wire) arrival(now time.Time, size int) (time.Time, bool) {
	sent := now
	if w.BytesPerSecond > 0 {
		if w.free.Sub(now) > backlog {
			return time.Time{}, false
		}
		seconds := float64(size) / float64(w.BytesPerSecond)
		w.free = latest(w.free, now).Add(time.Duration(seconds * float64(time.Second)))
		sent = w.free
	}
	at := latest(sent.Add(w.delay(sent)), w.last)
	if chance(w.Reorder) {
		return at.Add(late), true
	}
	w.last = at
	return at, true
}

// delay returns the link's delay at that time, which never goes back.
func (w *wire) delay(now time.Time) time.Duration {
	if w.Jitter == 0 {
		return w.Delay
	}
	glide := 2 * w.Jitter
	gone := now.Sub(w.leg)
	if gone >= glide {
		w.from = w.to
		if now.Sub(w.seen) >= glide {
			w.from = w.draw()
		}
		w.leg, w.to, gone = now, w.draw(), 0
	}
	w.seen = now
	return w.from + time.Duration(float64(w.to-w.from)*float64(gone)/float64(glide))
}

func (w *wire) draw() time.Duration {
	x := 2*rand.Float64() - 1
	if w.Normal {
		x = rand.NormFloat64()
	}
	return max(0, w.Delay+time.Duration(x*float64(w.Jitter)))
}

func chance(share float64) bool { return share > 0 && rand.Float64() < share }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
