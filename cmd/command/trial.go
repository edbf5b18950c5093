package command

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/attach"
	"github.com/rashomon-io/rashomon/harness/cluster/docker"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/reports"
)

// attachWord comes before the file of a cluster that exists, in --world.
const attachWord = "attach:"

// worlds are what --world names, besides.
var worlds = []cluster.World{process.World(), docker.World()}

// trialFlags are what run and compare have in common.
type trialFlags struct {
	of                               Command
	workload, nemesis, replay, world string
	consent                          string
	nodes, concurrency, operations   int
	rate                             float64
	interval                         time.Duration
	quiet, duration, recovery        time.Duration
	timeout                          time.Duration
	check                            budgetFlags
	seed                             uint64
	failFast                         bool
	dir                              string
}

func (f *trialFlags) register(command *cobra.Command, duration time.Duration) {
	flags := command.Flags()
	flags.StringVar(&f.workload, "workload", "register", "what clients do: see list")
	flags.StringVar(&f.nemesis, "nemesis", "partition,kill,pause", "faults: see list")
	flags.StringVar(&f.replay, "replay", "", "play the faults recorded in this nemesis.jsonl again")
	flags.DurationVar(&f.interval, "interval", nemesis.DefaultInterval, "mean time from the beginning of one fault to that of the next")
	flags.StringVar(&f.world, "world", process.World().Name(), "where nodes run; attach:FILE is a cluster that exists: see list")
	flags.StringVar(&f.consent, "consent", "", "with --world attach:FILE, the cluster's name: yes, faults may break it")
	flags.IntVar(&f.nodes, "nodes", 5, "nodes of the cluster")
	flags.IntVar(&f.concurrency, "concurrency", 0, "clients, spread over the nodes (default 4 a node)")
	flags.Float64Var(&f.rate, "rate", 600, "operations per second of all clients together; -1: as fast as they can")
	flags.IntVar(&f.operations, "operations", 0, "end the load after so many operations (default: no limit)")
	flags.DurationVar(&f.quiet, "quiet", 2*time.Second, "load before the faults, more than 0")
	flags.DurationVar(&f.duration, "duration", duration, "length of the faults phase, more than 0")
	flags.DurationVar(&f.recovery, "recovery", 3*time.Second, "load after the faults, more than 0")
	flags.DurationVar(&f.timeout, "timeout", 250*time.Millisecond, "of one client call, more than 0")
	flags.Uint64Var(&f.seed, "seed", 0, "decides the operations and the schedule (default: random, and printed)")
	flags.BoolVar(&f.failFast, "fail-fast", false, "stop the load at the first violation and keep copies of the nodes' data (workload register)")
	f.check.register(command)
	flags.StringVar(&f.dir, "dir", "", "directory to write to, new or empty (default runs/<what>-<time>)")
}

// trial returns the trial of one target, and its command line for repeating it.
func (f *trialFlags) trial(command *cobra.Command, name string) (harness.Trial, error) {
	none := harness.Trial{}
	if err := f.sound(command); err != nil {
		return none, err
	}
	target, err := harness.ParseTarget(f.of.Targets, name)
	if err != nil {
		return none, err
	}
	workload, err := f.of.workload(f.workload)
	if err != nil {
		return none, err
	}
	if lack, _ := harness.Serves(command.Context(), target, workload); lack != nil {
		return none, lack
	}
	if err := harness.CanFailFast(workload); f.failFast && err != nil {
		return none, fmt.Errorf("--%w", err)
	}
	world, err := f.worldFor(target, command.Flags().Changed)
	if err != nil {
		return none, err
	}
	nodes := f.nodes
	if _, standing := world.(cluster.Standing); standing && !command.Flags().Changed("nodes") {
		nodes = 0 // all of it
	}
	faults, err := f.faults()
	if err != nil {
		return none, err
	}
	return harness.Trial{
		Target: target, Workload: workload, Nemesis: faults, World: world,
		Nodes: nodes, Concurrency: f.concurrency, Rate: f.rate, Operations: f.operations,
		Quiet: f.quiet, Duration: f.duration, Recovery: f.recovery, Timeout: f.timeout, Seed: f.seed, FailFast: f.failFast,
		Options:  checker.Options{Budget: f.check.budget()},
		Progress: command.ErrOrStderr(), Command: f.repeat(command, "run", name), Report: reports.Write,
	}, nil
}

func (f *trialFlags) faults() (harness.Nemesis, error) {
	if f.replay == "" {
		return nemesis.Parse(f.nemesis, f.interval, f.of.Families...)
	}
	file, err := os.Open(f.replay)
	if err != nil {
		return nil, fmt.Errorf("--replay: %w", err)
	}
	defer file.Close()
	events, err := history.ReadEvents(file)
	if err != nil {
		return nil, fmt.Errorf("--replay %w", history.InFile(f.replay, err))
	}
	return nemesis.Replay(events, f.of.Families...)
}

// worldFor is the one that was asked for, else the target's own.
func (f *trialFlags) worldFor(target harness.Target, given func(flag string) bool) (cluster.World, error) {
	file, attaches := strings.CutPrefix(f.world, attachWord)
	switch {
	case attaches:
		existing, err := attach.Read(file)
		if err != nil {
			return nil, fmt.Errorf("--world: %w", err)
		}
		existing.Consent = f.consent
		if err := existing.Validate(); err != nil {
			return nil, fmt.Errorf("--world, --consent: %w", err)
		}
		return attach.World(existing), nil
	case f.consent != "":
		return nil, errors.New("--consent is for a cluster that exists: --world attach:FILE")
	case target.World != nil && !given("world"):
		return target.World, nil
	}
	return worldByName(f.world)
}

func worldByName(name string) (cluster.World, error) {
	var names []string
	for _, world := range worlds {
		if world.Name() == name {
			return world, nil
		}
		names = append(names, world.Name())
	}
	return nil, fmt.Errorf("no world %q (there are: %s, attach:FILE)", name, strings.Join(names, ", "))
}

// repeat is the command that repeats the run, with the seed spelled out.
func (f *trialFlags) repeat(command *cobra.Command, verb string, names ...string) string {
	words := append([]string{f.of.Name, verb}, names...)
	for _, name := range []string{"workload", "nemesis", "replay", "interval", "world", "nodes", "concurrency", "rate",
		"operations", "quiet", "duration", "recovery", "timeout", "check-time", "check-memory"} {
		flag := command.Flags().Lookup(name)
		if flag.Changed || name == "duration" && verb != command.Name() {
			words = append(words, "--"+name, flag.Value.String())
		}
	}
	if f.failFast {
		words = append(words, "--fail-fast")
	}
	return shell(append(words, "--seed", fmt.Sprint(f.seed)))
}

// shell is a command line that a POSIX shell splits into these words again.
func shell(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		plain := strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=:,./@%") == ""
		if !plain || word == "" {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		quoted[i] = word
	}
	return strings.Join(quoted, " ")
}

// prepare draws the seed and makes the directory, which reports and runs share.
func (f *trialFlags) prepare(name string) error {
	if f.seed == 0 {
		f.seed = 1 + rand.Uint64N(999_999)
	}
	if f.dir == "" {
		dir, err := history.CreateRunDir("runs", name, time.Now())
		if err != nil {
			return failureError{err}
		}
		f.dir = dir
		return nil
	}
	entries, err := os.ReadDir(f.dir)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("--dir %s is not empty; nothing recorded is ever overwritten", f.dir)
	}
	if err := os.MkdirAll(f.dir, 0o777); err != nil {
		return failureError{err}
	}
	return nil
}

func (c Command) runCommand() *cobra.Command {
	flags := trialFlags{of: c}
	command := &cobra.Command{
		Use:   "run TARGET[:OPTIONS]",
		Short: "Put one system on trial",
		Example: c.example(`  NAME run TARGET
  NAME run CHOICE --nemesis pause:leader --seed 7
  NAME run TARGET --workload set --duration 1m
  NAME run TARGET --replay runs/latest/nemesis.jsonl`),
		Args: operands(1, 1, "want one TARGET, such as "+c.example("TARGET; NAME list names them all")),
		RunE: func(command *cobra.Command, args []string) error {
			trial, err := flags.trial(command, args[0])
			if err != nil {
				return err
			}
			if err := flags.prepare(trial.Target.String() + "-" + flags.workload); err != nil {
				return err
			}
			trial.Seed, trial.Dir, trial.Command = flags.seed, flags.dir, flags.repeat(command, "run", args[0])
			run, result, err := harness.Run(command.Context(), trial)
			if err != nil && result.Verdict == "" {
				return failureError{err}
			}
			reports.Text(command.OutOrStdout(), run, result)
			return concludeDespite(command, err, result)
		},
	}
	flags.register(command, 20*time.Second)
	return command
}
