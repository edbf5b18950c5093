package nemesis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// together is the condition of a link that two faults hit. The more silent cut
// wins, because a reset would not come through; delays and jitters add; shares
// combine as independent chances do; the slower rate binds. A healthy link
// changes nothing, and the order matters only to rounding.
func together(a, b cluster.Condition) cluster.Condition {
	both := cluster.Condition{
		Cut:       a.Cut,
		Delay:     a.Delay + b.Delay,
		Jitter:    a.Jitter + b.Jitter,
		Normal:    a.Normal || b.Normal,
		Loss:      either(a.Loss, b.Loss),
		Reorder:   either(a.Reorder, b.Reorder),
		Duplicate: either(a.Duplicate, b.Duplicate),
		Corrupt:   either(a.Corrupt, b.Corrupt),
		Repair:    a.Repair || b.Repair,
	}
	if a.Cut == cluster.Whole || b.Cut == cluster.Silent {
		both.Cut = b.Cut
	}
	both.BytesPerSecond = max(a.BytesPerSecond, b.BytesPerSecond)
	if a.BytesPerSecond > 0 && b.BytesPerSecond > 0 {
		both.BytesPerSecond = min(a.BytesPerSecond, b.BytesPerSecond)
	}
	return both
}

// either is the chance of one event or the other, or both.
func either(a, b float64) float64 { return a + b - a*b }

// String says how bad it is, in a few words, but not how links are cut, which
// is the fault's mode: "50ms ± 20ms, 5% lost", "3.2s ahead".
func (e Effect) String() string {
	var words []string
	say := func(format string, values ...any) { words = append(words, fmt.Sprintf(format, values...)) }
	share := func(share float64, what string) {
		if share > 0 {
			say("%.3g%% %s", 100*share, what)
		}
	}
	c := e.Condition
	switch {
	case c.Jitter > 0 && c.Normal:
		say("%v ± %v normal", c.Delay, c.Jitter)
	case c.Jitter > 0:
		say("%v ± %v", c.Delay, c.Jitter)
	case c.Delay > 0:
		say("%v", c.Delay)
	}
	share(c.Loss, "lost")
	share(c.Reorder, "reordered")
	share(c.Duplicate, "twice")
	share(c.Corrupt, "corrupt")
	if c.BytesPerSecond > 0 {
		say("%.4g KiB/s", float64(c.BytesPerSecond)/1024)
	}

	k := e.Clock
	if k.Offset != 0 {
		say("%s", away(k.Offset))
	}
	if k.Strobe > 0 {
		say("to and fro every %v", k.Strobe)
	}
	switch {
	case k.Drift > 0:
		say("%.3g%% fast", 100*k.Drift)
	case k.Drift < 0:
		say("%.3g%% slow", -100*k.Drift)
	}
	if k.Monotonic {
		say("the monotonic clock too")
	}
	return strings.Join(words, ", ")
}

func away(offset time.Duration) string {
	const day = 24 * time.Hour
	direction, size := "ahead", offset.Abs()
	if offset < 0 {
		direction = "behind"
	}
	if size >= 2*day {
		return fmt.Sprintf("%d days %s", size/day, direction)
	}
	return fmt.Sprint(size, " ", direction)
}

// record writes the effect down as data, so that it can be replayed.
func (e Effect) record(event *history.Event) {
	c := e.Condition
	c.Cut = cluster.Whole // the event's mode
	if c != (cluster.Condition{}) {
		event.Condition = &c
	}
	if e.Clock != (cluster.Clock{}) {
		event.Clock = &e.Clock
	}
}

// recordedEffect is the inverse of record. It refuses what no link or clock can
// have.
func recordedEffect(event history.Event) (e Effect, err error) {
	if c := event.Condition; c != nil {
		e.Condition = *c
		e.Condition.Cut = cluster.Whole // which the event's mode tells
		if err := c.Validate(); err != nil {
			return e, err
		}
	}
	if k := event.Clock; k != nil {
		e.Clock = *k
		if k.Strobe < 0 || !(k.Drift > -1 && k.Drift <= 1000) {
			return e, fmt.Errorf("a clock with strobe %v and drift %v (want at least 0, and more than -1)", k.Strobe, k.Drift)
		}
	}
	return e, nil
}

// logUniform draws from a range of which all orders of magnitude are as likely.
func logUniform(rng *rand.Rand, low, high float64) float64 {
	return low * math.Pow(high/low, rng.Float64())
}

// logDuration is logUniform, with as many digits as one cares to read.
func logDuration(rng *rand.Rand, low, high time.Duration) time.Duration {
	return time.Duration(logUniform(rng, float64(low), float64(high))).Round(time.Millisecond)
}

// percent draws a share in whole percents.
func percent(rng *rand.Rand, low, high int) float64 {
	return float64(low+rng.IntN(high-low+1)) / 100
}
