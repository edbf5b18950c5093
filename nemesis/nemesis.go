// Package nemesis holds the faults that a trial injects, one file a family,
// and the schedule that says when.
//
// # Faults
//
// A family is a kind of fault: partition, kill, latency. A shape is how the
// victims of one fault are chosen: the leader, a minority, a ring. Every shape
// is a pure function of the cluster's nodes in some order; whom it hits is
// decided by the order alone. The schedule draws a random order for each fault,
// and when the time has come, the shapes that aim at the leader get it with the
// leader in front, and those that spare it with the leader at the end. So one
// schedule fits every system, although each has another leader by then. In a system
// that has no leader, ever, they hit random nodes, and their names say so: random,
// random-minority. At the end of a fault at the leader, just before it is healed, the
// system is asked who leads then: a fault that nobody else came to lead under was too
// short. A mode is a way to do it to them: cut silently, jump, drift.
// It draws how bad the fault is, and is planned with it, since what happened is
// to be compared between systems and repeated.
//
// # Schedule
//
// A plan is made before the first fault, as a pure function of seed, nodes,
// duration and what the world can inject, and several systems can be tried under
// the very same one. Three
// decisions make that plan find bugs in a short time:
//
//   - Families take turns, in rounds of random order, instead of being drawn
//     independently, so that even a few faults include every family.
//   - Two of three faults of a family aim at the leader, alone or with others,
//     and the first one does: the weakness of most systems is what a leader
//     does that no longer is one.
//   - Lengths are spread around election time-outs, shorter and longer. Those
//     of faults that aim at the leader tend to be longer, because it must be
//     replaced before it can be wrong.
//
// # Healing
//
// Whatever happens (the context ends, an action fails, something panics), Play
// undoes its faults, then makes every link healthy, every clock right and every
// node run. What it cannot heal is its error.
//
// Faults may overlap. What a link has is computed from all faults in force on
// it: cut while one of them cuts it, silently if one does so silently, and with
// the delays and losses of all together. So healing one takes its own part away
// and no other's. A node's clock is the last fault's in force; kills and pauses
// take only nodes that run.
package nemesis

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
)

// DefaultInterval is the Interval of a Schedule that sets none: seven faults in
// ten seconds, most of them longer than an election of some hundred milliseconds.
const DefaultInterval = 1500 * time.Millisecond

// A Schedule is the nemesis that injects faults in seeded random order. Its
// zero value injects none. Make one with Parse, or with Partitions, Kills and
// the other families' functions, With, and Combine.
type Schedule struct {
	// Interval is the mean time from the beginning of one fault to that of the
	// next; zero means DefaultInterval. Faults last between a sixth and one and
	// a half of it, twice that if they overlap.
	Interval time.Duration
	// Overlap lets faults last longer than until the next one begins.
	Overlap bool

	picks []pick
}

// None injects nothing.
func None() Schedule { return Schedule{} }

// Partitions draws from partitions of these shapes, or of all if there are
// none: "leader", "bridge:reset", "rooms:n1,n2/n3,n4,n5". It panics if there is
// no such shape; List names them.
func Partitions(shapes ...string) Schedule { return must(&partition, shapes) }

// Rooms cuts machine rooms off from each other, again and again: with
// {n1 n2 n3} and {n4 n5}, five nodes in two rooms show what CAP is about, since one
// room has a majority and the other one has none. A node in no room keeps all its
// links. It panics if there are fewer than two rooms, or one node is in two.
func Rooms(rooms ...[]cluster.Node) Schedule {
	var names []string
	for _, room := range rooms {
		names = append(names, strings.Join(room, ","))
	}
	return Partitions(roomsPrefix + strings.Join(names, "/"))
}

// Kills draws from kills with restart of nodes in these roles, or in all if
// there are none: "leader", "majority", "leader@redis-server". It panics if
// there is no such role.
func Kills(roles ...string) Schedule { return must(&kill, roles) }

// Pauses is as Kills, with pauses.
func Pauses(roles ...string) Schedule { return must(&pause, roles) }

// Latency draws from delays of links in these shapes, or in all if there are
// none: "leader", "minority". It panics if there is no such shape.
func Latency(shapes ...string) Schedule { return must(&latency, shapes) }

// Loss is as Latency, with packets lost.
func Loss(shapes ...string) Schedule { return must(&loss, shapes) }

// Flaky is as Latency, with packets delayed, lost, reordered, duplicated and
// corrupted.
func Flaky(shapes ...string) Schedule { return must(&flaky, shapes) }

// Slow is as Latency, with throughput bounded.
func Slow(shapes ...string) Schedule { return must(&slow, shapes) }

// Clocks draws from wrong wall clocks of nodes in these roles, going wrong in
// these ways, or in all if there are none: "leader", "jump", "leader:strobe".
// It panics if there is no such role or way.
func Clocks(roles ...string) Schedule { return must(&clock, roles) }

// With draws from a user's own families, in all their shapes. It panics if one of them
// is not sound, and says why. For some shapes, or with words of the built-in families,
// see Parse.
func With(own ...Family) Schedule {
	all, err := families(own)
	if err != nil {
		panic("nemesis: " + err.Error())
	}
	var s Schedule
	for _, f := range all[len(builtin):] {
		s.add(everything(f))
	}
	return s
}

func must(family *Family, shapes []string) Schedule {
	if len(shapes) == 0 {
		shapes = []string{""}
	}
	var s Schedule
	for _, name := range shapes {
		word := strings.TrimSuffix(family.Name+":"+name, ":")
		if strings.HasPrefix(name, "@") {
			word = family.Name + name
		}
		if strings.HasPrefix(name, roomsPrefix) && family == &partition {
			word = name
		}
		p, err := parseWord(word, builtin)
		if err != nil {
			panic("nemesis: " + err.Error())
		}
		s.add(p)
	}
	return s
}

// Combine draws from the faults of all schedules. Interval is the first one
// that is set; faults overlap if they do in one of them.
func Combine(schedules ...Schedule) Schedule {
	var all Schedule
	for _, s := range schedules {
		if all.Interval == 0 {
			all.Interval = s.Interval
		}
		all.Overlap = all.Overlap || s.Overlap
		for _, p := range s.picks {
			all.add(p)
		}
	}
	return all
}

// add leaves the picks of s alone, which other schedules may share.
func (s *Schedule) add(p pick) {
	if !slices.ContainsFunc(s.picks, func(q pick) bool { return q.word == p.word }) {
		s.picks = append(slices.Clip(s.picks), p)
	}
}

// families are the names of all: the built-in ones in their order, then those of picks.
func (s Schedule) families() (names []string) {
	for _, f := range builtin {
		names = append(names, f.Name)
	}
	for _, p := range s.picks {
		if !slices.Contains(names, p.family.Name) {
			names = append(names, p.family.Name)
		}
	}
	return names
}

// Name is the text from which Parse makes this schedule.
func (s Schedule) Name() string {
	if len(s.picks) == 0 {
		return "none"
	}
	var words []string
	for _, p := range s.picks {
		words = append(words, p.word)
	}
	if s.Overlap {
		words = append(words, "overlap")
	}
	return strings.Join(words, ",")
}

// Play implements harness.Nemesis. It lasts for stage.Duration.
func (s Schedule) Play(ctx context.Context, stage harness.Stage) error {
	refused := refusal(ctx, stage)
	s.picks = slices.DeleteFunc(slices.Clone(s.picks), func(p pick) bool { return refused(p.injection) })
	faults, skipped, err := s.plan(stage.Cluster.Nodes(), stage.Duration, stage.Rand)
	if err != nil {
		return err
	}
	for _, event := range skipped {
		stage.Record(event)
	}
	return play(ctx, stage, faults)
}

// Needs implements harness.Nemesis.
func (s Schedule) Needs() []cluster.Fault { return needs(s.picks) }

// Possible implements harness.Nemesis.
func (s Schedule) Possible(ctx context.Context, world cluster.World, nodes []cluster.Node) error {
	return possible(ctx, world, nodes, s.picks)
}
