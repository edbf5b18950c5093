package command

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
)

const (
	maxMemoryMB = 1 << 24 // 16 TiB
	minRate     = 0.001   // a worker's pauses are years, otherwise
)

// sound refuses numbers that no trial can have, and those that a Trial would take
// for "the default", before anything is made.
func (f *trialFlags) sound(command *cobra.Command) error {
	if err := positive(command, "interval", "quiet", "duration", "recovery", "timeout"); err != nil {
		return err
	}
	given := command.Flags().Changed
	switch {
	case f.nodes < 1 || f.nodes > harness.MaxNodes:
		return fmt.Errorf("--nodes %d (want 1 to %d)", f.nodes, harness.MaxNodes)
	case given("concurrency") && (f.concurrency < 1 || f.concurrency > harness.MaxConcurrency):
		return fmt.Errorf("--concurrency %d (want 1 to %d, or leave it out for 4 a node)", f.concurrency, harness.MaxConcurrency)
	case math.IsNaN(f.rate) || math.IsInf(f.rate, 0) || 0 <= f.rate && f.rate < minRate:
		return fmt.Errorf("--rate %v (want operations per second, at least %v, or -1 for as fast as clients can)", f.rate, minRate)
	case given("operations") && f.operations < 1:
		return fmt.Errorf("--operations %d (want 1 or more, or leave it out for no limit)", f.operations)
	case given("seed") && f.seed == 0:
		return errors.New("--seed 0 (want 1 or more, or leave it out for a random one)")
	}
	return f.check.sound(command)
}

// positive refuses lengths of time that would be taken for "the default".
func positive(command *cobra.Command, names ...string) error {
	for _, name := range names {
		if length, err := command.Flags().GetDuration(name); err != nil || length <= 0 {
			return cmp.Or(err, fmt.Errorf("--%s %v (want more than 0, such as 500ms)", name, length))
		}
	}
	return nil
}

// budgetFlags bound a check, of a trial or of a run again.
type budgetFlags struct {
	time     time.Duration
	memoryMB uint64
}

func (b *budgetFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.DurationVar(&b.time, "check-time", checker.DefaultBudget.Time, "time budget of the check, more than 0")
	flags.Uint64Var(&b.memoryMB, "check-memory", checker.DefaultBudget.MemoryBytes>>20, "memory budget of the check, in MiB")
}

// sound refuses what would be taken for "the default".
func (b *budgetFlags) sound(command *cobra.Command) error {
	if err := positive(command, "check-time"); err != nil {
		return err
	}
	if b.memoryMB < 1 || b.memoryMB > maxMemoryMB {
		return fmt.Errorf("--check-memory %d (want MiB, 1 to %d)", b.memoryMB, maxMemoryMB)
	}
	return nil
}

func (b *budgetFlags) budget() checker.Budget {
	return checker.Budget{Time: b.time, MemoryBytes: b.memoryMB << 20}
}
