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
// phase; one that was skipped or failed is not repeated.
func Replay(events []history.Event) (harness.Nemesis, error) {
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
			f, err := recorded(e)
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
func recorded(e history.Event) (fault, error) {
	f := fault{number: e.Fault, mode: e.Mode, processes: e.Processes, shape: shape{name: e.Shape, members: e.Nodes}}
	i := slices.IndexFunc(families, func(f *family) bool { return f.name == e.Family })
	if e.Fault < 1 || i < 0 {
		return f, fmt.Errorf("unknown family %q, or no number", e.Family)
	}
	f.family = families[i]
	if f.processes != "" && (f.family.on != onNodes || !isProcess.MatchString(f.processes)) {
		return f, fmt.Errorf("a %s of the processes %q alone", e.Family, e.Processes)
	}
	var err error
	if f.effect, err = recordedEffect(e); err != nil {
		return f, err
	}
	hit := victims{nodes: e.Nodes}
	for _, text := range e.Links {
		link, err := cluster.ParseLink(text)
		if err != nil {
			return f, err
		}
		hit.links = append(hit.links, link)
		f.shape.members = append(slices.Clip(f.shape.members), link.From, link.To)
	}
	if f.family == &partition {
		f.condition.Cut = cluster.Cut(e.Mode)
	}
	worsened := f.family.on == onLinks && f.family != &partition
	switch {
	case f.family.on == onLinks && len(hit.links) == 0,
		f.family == &partition && f.condition.Cut != cluster.Silent && f.condition.Cut != cluster.Reset:
		return f, fmt.Errorf("a %s of %d links with mode %q", e.Family, len(hit.links), e.Mode)
	case f.family.on != onLinks && (len(hit.nodes) == 0 || len(hit.links) > 0):
		return f, fmt.Errorf("a %s of %d nodes and %d links", e.Family, len(hit.nodes), len(hit.links))
	case worsened != (e.Condition != nil), (f.family.on == onClocks) != (e.Clock != nil):
		return f, fmt.Errorf("a %s that has no condition or clock, or one that it must not have", e.Family)
	}
	f.shape.choose = func([]cluster.Node) victims { return hit }
	return f, nil
}

// Name implements harness.Nemesis.
func (r replay) Name() string { return "replay" }

// Play implements harness.Nemesis.
func (r replay) Play(ctx context.Context, stage harness.Stage) error {
	var faults []fault
	for _, f := range supported(ctx, stage, r) {
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
func (r replay) Needs() []cluster.Fault { return needs(r) }

// Possible implements harness.Nemesis.
func (r replay) Possible(ctx context.Context, world cluster.World, nodes []cluster.Node) error {
	return possible(ctx, world, nodes, r)
}

func (f fault) of() *family    { return f.family }
func (f fault) alone() string  { return f.processes }
func (f fault) among() []shape { return []shape{f.shape} }
