package simulate

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// Lock returns a random history of one lock. Each process acquires, uses and
// gives back once or twice; a real lock is simulated with random effects inside
// the intervals, which breaks now and then. Tokens are positive.
func Lock(r *rand.Rand) []history.Operation {
	d := lock{
		Rand: r, spoil: []float64{0, 0.1, 0.4}[r.IntN(3)], fenced: []float64{0, 0.8, 1}[r.IntN(3)],
		unknown: []float64{0, 0.2}[r.IntN(2)], width: 1 + r.IntN(5),
	}
	for process := range 1 + r.IntN(4) {
		d.at = max(0, d.at-r.IntN(2*d.width))
		if r.Float64() < d.spoil {
			d.at = max(0, d.at-r.IntN(8*d.width))
		}
		for range 1 + r.IntN(2) {
			if len(d.operations) > 9 { // more keep Porcupine busy for minutes
				break
			}
			if !d.hold(process) {
				break
			}
		}
	}
	slices.SortStableFunc(d.operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return d.operations
}

// A lock is one that is simulated, and what it does wrong.
type lock struct {
	*rand.Rand
	spoil, fenced, unknown float64 // shares
	width                  int     // of an operation at most; small ones make for ties
	at                     int     // the moment of the last effect
	token                  int64
	operations             []history.Operation
}

func (l *lock) add(process int, kind history.Kind, input history.Value) *history.Operation {
	o := history.Operation{Process: process, Node: "n1", Key: "l", Kind: kind, Input: input, Outcome: history.OK}
	call := l.at
	if n := len(l.operations); n > 0 && l.operations[n-1].Process == process {
		call = max(call-l.IntN(l.width), int(l.operations[n-1].Complete))
	} else {
		call = max(call-l.IntN(l.width), 0)
	}
	l.at = max(l.at, call)
	o.Invoke, o.Complete = time.Duration(call), time.Duration(l.at+l.IntN(l.width))
	l.at += l.IntN(l.width)
	l.operations = append(l.operations, o)
	return &l.operations[len(l.operations)-1]
}

// hold acquires, uses and gives back; false if the process is not seen again.
func (l *lock) hold(process int) (again bool) {
	acquire := l.add(process, history.Acquire, history.Value{})
	l.doubt(acquire, "already held")
	if acquire.Outcome == history.Info {
		return false
	}
	l.token++
	granted := l.token
	if l.Float64() < l.spoil {
		granted = max(1, l.token-int64(l.IntN(3)))
	}
	var carried history.Value
	if acquire.Outcome == history.OK && l.Float64() < l.fenced {
		carried = history.Ints(granted)
		acquire.Output = carried
	}
	for range l.IntN(3) {
		use := l.add(process, history.Use, carried)
		if l.Float64() < l.unknown/2 {
			use.Outcome = history.Fail
		}
	}
	if l.IntN(4) == 0 {
		return false
	}
	if l.Float64() < l.spoil/2 {
		return true // without giving it back
	}
	release := l.add(process, history.Release, history.Value{})
	l.doubt(release, "refused")
	return release.Outcome != history.Info
}

// doubt makes an operation one of unknown outcome, or one that failed, now and then.
func (l *lock) doubt(o *history.Operation, refusal string) {
	if l.Float64() < l.unknown {
		o.Outcome = []history.Outcome{history.Info, history.Fail}[l.IntN(2)]
	}
	if o.Outcome == history.Fail && l.IntN(2) == 0 {
		o.Error = refusal
	}
}
