package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A replay is a nemesis that has the faults of an earlier run.
type replay []fault

// Replay returns the nemesis that does again what the events say was done: the
// same faults, as bad, to the same nodes and links, at the same times since the
// faults phase began. A fault whose healing was not recorded lasts to the end of the
// phase; one that was skipped or failed is not repeated. A user's own families are
// found among those given, by their names.
func Replay(events []history.Event, own ...Family) (harness.Nemesis, error) {
	all, err := families(own)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	start := slices.IndexFunc(events, func(e history.Event) bool {
		return e.Type == history.PhaseBegins && e.Phase == history.Faults
	})
	if start < 0 {
		return nil, errors.New("replay: these events never begin the faults phase: is this the nemesis.jsonl of a run?")
	}
	began := events[start].Time
	var faults replay
	index := map[int]int{} // of faults, by number
	for _, e := range events[start:] {
		at := max(0, e.Time-e.Took-began)
		i, known := index[e.Fault]
		switch {
		case e.Type == history.Inject && known:
			return nil, fmt.Errorf("replay: fault %d is injected twice", e.Fault)
		case e.Type == history.Inject:
			f, err := recorded(e, all)
			if err != nil {
				return nil, fmt.Errorf("replay: fault %d: %w", e.Fault, err)
			}
			f.begin, f.end = at, forever
			index[e.Fault] = len(faults)
			faults = append(faults, f)
		case e.Type == history.Heal && known && faults[i].end == forever:
			if at < faults[i].begin {
				return nil, fmt.Errorf("replay: fault %d is healed before it is injected", e.Fault)
			}
			faults[i].end = at
		}
	}
	if len(faults) == 0 {
		return nil, errors.New("replay: no fault was injected in these events")
	}
	return faults, nil
}

const forever = time.Duration(1<<63 - 1)

// recorded returns the fault that was injected, with a shape that chooses the
// same victims again.
func recorded(e history.Event, known []*Family) (fault, error) {
	f := fault{number: e.Fault, mode: e.Mode, shape: Shape{Name: e.Shape, members: e.Nodes}}
	i := slices.IndexFunc(known, func(f *Family) bool { return f.Name == e.Family })
	if e.Fault < 1 || i < 0 {
		return f, fmt.Errorf("unknown family %q, or no number; give a family of your own to Replay", e.Family)
	}
	family := known[i]
	f.injection = injection{family: family, processes: e.Processes}
	if f.processes != "" && (!family.ByProcess || !isProcess.MatchString(f.processes)) {
		return f, fmt.Errorf("a %s of the processes %q alone", e.Family, e.Processes)
	}
	var err error
	if f.Effect, err = recordedEffect(e); err != nil {
		return f, err
	}
	hit := Victims{Nodes: e.Nodes}
	for _, text := range e.Links {
		link, err := cluster.ParseLink(text)
		if err != nil {
			return f, err
		}
		hit.Links = append(hit.Links, link)
		for _, end := range []cluster.Node{link.From, link.To} {
			if end == cluster.Clients {
				f.clients = true
			} else {
				f.shape.members = append(slices.Clip(f.shape.members), end)
			}
		}
	}
	if family.Cuts {
		f.Condition.Cut = cluster.Cut(e.Mode)
	}
	switch onLinks := family.On == history.OnLinks; {
	case onLinks && len(hit.Links) == 0,
		family.Cuts && f.Condition.Cut != cluster.Silent && f.Condition.Cut != cluster.Reset:
		return f, fmt.Errorf("a %s of %d links with mode %q", e.Family, len(hit.Links), e.Mode)
	case !onLinks && (len(hit.Nodes) == 0 || len(hit.Links) > 0):
		return f, fmt.Errorf("a %s of %d nodes and %d links", e.Family, len(hit.Nodes), len(hit.Links))
	case (onLinks && !family.Cuts) != (e.Condition != nil), (family.On == history.OnClocks) != (e.Clock != nil):
		return f, fmt.Errorf("a %s that has no condition or clock, or one that it must not have", e.Family)
	}
	f.shape.Choose = func([]cluster.Node) Victims { return hit }
	return f, nil
}

// Name implements harness.Nemesis.
func (r replay) Name() string { return "replay" }

// Play implements harness.Nemesis.
func (r replay) Play(ctx context.Context, stage harness.Stage) error {
	var faults []fault
	refused := refusal(ctx, stage)
	for _, f := range r {
		if refused(f.injection) {
			continue
		}
		err := f.shape.possible(stage.Cluster.Nodes())
		if err == nil && f.begin >= stage.Duration {
			err = fmt.Errorf("it began after %v, and this faults phase is over then", f.begin)
		}
		if err != nil {
			event := f.event(history.Skip)
			event.Reason = err.Error()
			stage.Record(event)
			continue
		}
		f.end = min(f.end, stage.Duration)
		faults = append(faults, f)
	}
	return play(ctx, stage, faults)
}

// Needs implements harness.Nemesis.
func (r replay) Needs() []cluster.Fault { return needs(r.picks()) }

// Possible implements harness.Nemesis.
func (r replay) Possible(ctx context.Context, world cluster.World, nodes []cluster.Node) error {
	return possible(ctx, world, nodes, r.picks())
}

// picks are the faults as a schedule has them.
func (r replay) picks() []pick {
	var all []pick
	for _, f := range r {
		all = append(all, pick{injection: f.injection, shapes: []Shape{f.shape}})
	}
	return all
}
