package agent

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// near fails unless got is want within that much.
func near[T ~int64 | ~float64](t testing.TB, what string, got, want, within T) {
	t.Helper()
	t.Logf("%s: %v (want %v ± %v)", what, got, want, within)
	if got < want-within || got > want+within {
		t.Errorf("%s: got %v, want %v ± %v", what, got, want, within)
	}
}

// Mean and deviation of a wire's delay, by many packets in virtual time: both are
// right when the link is idle between packets, the mean always.
func TestWireDelay(t *testing.T) {
	for _, test := range []struct {
		name                  string
		jitter, gap           time.Duration
		normal                bool
		deviation, ofMeanAtMs float64
	}{
		{"constant", 0, time.Millisecond, false, 0, 0},
		{"uniform idle", 20 * time.Millisecond, 41 * time.Millisecond, false, 20 / math.Sqrt(3), 0.5},
		{"uniform busy", 20 * time.Millisecond, time.Millisecond, false, 20 / math.Sqrt(3) * math.Sqrt(2.0/3), 0.5},
		{"normal idle", 10 * time.Millisecond, 41 * time.Millisecond, true, 10, 0.5},
	} {
		w := wire{Condition: cluster.Condition{Delay: 50 * time.Millisecond, Jitter: test.jitter, Normal: test.normal}}
		now := time.Now()
		sum, squares, count := 0.0, 0.0, 0
		for end := now.Add(time.Hour); now.Before(end); now = now.Add(test.gap) {
			at, _ := w.arrival(now, 100)
			ms := float64(at.Sub(now)) / 1e6
			sum, squares, count = sum+ms, squares+ms*ms, count+1
		}
		mean := sum / float64(count)
		near(t, test.name+" mean", mean, 50, test.ofMeanAtMs)
		near(t, test.name+" deviation", math.Sqrt(max(0, squares/float64(count)-mean*mean)), test.deviation, 0.5)
	}
}

func TestWireRate(t *testing.T) {
	w := wire{Condition: cluster.Condition{BytesPerSecond: 1000}}
	now := time.Now()
	for i, want := range []time.Duration{100, 200, 300} {
		at, ok := w.arrival(now, 100)
		if got := at.Sub(now); !ok || got != want*time.Millisecond {
			t.Errorf("packet %d arrives after %v, %v; want %d ms", i, got, ok, want)
		}
	}
	if at, ok := w.arrival(now, 100); ok {
		t.Errorf("a packet that waits for more than %v is not dropped, but arrives after %v", backlog, at.Sub(now))
	}
	// However large it is, a packet finds its way through an idle wire.
	now = now.Add(time.Second)
	if at, ok := w.arrival(now, 65535); !ok || at.Sub(now) != 65535*time.Millisecond {
		t.Errorf("a large packet arrives after %v, %v", at.Sub(now), ok)
	}
}

// Whatever the condition, packets stay in order unless they are to be reordered,
// none arrives before it was sent, and no uniform delay leaves its range.
func TestWireOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		duration := func(name string) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, name))
		}
		w := wire{Condition: cluster.Condition{
			Delay:          duration("delay"),
			Jitter:         duration("jitter"),
			Normal:         rapid.Bool().Draw(t, "normal"),
			BytesPerSecond: rapid.IntRange(0, 1e6).Draw(t, "rate"),
		}}
		now := time.Now()
		var last time.Time
		for _, gap := range rapid.SliceOf(rapid.Int64Range(0, int64(2*time.Second))).Draw(t, "gaps") {
			now = now.Add(time.Duration(gap))
			at, ok := w.arrival(now, 1000)
			if !ok {
				continue
			}
			if at.Before(last) || at.Before(now) {
				t.Fatalf("sent at %v, arrives at %v, the one before at %v", now, at, last)
			}
			if after := at.Sub(now); w.BytesPerSecond == 0 && !w.Normal && after > w.Delay+w.Jitter+time.Microsecond {
				t.Fatalf("delay %v is not in %v ± %v", after, w.Delay, w.Jitter)
			}
			last = at
		}
	})
}
