package checker

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// An occurrence is an invocation or a completion.
type occurrence struct {
	at        time.Duration
	complete  bool
	operation *history.Operation
}

// occurrences are in the order in which a Stream wants to be told.
func occurrences(operations []history.Operation) []occurrence {
	var all []occurrence
	for i := range operations {
		o := &operations[i]
		all = append(all, occurrence{o.Invoke, false, o}, occurrence{o.Complete, true, o})
	}
	slices.SortStableFunc(all, func(a, b occurrence) int {
		if c := cmp.Compare(a.at, b.at); c != 0 || a.complete == b.complete {
			return c
		}
		if a.complete {
			return 1
		}
		return -1
	})
	return all
}

// tell tells a stream until it raises an alarm, and returns of how many
// occurrences it was told.
func tell(s *Stream, all []occurrence) int {
	for i, e := range all {
		if e.complete {
			s.Complete(e.operation)
		} else {
			s.Invoke(e.operation)
		}
		if s.Alarm() != nil {
			return i + 1
		}
	}
	return len(all)
}

// prefix is what is known after some occurrences; what is under way is info.
func prefix(all []occurrence) []history.Operation {
	returned := map[*history.Operation]bool{}
	for _, e := range all {
		if e.complete {
			returned[e.operation] = true
		}
	}
	var known []history.Operation
	for _, e := range all {
		if !e.complete {
			o := *e.operation
			if !returned[e.operation] {
				o.Outcome, o.Output = history.Info, nil
			}
			known = append(known, o)
		}
	}
	return known
}

// disagreement holds a stream against Porcupine: it must raise an alarm with
// the very occurrence that makes the history so far not linearizable.
func disagreement(operations []history.Operation) (alarm *Alarm, off, problem string) {
	all := occurrences(operations)
	s := NewStream()
	told := tell(s, all)
	switch {
	case s.Alarm() == nil && s.Off() == "" && !plainPorcupine(operations):
		problem = "no alarm, but Porcupine finds no order"
	case s.Alarm() != nil && plainPorcupine(prefix(all[:told])):
		problem = fmt.Sprintf("%s at event %d, but Porcupine finds an order of what was told so far", s.Alarm(), told)
	case s.Alarm() != nil && !plainPorcupine(prefix(all[:told-1])):
		problem = fmt.Sprintf("%s at event %d comes late: Porcupine finds no order before", s.Alarm(), told)
	}
	return s.Alarm(), s.Off(), problem
}

func TestStreamAgreesWithPorcupine(t *testing.T) {
	const each = 20
	var mu sync.Mutex
	alarms, offs, anomalies := 0, 0, map[Anomaly]int{}
	n := uint64(histories(t)) * each
	var workers sync.WaitGroup
	for worker := range uint64(runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for seed := worker; seed < n && !t.Failed(); seed += uint64(runtime.GOMAXPROCS(0)) {
				operations := universe{true, 14}.draw(rand.New(rand.NewPCG(seed, 11)))
				alarm, off, problem := disagreement(operations)
				if problem != "" {
					t.Errorf("seed %d: %s\n%s", seed, problem, list(operations))
				}
				mu.Lock()
				if alarm != nil {
					alarms++
					anomalies[alarm.Anomaly]++
				}
				if off != "" {
					offs++
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	t.Logf("%d alarms in %d histories, %d times off: %v", alarms, n, offs, anomalies)
}
