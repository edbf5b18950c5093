// Package command is the command line: of rashomon, and of whoever has systems,
// workloads or faults of her own. Users call it by package rashomon.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster/attach"
	"github.com/rashomon-io/rashomon/harness/cluster/docker"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/reports"
	"github.com/rashomon-io/rashomon/workloads"
)

// Exit codes, as --help tells them.
const (
	exitAsClaimed = 0
	exitViolation = 1
	exitUndecided = 2 // unknown, vacuous or interrupted: not a pass
	exitUsage     = 254
	exitCrash     = 255
)

// A Command is a command line for some systems. The zero Command has the built-in
// workloads and faults, and no system.
type Command struct {
	// Name is the command's own, in what it says; default: how it was called.
	Name string
	// Targets are the systems that it tries, in the order of lists. targets.All are
	// the built-in ones.
	Targets []harness.System
	// Workloads returns workloads beside the built-in ones, made anew at each call,
	// as some serve one trial only. Nil means none.
	Workloads func() []harness.Workload
	// Families are faults beside the built-in ones, of which no name may be taken.
	Families []nemesis.Family
}

// Main carries out what the command line asks for, and exits. Worlds start this very
// binary again, for nodes and for what they need beside them: call Main first thing
// in main. Exit codes are those that --help tells.
func (c Command) Main() {
	docker.Main()
	attach.Main()
	harness.NodeMain(c.Targets)
	os.Exit(c.run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole command; it returns the exit code.
func (c Command) run(args []string, stdout, stderr io.Writer) (code int) {
	c.Name = cmp.Or(c.Name, filepath.Base(os.Args[0]))
	say := func(err error) { fmt.Fprintf(stderr, "%s: %s\n", c.Name, oneLine(err)) }
	defer func() {
		if problem := recover(); problem != nil {
			say(fmt.Errorf("crashed: %v", problem))
			code = exitCrash
		}
	}()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once

	if err := c.validate(); err != nil {
		say(err)
		return exitCrash
	}
	root := c.rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var verdict verdictError
	var failure failureError
	switch {
	case err == nil:
		return exitAsClaimed
	case errors.As(err, &verdict):
		return verdict.code()
	}
	say(err)
	switch {
	case ctx.Err() != nil:
		return exitUndecided
	case errors.As(err, &failure):
		return exitCrash
	}
	return exitUsage
}

// validate refuses names that a command line cannot tell apart.
func (c Command) validate() error {
	seen := map[string]bool{}
	for _, system := range c.Targets {
		switch {
		case system.Name == "" || strings.ContainsAny(system.Name, ": \t\n"):
			return fmt.Errorf("a target is named %q (want a word without a colon)", system.Name)
		case seen[system.Name]:
			return fmt.Errorf("two targets are named %q", system.Name)
		case system.Target == nil:
			return fmt.Errorf("the target %s has no Target, the function that returns it", system.Name)
		}
		seen[system.Name] = true
	}
	clear(seen)
	for _, workload := range c.workloads() {
		if seen[workload.Name()] {
			return fmt.Errorf("two workloads are named %q", workload.Name())
		}
		seen[workload.Name()] = true
	}
	_, err := nemesis.Parse("none", nemesis.DefaultInterval, c.Families...)
	return err
}

// oneLine is an error that is safe to print, whatever it quotes: names of files,
// histories, an engine's long complaint, or cobra's suggestions in several lines.
func oneLine(err error) string {
	return reports.Clean(strings.Join(strings.Fields(err.Error()), " "), 2000)
}

// operands demands so many of them, or else says what is wanted.
func operands(least, most int, want string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("%s: %s", command.Name(), want)
		}
		return nil
	}
}

// verdictError is how a command ends whose results were not all as claimed.
type verdictError struct{ worst checker.Conformance }

func (v verdictError) Error() string { return string(v.worst) }

func (v verdictError) code() int {
	if v.worst == checker.NotAsClaimed {
		return exitViolation
	}
	return exitUndecided
}

// conclude returns nil if all results are as claimed, else the worst.
func conclude(results ...checker.Result) error {
	worst := checker.AsClaimed
	for _, result := range results {
		switch result.AsClaimed {
		case checker.NotAsClaimed:
			return verdictError{checker.NotAsClaimed}
		case checker.Undecided:
			worst = checker.Undecided
		}
	}
	if worst == checker.AsClaimed {
		return nil
	}
	return verdictError{worst}
}

// concludeDespite concludes although something failed after the verdict. That is
// told, and decides if all results are as claimed.
func concludeDespite(command *cobra.Command, err error, results ...checker.Result) error {
	verdict := conclude(results...)
	if err != nil && verdict == nil {
		return failureError{err}
	}
	if err != nil {
		fmt.Fprintf(command.ErrOrStderr(), "%s: %s\n", command.Root().Name(), oneLine(err))
	}
	return verdict
}

// failureError is a trial or check that could not be carried out, as opposed to
// a command line that could not be understood.
type failureError struct{ error }

func (f failureError) Unwrap() error { return f.error }

func (c Command) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   c.Name,
		Short: "Put replicated systems on trial: concurrent clients, faults, and a verdict",
		Long: `Rashomon runs clients against a replicated system while it partitions, kills and
pauses the nodes, and asks whether one sequential history explains what every
client saw. If none does, it shows the smallest contradiction in a sentence.

Exit codes: 0 valid, or as the target claims; 1 not as claimed; 2 unknown,
vacuous or interrupted; 254 usage; 255 the trial could not be carried out.`,
		Example: c.example(`  NAME run TARGET --nemesis kill:all --seed 7
  NAME run CHOICE
  NAME compare
  NAME check runs/latest
  NAME list`),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(c.runCommand(), c.compareCommand(), c.checkCommand(), c.exportCommand(), c.listCommand(), doctorCommand(), c.imagesCommand(), c.versionCommand())
	return root
}

// example is a text of examples in the command's own words: NAME is its name, TARGET
// its first system, and CHOICE one with an option, if one has any.
func (c Command) example(text string) string {
	target := "TARGET"
	if len(c.Targets) > 0 {
		target = c.Targets[0].Name
	}
	choice := target
	for _, system := range c.Targets {
		if len(system.Options) > 0 {
			choice = system.Name + ":" + system.Options[0]
			break
		}
	}
	return strings.NewReplacer("NAME", c.Name, "TARGET", target, "CHOICE", choice).Replace(text)
}

// workloads are the built-in ones and the command's own, made anew.
func (c Command) workloads() []harness.Workload { return append(workloads.All(), c.ownWorkloads()...) }

func (c Command) ownWorkloads() []harness.Workload {
	if c.Workloads == nil {
		return nil
	}
	return c.Workloads()
}

// workload returns the one of that name, for one trial.
func (c Command) workload(name string) (harness.Workload, error) {
	return workloads.ByName(name, c.ownWorkloads()...)
}
