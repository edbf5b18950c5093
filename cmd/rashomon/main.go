// Command rashomon puts replicated systems on trial: see its --help, and the
// README.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/reports"
	"github.com/rashomon-io/rashomon/targets"
)

// Exit codes, as --help tells them.
const (
	exitAsClaimed = 0
	exitViolation = 1
	exitUndecided = 2 // unknown, vacuous or interrupted: not a pass
	exitUsage     = 254
	exitCrash     = 255
)

func main() {
	targets.Main()
	os.Exit(rashomon(os.Args[1:], os.Stdout, os.Stderr))
}

// rashomon is the whole command; it returns the exit code.
func rashomon(args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if problem := recover(); problem != nil {
			fmt.Fprintf(stderr, "rashomon: %s\n", oneLine(fmt.Errorf("crashed: %v", problem)))
			code = exitCrash
		}
	}()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once

	root := rootCommand()
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
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "rashomon: %s\n", oneLine(err))
		return exitUndecided
	case errors.As(err, &failure):
		fmt.Fprintf(stderr, "rashomon: %s\n", oneLine(err))
		return exitCrash
	default:
		fmt.Fprintf(stderr, "rashomon: %s\n", oneLine(err))
		return exitUsage
	}
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
		fmt.Fprintf(command.ErrOrStderr(), "rashomon: %s\n", oneLine(err))
	}
	return verdict
}

// failureError is a trial or check that could not be carried out, as opposed to
// a command line that could not be understood.
type failureError struct{ error }

func (f failureError) Unwrap() error { return f.error }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "rashomon",
		Short: "Put replicated systems on trial: concurrent clients, faults, and a verdict",
		Long: `Rashomon runs clients against a replicated system while it partitions, kills and
pauses the nodes, and asks whether one sequential history explains what every
client saw. If none does, it shows the smallest contradiction in a sentence.

Exit codes: 0 valid, or as the target claims; 1 not as claimed; 2 unknown,
vacuous or interrupted; 254 usage; 255 the trial could not be carried out.`,
		Example: `  rashomon compare                       three built-in systems under the same faults
  rashomon run raft:reads=local          one system; its weakness found in seconds
  rashomon run raft --nemesis kill:all --workload set --seed 7
  rashomon check runs/latest             judge a run again`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(runCommand(), compareCommand(), checkCommand(), exportCommand(), listCommand(), doctorCommand(), imagesCommand(), versionCommand())
	return root
}
