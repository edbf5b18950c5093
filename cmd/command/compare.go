package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/reports"
)

// maxRepeat bounds the seeds of one comparison.
const maxRepeat = 1000

// compareDuration is such that four systems in containers take less than five
// minutes, images at hand: each some 10 s to start, 2 s of quiet, 10 s of faults,
// 3 s and an election to recover, some 10 s for the final reads, the check, the
// report and taking the containers down.
const compareDuration = 10 * time.Second

func (c Command) compareCommand() *cobra.Command {
	flags := trialFlags{of: c}
	var repeat int
	command := &cobra.Command{
		Use:   "compare [TARGET[:OPTIONS]]…",
		Short: "Put several systems on trial, one after the other, under the same schedule of faults",
		Long: `Puts each of the systems on trial under one and the same seed: clients draw the
same operations, and the nemesis plans the same faults at the same times. Whom a
fault at the leader hits is for each system to say.

With --repeat, there are more seeds, one after the other, and figures get confidence
intervals. Without a list, it is those that suit the world. One that cannot be tried is
named, and the others go on.`,
		Example: c.example(`  NAME compare
  NAME compare TARGET CHOICE --seed 7
  NAME compare --nemesis rooms:n1,n2,n3/n4,n5 --repeat 5
  NAME compare --world docker`),
		RunE: func(command *cobra.Command, names []string) error {
			if len(names) == 0 {
				if names = c.comparedIn(flags.world); len(names) == 0 {
					_, err := worldByName(flags.world)
					return cmp.Or(err, fmt.Errorf("name the systems to compare: none is compared by default in world %s", flags.world))
				}
			}
			return flags.compare(command, names, repeat)
		},
	}
	flags.register(command, compareDuration)
	command.Flags().IntVar(&repeat, "repeat", 1, "run so many times, under successive seeds")
	return command
}

// comparedIn are the systems that a world compares without a list.
func (c Command) comparedIn(world string) (names []string) {
	for _, system := range c.Targets {
		if slices.Contains(system.ComparedIn, world) {
			names = append(names, system.Name)
		}
	}
	return names
}

func (f *trialFlags) compare(command *cobra.Command, names []string, repeat int) error {
	if repeat < 1 || repeat > maxRepeat {
		return fmt.Errorf("--repeat %d (want 1 to %d)", repeat, maxRepeat)
	}
	var trials []harness.Trial
	var all []reports.Tried
	for _, name := range names {
		trial, err := f.trial(command, name)
		if err != nil {
			return err
		}
		trials = append(trials, trial)
		all = append(all, reports.Tried{Name: name})
	}
	if err := f.prepare("compare-" + f.workload); err != nil {
		return err
	}
	first := f.seed
	tell := progress{out: command.ErrOrStderr(), began: time.Now(), of: len(names) * repeat}
	var results []checker.Result
	var interrupted, afterwards error
	untried := 0
rounds: // by seed, so that an interrupted comparison has tried all alike
	for round := range repeat {
		seed := first + uint64(round)
		f.seed = seed
		for i, trial := range trials {
			tell.begin(trial.Target, seed)
			trial.Seed, trial.Command = seed, f.repeat(command, "run", names[i])
			trial.Dir = filepath.Join(f.dir, runName(i, names[i], seed, repeat))
			trial.Workload, _ = f.of.workload(f.workload) // which exists; some serve one trial only
			run, result, err := harness.Run(command.Context(), trial)
			if err != nil && result.Verdict != "" {
				afterwards, err = errors.Join(afterwards, fmt.Errorf("%s: %w", trial.Target, err)), nil
			}
			switch {
			case err != nil && command.Context().Err() != nil:
				interrupted = err
				all[i].Untried = append(all[i].Untried, reports.Untried{Seed: seed, Reason: err.Error()})
				break rounds
			case err != nil: // the others count all the same
				untried++
				all[i].Untried = append(all[i].Untried, reports.Untried{Seed: seed, Reason: err.Error()})
				fmt.Fprintf(command.ErrOrStderr(), "%s: not tried: %s\n", trial.Target, oneLine(err))
			default:
				run.History = history.History{} // reports read it again
				all[i].Runs = append(all[i].Runs, reports.Entry{Run: run, Result: result})
				results = append(results, result)
			}
		}
	}
	f.seed = first
	if err := f.conclude(command, all, names, repeat); err != nil {
		return failureError{errors.Join(interrupted, err)}
	}
	switch {
	case interrupted != nil:
		return failureError{interrupted}
	case untried > 0:
		return failureError{fmt.Errorf("%d of %d trials could not be carried out", untried, len(trials)*repeat)}
	}
	return concludeDespite(command, afterwards, results...)
}

// conclude writes and prints the comparison of what there is.
func (f *trialFlags) conclude(command *cobra.Command, all []reports.Tried, names []string, repeat int) error {
	again := f.repeat(command, "compare", names...)
	if repeat > 1 {
		again += fmt.Sprintf(" --repeat %d", repeat)
	}
	comparison := reports.NewComparison(again, all)
	if err := reports.WriteComparison(f.dir, comparison); err != nil {
		return err
	}
	out := command.OutOrStdout()
	comparison.Text(out)
	fmt.Fprintf(out, "\nreport         %s\ndata           %s\nrepeat with    %s\n",
		filepath.Join(f.dir, history.ReportFile), filepath.Join(f.dir, reports.ComparisonFile), again)
	return nil
}

// runName is a run's directory within the comparison's: "2-raft-reads-local".
func runName(i int, name string, seed uint64, repeat int) string {
	name = fmt.Sprintf("%d-%s", i+1, strings.NewReplacer(":", "-", "=", "-", ",", "-").Replace(name))
	if repeat > 1 {
		name += fmt.Sprintf("-seed-%d", seed)
	}
	return name
}

// progress tells how far a comparison has come.
type progress struct {
	out      io.Writer
	began    time.Time
	done, of int
}

func (p *progress) begin(target harness.Target, seed uint64) {
	left := ""
	if p.done > 0 {
		rest := time.Since(p.began) / time.Duration(p.done) * time.Duration(p.of-p.done)
		left = fmt.Sprintf(", about %v left", rest.Round(time.Second))
	}
	p.done++
	fmt.Fprintf(p.out, "%d of %d: %s, seed %d%s\n", p.done, p.of, target, seed, left)
}
