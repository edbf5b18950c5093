package vdso

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A slot tells a hook how wrong the clocks are. The zero slot is right. Its
// fields are laid out as the hook reads them.
type slot struct {
	Offset int64 // ns
	Rate   int64 // added per nanosecond that passes, in 1/2³² ns
	Strobe int64 // ns that the offset applies, and then does not; 0 for always
	_      int64
	// Since is, by clock, what the right clock showed when it was set; 0 means
	// that this one stays right.
	Since [12]int64
}

const slotSize = 128

// The clocks by their numbers in Linux, which index Since.
var (
	wallClocks      = []int32{0, 5, 11}   // REALTIME, REALTIME_COARSE, TAI
	monotonicClocks = []int32{1, 4, 6, 7} // MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME
)

// maxDrift bounds a drift, in both directions: far beyond any broken crystal,
// and far from what the hook's arithmetic cannot hold within a year.
const maxDrift = 100

// newSlot starts the clock now. Read returns what a right clock shows.
func newSlot(clock cluster.Clock, read func(id int32) (time.Duration, error)) (slot, error) {
	wall, err := read(0)
	if err != nil {
		return slot{}, err
	}
	uptime, err := read(1)
	if err != nil {
		return slot{}, err
	}
	switch shown := time.Unix(0, int64(wall)).Add(clock.Offset); {
	case math.IsNaN(clock.Drift) || math.Abs(clock.Drift) > maxDrift:
		return slot{}, fmt.Errorf("a clock cannot drift by %v (want -%d to %[2]d)", clock.Drift, maxDrift)
	case clock.Strobe < 0:
		return slot{}, fmt.Errorf("a clock cannot strobe every %v (want a positive duration)", clock.Strobe)
	case shown.Unix() < 0 || shown.Year() > 2261:
		return slot{}, fmt.Errorf("a clock cannot jump by %v, to the year %d (want 1970 to 2261)", clock.Offset, shown.UTC().Year())
	case clock.Monotonic && uptime+clock.Offset < 0:
		return slot{}, fmt.Errorf("a monotonic clock cannot jump by %v below zero: it stands at %v", clock.Offset, uptime)
	}
	s := slot{
		Offset: int64(clock.Offset),
		Rate:   int64(clock.Drift * (1 << 32)),
		Strobe: int64(clock.Strobe),
	}
	ids := wallClocks
	if clock.Monotonic {
		ids = append(ids[:len(ids):len(ids)], monotonicClocks...)
	}
	for _, id := range ids {
		now, err := read(id)
		if err != nil {
			return slot{}, err
		}
		s.Since[id] = int64(now)
	}
	return s, nil
}

func (s slot) bytes() []byte {
	b, err := binary.Append(make([]byte, 0, slotSize), binary.LittleEndian, s)
	if err != nil {
		panic(err) // only a field of variable size could cause it
	}
	return b
}
