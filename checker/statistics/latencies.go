package statistics

import (
	"cmp"
	"math"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A cell are the operations of a group. A latency takes four bytes, if it is below
// four seconds.
type cell struct {
	operations, failed int
	short              []uint32
	long               []time.Duration // those that are more
	longest            time.Duration
}

func (c *cell) add(o *history.Operation) {
	c.operations++
	latency := o.Complete - o.Invoke
	switch {
	case !o.Answered():
		if o.Outcome == history.Fail {
			c.failed++
		}
		return
	case 0 <= latency && latency <= math.MaxUint32:
		c.short = append(c.short, uint32(latency))
	default:
		c.long = append(c.long, latency)
	}
	c.longest = max(c.longest, latency)
}

func (c *cell) answered() int { return len(c.short) + len(c.long) }

// percentiles are of the latencies of some cells together, by nearest rank; 0 of
// nothing.
func percentiles(cells []*cell, percents map[int]*time.Duration) {
	shorts, longs := 0, 0
	for _, c := range cells {
		shorts += len(c.short)
		longs += len(c.long)
	}
	short, long := make([]uint32, 0, shorts), make([]time.Duration, 0, longs)
	for _, c := range cells {
		short, long = append(short, c.short...), append(long, c.long...)
	}
	for percent, into := range percents {
		switch place := rank(shorts+longs, percent); {
		case shorts+longs == 0:
		case place < shorts:
			*into = time.Duration(nth(short, place))
		default:
			*into = nth(long, place-shorts)
		}
	}
}

// rank is the place of a percentile among so many that are sorted.
func rank(count, percent int) int { return (count*percent+99)/100 - 1 }

// nth returns what would be at a place if all were sorted; it moves them (Hoare,
// "Algorithm 65: find", CACM 4(7), 1961).
func nth[T cmp.Ordered](all []T, place int) T {
	for low, high := 0, len(all)-1; low < high; {
		pivot := middle(all[low], all[(low+high)/2], all[high])
		i, j := low, high
		for i <= j {
			for all[i] < pivot {
				i++
			}
			for pivot < all[j] {
				j--
			}
			if i <= j {
				all[i], all[j] = all[j], all[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case place <= j:
			high = j
		case place >= i:
			low = i
		default:
			return all[place]
		}
	}
	return all[place]
}

func middle[T cmp.Ordered](a, b, c T) T { return max(min(a, b), min(max(a, b), c)) }
