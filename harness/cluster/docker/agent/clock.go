package agent

import (
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/docker/agent/vdso"
)

// clocks are those of the node's processes.
type clocks struct{ vdso *vdso.Clocks }

// newClocks also lets programs through the Gate, until undo.
func newClocks() *clocks { return &clocks{vdso.New()} }

// set returns when every process of the node sees that clock; the zero Clock is
// the right one. It holds for processes that start later, too.
func (c *clocks) set(clock cluster.Clock) error { return c.vdso.Set(clock) }

// undo makes all clocks right for good: set fails from now on.
func (c *clocks) undo() error { return c.vdso.Close() }

// clockLacks returns why clock faults are impossible here, or nothing.
func clockLacks() string { return vdso.Lacks() }

// Gate is the first program of a target's container where clocks may be wrong.
// It waits for the agent, and then becomes the program that args name, with the
// node's clock from its first instruction on. It returns only if that fails.
func Gate(args []string) error { return vdso.Gate(args) }
