package vdso

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// readFake shows the clocks of a machine that has run for an hour.
func readFake(id int32) (time.Duration, error) {
	switch id {
	case 0, 5, 11:
		return time.Duration(time.Date(2025, 1, 1, 0, 0, 0, int(id), time.UTC).UnixNano()), nil
	}
	return time.Hour + time.Duration(id), nil
}

func TestNewSlot(t *testing.T) {
	wall := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	onlyWall := [12]int64{0: wall, 5: wall + 5, 11: wall + 11}
	both := onlyWall
	for _, id := range []int64{1, 4, 6, 7} {
		both[id] = int64(time.Hour) + id
	}
	for _, tt := range []struct {
		clock cluster.Clock
		want  slot
		err   string
	}{
		{clock: cluster.Clock{Offset: time.Second}, want: slot{Offset: 1e9, Since: onlyWall}},
		{clock: cluster.Clock{Drift: 0.5, Strobe: time.Millisecond}, want: slot{Rate: 1 << 31, Strobe: 1e6, Since: onlyWall}},
		{clock: cluster.Clock{Drift: -1, Monotonic: true}, want: slot{Rate: -1 << 32, Since: both}},
		{clock: cluster.Clock{Drift: math.NaN()}, err: "drift by NaN"},
		{clock: cluster.Clock{Drift: math.Inf(1)}, err: "drift by +Inf"},
		{clock: cluster.Clock{Drift: -101}, err: "drift by -101 (want -100 to 100)"},
		{clock: cluster.Clock{Strobe: -1}, err: "strobe every -1ns"},
		{clock: cluster.Clock{Offset: -56 * 365 * 24 * time.Hour}, err: "to the year 1969"},
		{clock: cluster.Clock{Offset: math.MaxInt64}, err: "to the year 2317"},
		{clock: cluster.Clock{Offset: math.MinInt64}, err: "to the year 1732"},
		{clock: cluster.Clock{Offset: -2 * time.Hour, Monotonic: true}, err: "below zero: it stands at 1h0m0"},
	} {
		got, err := newSlot(tt.clock, readFake)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("newSlot(%+v): %v, want %q", tt.clock, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(slot{})); err == nil && diff != "" {
			t.Errorf("newSlot(%+v): %s", tt.clock, diff)
		}
		if len(got.bytes()) != slotSize {
			t.Errorf("a slot is %d bytes, want %d", len(got.bytes()), slotSize)
		}
	}
}
