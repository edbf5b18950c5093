package statistics

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/harness/history"
)

// Percentiles of cells are those of all their latencies, sorted.
func TestPercentilesOfCells(t *testing.T) {
	latency := rapid.Custom(func(t *rapid.T) time.Duration {
		about := []time.Duration{1, 2, 3, math.MaxUint32 - 1, math.MaxUint32}
		return rapid.SampledFrom(about).Draw(t, "about") + time.Duration(rapid.IntRange(0, 3).Draw(t, "more"))
	})
	rapid.Check(t, func(t *rapid.T) {
		var cells []*cell
		var all []time.Duration
		for _, latencies := range rapid.SliceOf(rapid.SliceOf(latency)).Draw(t, "cells") {
			c := &cell{}
			for _, latency := range latencies {
				c.add(&history.Operation{Outcome: history.OK, Complete: latency})
			}
			cells, all = append(cells, c), append(all, latencies...)
		}
		slices.Sort(all)
		s := service(cells, time.Second)
		if s.OK != len(all) || s.P50 != Percentile(all, 50) || s.P99 != Percentile(all, 99) {
			t.Fatalf("%+v of %v", s, all)
		}
	})
}
