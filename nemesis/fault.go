package nemesis

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// An injection is what a schedule's picks and a plan's faults have in common.
type injection struct {
	family    *Family
	processes string // hit alone, by name; empty means whole nodes
	clients   bool   // links between clients and nodes are hit
}

// requires returns what the world must be able to inject.
func (i injection) requires() []cluster.Fault {
	if i.processes != "" {
		return []cluster.Fault{cluster.SignalFault}
	}
	if i.clients {
		return append(slices.Clone(i.family.Needs), cluster.ClientFault)
	}
	return i.family.Needs
}

// unsupported returns why the world cannot inject it, in a line.
func (i injection) unsupported(ctx context.Context, world cluster.World) error {
	for _, need := range i.requires() {
		if err := world.Supports(ctx, need); err != nil {
			return errors.New(oneLine(err))
		}
	}
	return nil
}

// A pick is one word of the schedule's text: shapes of one family to draw from.
type pick struct {
	injection
	word   string
	shapes []Shape
	modes  []Mode // to draw from
}

// needs are what the world must prepare for.
func needs(picks []pick) (needs []cluster.Fault) {
	for _, p := range picks {
		for _, need := range p.requires() {
			if !slices.Contains(needs, need) {
				needs = append(needs, need)
			}
		}
	}
	return needs
}

// possible returns nil if one of the picks can be injected, or there is none; else why
// not the first.
func possible(ctx context.Context, world cluster.World, nodes []cluster.Node, picks []pick) (first error) {
	for _, p := range picks {
		err := p.unsupported(ctx, world)
		for _, shape := range p.shapes {
			impossible := cmp.Or(err, shape.possible(nodes))
			if impossible == nil {
				return nil
			}
			first = cmp.Or(first, impossible)
		}
	}
	return first
}

// refusal returns what tells whether the stage's world cannot inject something, and
// reports each family and reason once.
func refusal(ctx context.Context, stage harness.Stage) func(injection) bool {
	type skip struct{ family, reason string }
	reported := map[skip]bool{}
	return func(i injection) bool {
		why := i.unsupported(ctx, stage.World)
		if why == nil {
			return false
		}
		s := skip{i.family.Name, why.Error()}
		if !reported[s] {
			stage.Record(history.Event{Type: history.Skip, Family: s.family, Reason: s.reason})
		}
		reported[s] = true
		return true
	}
}

// A fault is one entry of a plan.
type fault struct {
	injection
	number     int // from 1
	shape      Shape
	mode       string         // of its family
	begin, end time.Duration  // since the faults phase began
	order      []cluster.Node // what shape.Choose gets, but for the leader
	hit        Victims        // known once the time has come
	leader     cluster.Node   // who led then, if that was asked and told
	leaderless bool           // the shape would have aimed at the leader, or spared it, and there is none, ever
	Effect
}

// event describes the fault, and what of it happened.
func (f fault) event(what history.EventType) history.Event {
	event := history.Event{
		Type:      what,
		Fault:     f.number,
		Family:    f.family.Name,
		Shape:     f.shape.Name,
		Mode:      f.mode,
		Nodes:     f.hit.Nodes,
		Processes: f.processes,
		Planned:   f.begin,
		Detail:    f.Effect.String(),
		NoLeader:  f.leaderless,
	}
	switch what {
	case history.Heal:
		event.Planned = f.end
	case history.Inject:
		event.Own, event.Leader = f.family.own(), f.leader
	}
	for _, link := range f.hit.Links {
		event.Links = append(event.Links, link.String())
	}
	f.Effect.record(&event)
	return event
}
