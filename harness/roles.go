package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A Role is what some nodes of a system are and others are not, such as a router.
type Role struct {
	// Name is a word such as "router".
	Name string
	// Count returns how many of so many nodes have the role. Nil means those that no
	// other role has; this may be one role's only.
	Count func(nodes int) int
	// Serves means that clients are opened for the nodes of this role. If no role says
	// so, they are opened for every node.
	Serves bool
	// Ready, if not nil, returns nil once the nodes of this role, and of the roles before
	// it, are what the next role's need at their start. It is called as Target.Ready is,
	// within the same minute.
	Ready func(context.Context, cluster.Cluster) error
}

// A layout is what the roles make of the nodes.
type layout struct {
	roles   map[cluster.Node]string
	serving []cluster.Node
	stages  []stage
}

// A stage is nodes that are started together, and what is then waited for.
type stage struct {
	nodes []cluster.Node
	what  string                                       // ready is, for who reads errors
	ready func(context.Context, cluster.Cluster) error // nil: for nothing
}

// layOut gives so many nodes their roles: the first ones the first role, and so on.
func (t Target) layOut(count int) (layout, error) {
	left := cluster.Names(count)
	const whole = "the target's Ready"
	if len(t.Roles) == 0 {
		return layout{serving: left, stages: []stage{{left, whole, t.Ready}}}, nil
	}
	shares, err := t.shares(count)
	if err != nil {
		return layout{}, err
	}
	all := layout{roles: map[cluster.Node]string{}}
	anyServe := false
	for i, role := range t.Roles {
		nodes := left[:shares[i]]
		left = left[shares[i]:]
		for _, node := range nodes {
			all.roles[node] = role.Name
		}
		if role.Serves {
			anyServe = true
			all.serving = append(all.serving, nodes...)
		}
		all.stages = append(all.stages, stage{nodes, "Ready of the role " + role.Name, role.ready()})
	}
	all.stages = append(all.stages, stage{nil, whole, t.Ready})
	if !anyServe {
		all.serving = cluster.Names(count)
	}
	if len(all.serving) == 0 {
		return layout{}, fmt.Errorf("trial: of %d nodes of %s, none has a role that serves clients", count, t)
	}
	return all, nil
}

// ready is Ready whose errors name the role.
func (r Role) ready() func(context.Context, cluster.Cluster) error {
	if r.Ready == nil {
		return nil
	}
	return func(ctx context.Context, c cluster.Cluster) error {
		if err := r.Ready(ctx, c); err != nil {
			return fmt.Errorf("the role %s: %w", r.Name, err)
		}
		return nil
	}
}

// shares returns how many nodes each role has.
func (t Target) shares(count int) ([]int, error) {
	shares, rest, left := make([]int, len(t.Roles)), -1, count
	var told []string
	for i, role := range t.Roles {
		if slices.ContainsFunc(t.Roles[:i], func(r Role) bool { return r.Name == role.Name }) {
			return nil, fmt.Errorf("trial: two roles of %s are named %q", t, role.Name)
		}
		switch {
		case role.Count != nil:
			shares[i] = role.Count(count)
		case rest >= 0:
			return nil, fmt.Errorf("trial: %s and %s of %s both have no Count; one role at most takes the nodes that are left", t.Roles[rest].Name, role.Name, t)
		default:
			rest = i
		}
		if shares[i] < 0 {
			return nil, fmt.Errorf("trial: %d nodes of %s have the role %s (want 0 or more)", shares[i], t, role.Name)
		}
		left -= shares[i]
		told = append(told, fmt.Sprintf("%d %s", shares[i], role.Name))
	}
	if rest >= 0 && left >= 0 {
		shares[rest], left = left, 0
	}
	if left != 0 {
		return nil, fmt.Errorf("trial: %s has %s, and the trial %d nodes", t, strings.Join(told, ", "), count)
	}
	return shares, nil
}
