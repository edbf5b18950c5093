package harness

import (
	"errors"
	"fmt"
	"time"
)

// What is kept for the end of a trial that has a deadline: to start and to heal the
// cluster, for the final operations, for the check, and to close everything.
const (
	startReserve = 5 * time.Second
	healReserve  = 5 * time.Second
	finalReserve = 5 * time.Second
	checkReserve = 5 * time.Second
	closeReserve = 5 * time.Second
)

var errOutOfTime = errors.New("the -timeout of go test is near")

// inTime returns an error if the trial cannot end before its deadline.
func (t *Trial) inTime() error {
	if t.deadline.IsZero() {
		return nil
	}
	needs := startReserve + t.Quiet + t.Duration + t.afterFaults()
	if left := time.Until(t.deadline); left < needs {
		return fmt.Errorf("trial: it needs %v or more, and go test ends it in %v: use a -timeout that is %v longer",
			needs.Round(time.Second), left.Round(time.Second), (needs - left + time.Second).Round(time.Second))
	}
	return nil
}

// afterFaults is what a trial needs at least from the moment it heals the cluster.
func (t *Trial) afterFaults() time.Duration {
	return healReserve + t.Recovery + finalReserve + checkReserve + closeReserve
}

// atMost returns the budget, or less if the trial must have ended before, and reserve
// is kept.
func (t *Trial) atMost(budget, reserve time.Duration) time.Duration {
	if t.deadline.IsZero() {
		return budget
	}
	return min(budget, time.Until(t.deadline)-reserve)
}
