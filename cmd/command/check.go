package command

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/harness/history/jepsen"
	"github.com/rashomon-io/rashomon/reports"
	"github.com/rashomon-io/rashomon/workloads"
)

func (c Command) checkCommand() *cobra.Command {
	var foreign jepsen.Options
	var options checker.Options
	var budget budgetFlags
	var claim []string
	command := &cobra.Command{
		Use:   "check DIR|FILE…",
		Short: "Judge recorded runs again, or histories from elsewhere",
		Long: `Judge a run directory, or a history alone: a history.jsonl, Jepsen's history.edn
or history.txt, the same as JSON, or a log of either Jepsen's or Porcupine's
tests; or a directory of Jepsen's store. Which of these it is, its contents tell. A
run directory's result and report are written anew, unless --claim asks of it what its
target did not claim. A history that was cut off,
because its harness was killed, is judged as far as it goes.`,
		Example: c.example(`  NAME check runs/latest
  NAME check store/latest/history.edn                          what it is about is guessed, and said
  NAME check history.edn --model set
  NAME check history.edn --independent no                      values are pairs, not [key value]
  NAME check history.edn --initial 0                           registers, or accounts, that hold 0 at first
  NAME check history.edn --initial '{0 100, 1 0}'              what each account holds at first
  NAME check history.edn --total 100 --negative-balances       only the sum is known, and debts are allowed
  NAME check history.edn --model total-queue                   a queue that keeps no order
  NAME check history.edn --model reentrant-lock                its holder may acquire it again
  NAME check history.edn --claim "monotonic reads" --claim "stale by at most 2s"
  NAME check runs/latest --engine porcupine --check-time 10m   a second opinion`),
		Args: operands(1, math.MaxInt, "want a run directory or history, such as runs/latest"),
		RunE: func(command *cobra.Command, args []string) error {
			if err := cmp.Or(oneOf("engine", string(options.Engine), engines), checkForeign(foreign),
				oneOf("model", foreign.Model, jepsen.Models()), budget.sound(command), history.Claim{Guarantees: claim}.Validate()); err != nil {
				return err
			}
			options.Budget = budget.budget()
			var results []checker.Result
			for i, path := range args {
				run, made, err := readLarge(command.ErrOrStderr(), path, foreign)
				if err != nil {
					return failureError{err}
				}
				if claim != nil {
					run.Manifest.Claim = history.Claim{CAP: run.Manifest.Claim.CAP, Guarantees: claim}
				}
				result, err := c.judge(command, path, run, made, foreign.Model, options)
				if err != nil {
					return failureError{err}
				}
				if command.Context().Err() != nil { // an older result is worth more than "unknown"
					return failureError{fmt.Errorf("interrupted; not checked, and left as before: %s", strings.Join(args[i:], " "))}
				}
				if err := tellChecked(command.OutOrStdout(), path, run, made, result, claim == nil); err != nil {
					return failureError{err}
				}
				results = append(results, result)
			}
			return conclude(results...)
		},
	}
	flags := command.Flags()
	flags.StringVar(&foreign.Model, "model", "", "judge as "+strings.Join(jepsen.Models(), ", ")+" (default: the run's own, or what the operations look like)")
	flags.StringVar(&foreign.Model, "workload", "", "the same as --model")
	command.MarkFlagsMutuallyExclusive("model", "workload")
	flags.StringArrayVar(&claim, "claim", nil, "hold it against this guarantee, and no other claim, such as "+strconv.Quote(history.MonotonicReads)+"; may be repeated")
	flags.StringVar((*string)(&options.Engine), "engine", "", "how to decide: "+strings.Join(engines, ", ")+" (default: the fastest that is exact for each key)")
	budget.register(command)
	foreignFlags(command, &foreign)
	flags.StringVar(&foreign.Total, "total", "", "what all accounts of a Jepsen history's bank hold together, if nobody knows what each holds")
	flags.BoolVar(&foreign.NegativeBalances, "negative-balances", false, "the balances of a Jepsen history's bank may be negative")
	return command
}

// tellChecked tells what was found, and writes it into a run's directory, if it has one
// and asked to.
func tellChecked(out io.Writer, path string, run *history.Run, made *jepsen.Import, result checker.Result, write bool) error {
	if run.Dir != "" && write {
		if err := history.WriteJSON(filepath.Join(run.Dir, history.ResultFile), result); err != nil {
			return err
		}
		if err := reports.WriteRun(run, result); err != nil {
			return err
		}
	}
	if made != nil {
		fmt.Fprintln(out, provenance(path, made, result))
	}
	reports.Text(out, run, result)
	return nil
}

// oneOf refuses a name, if one was given, that is none of these.
func oneOf(what, name string, names []string) error {
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	return fmt.Errorf("no %s %q (there are: %s)", what, name, strings.Join(names, ", "))
}

// judge checks one run, and tells on the way how long that has taken.
func (c Command) judge(command *cobra.Command, path string, run *history.Run, made *jepsen.Import, asked string, options checker.Options) (checker.Result, error) {
	defer tellEvery2s(command.ErrOrStderr(), path, "checking, %.0f s of at most "+fmt.Sprintf("%g s …", options.Budget.Time.Seconds()))()
	name := workloadOf(run, asked)
	models := map[string]checker.Model{
		"total-queue": checker.TotalQueue, "reentrant-lock": checker.ReentrantLock, "versioned-register": checker.VersionedRegister,
	}
	if made != nil && made.Model == "bank" {
		if made.Bank == nil {
			return checker.Result{}, fmt.Errorf("%s is of a bank, and does not tell what its accounts held at first; say what each did with --initial, or all together with --total", path)
		}
		models["bank"] = checker.BankOf(checker.BankRules{
			Accounts: len(made.Accounts), Balances: made.Bank.Balances, Total: made.Bank.Total, Negative: made.Bank.NegativeBalances,
		})
	}
	if model, special := models[name]; special {
		return checker.Check(command.Context(), run, model, options), nil
	}
	workload, err := c.workload(name)
	if err != nil && asked == "" {
		by, _, _ := strings.Cut(run.Manifest.Command, " ")
		err = fmt.Errorf("%w; what it is judged by, only the program knows that ran it: %s; check it with that, or name a --model", err, cmp.Or(by, "a test"))
	}
	if err != nil {
		return checker.Result{}, fmt.Errorf("%s: %w", path, err)
	}
	return workload.Check(command.Context(), run, options), nil
}

// tellEvery2s tells every two seconds how long something takes, until the
// returned function is called. The format is of the seconds.
func tellEvery2s(out io.Writer, path, format string) (stop func()) {
	end, began := make(chan struct{}), time.Now()
	var telling sync.WaitGroup
	telling.Go(func() {
		ticker := time.NewTicker(2 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				fmt.Fprintf(out, "%s: "+format+"\n", reports.Clean(path, 1000), time.Since(began).Seconds())
			case <-end:
				return
			}
		}
	})
	return func() { close(end); telling.Wait() }
}

var engines = []string{string(checker.Zones), string(checker.Search), string(checker.Porcupine), string(checker.Polynomial)}

// foreignFlags are those that only histories from elsewhere need.
func foreignFlags(command *cobra.Command, foreign *jepsen.Options) {
	command.Flags().StringVar((*string)(&foreign.Independent), "independent", string(jepsen.Auto), "whether a Jepsen history's values are [key value] tuples: yes, no, or auto, if all of them look like it")
	command.Flags().StringVar(&foreign.Initial, "initial", "", "what a Jepsen history's registers, or each account of its bank, hold at first, as EDN, or a map of accounts (default: nothing; a bank needs it)")
}

func checkForeign(foreign jepsen.Options) error {
	switch foreign.Independent {
	case jepsen.Auto, jepsen.Yes, jepsen.No:
		return nil
	}
	return fmt.Errorf("--independent %q is neither auto, yes nor no", foreign.Independent)
}

// garbagePercent is of what is held: a large history leaves little room for garbage, and
// packed, which is all bytes, it takes the collector no time.
const garbagePercent = 25

// readLarge reads a run as readRun does, and keeps a large history of registers packed.
func readLarge(out io.Writer, path string, foreign jepsen.Options) (*history.Run, *jepsen.Import, error) {
	defer tellEvery2s(out, path, "reading, %.0f s …")()
	size := fileSize(path)
	if size <= history.PackAbove {
		return readRun(path, foreign)
	}
	debug.SetGCPercent(garbagePercent)
	run, made, err := readPacked(path, foreign)
	if err == nil && run.History.Packed == nil {
		fmt.Fprintf(out, "%s: these are not registers alone, or not in this module's form, so the check takes about %d MiB of memory\n",
			reports.Clean(path, 1000), 5*size>>20)
	}
	return run, made, err
}

// fileSize is that of a history, or of the one in a run directory; 0 if there is none.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		info, err = os.Stat(filepath.Join(path, history.HistoryFile))
	}
	if err != nil {
		return 0
	}
	return info.Size()
}

// readRun reads a run directory, a Jepsen test's directory, or a history alone.
// The Import is nil for this module's own form.
func readRun(path string, foreign jepsen.Options) (*history.Run, *jepsen.Import, error) {
	return readRunBy(path, foreign, history.ReadRun, func(_ *os.File, in io.Reader) (history.History, error) { return history.ReadHistory(in) })
}

// readPacked reads what readRun reads; a history of registers stays packed.
func readPacked(path string, foreign jepsen.Options) (*history.Run, *jepsen.Import, error) {
	return readRunBy(path, foreign, history.ReadPackedRun, func(file *os.File, _ io.Reader) (history.History, error) {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return history.History{}, err
		}
		return history.ReadPacked(file)
	})
}

// readRunBy reads this module's own form by two functions, of which the latter is given a
// file, and what is left of it in a buffer.
func readRunBy(path string, foreign jepsen.Options, dir func(string) (*history.Run, error), alone func(*os.File, io.Reader) (history.History, error)) (*history.Run, *jepsen.Import, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s does not exist; want a run directory, such as runs/%s, or a history, such as history.jsonl or Jepsen's history.edn", path, history.LatestLink)
	}
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		found, err := inStore(path)
		if err != nil {
			return nil, nil, err
		}
		if found == "" {
			run, err := dir(path)
			return run, nil, err
		}
		path = found
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 64<<10)
	begin, err := in.Peek(64 << 10)
	if err != nil && err != io.EOF {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	run := &history.Run{Manifest: history.Manifest{Target: path}}
	switch {
	case bytes.HasPrefix(begin, []byte(`{"rashomon"`)):
		if run.History, err = alone(file, in); err != nil {
			return nil, nil, history.InFile(path, err)
		}
		return run, nil, nil
	case jepsen.IsHistory(begin):
		made, err := jepsen.Read(in, foreign)
		if err != nil {
			return nil, nil, history.InFile(path, err)
		}
		run.History, run.Events, run.Manifest.Workload = made.History, made.Events, made.Model
		return run, &made, nil
	}
	return nil, nil, fmt.Errorf(`%s is no history: want a history.jsonl, which begins with {"rashomon":"history", Jepsen's history.edn, JSON lines of its operations, or a log of them`, path)
}

// inStore returns which of the files in a directory of Jepsen's store holds its
// history; empty if it is a run directory.
func inStore(dir string) (string, error) {
	holds := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	if holds(history.TrialFile) {
		return "", nil
	}
	for _, name := range []string{"history.edn", "history.txt", "jepsen.log"} {
		if holds(name) {
			return filepath.Join(dir, name), nil
		}
	}
	switch {
	case holds(reports.ComparisonFile):
		return "", isComparison(dir)
	case holds("test.jepsen"):
		return "", fmt.Errorf("%s holds its history in Jepsen's binary test.jepsen alone, which is not read; let Jepsen write it as history.edn", dir)
	}
	return "", nil
}

// isComparison names the first run that a comparison's directory holds.
func isComparison(dir string) error {
	if runs, err := fs.Glob(os.DirFS(dir), "*/"+history.TrialFile); err == nil && len(runs) > 0 {
		return fmt.Errorf("%s is a comparison; name one of its runs, such as %s", dir, filepath.Join(dir, filepath.Dir(runs[0])))
	}
	return fmt.Errorf("%s is a comparison of which no run was recorded; its %s says why", dir, history.ReportFile)
}

// provenance says in a line what was read, what was guessed about it, and which
// values the numbers in the violations stand for.
func provenance(path string, made *jepsen.Import, result checker.Result) string {
	text := fmt.Sprintf("%s: %d operations, judged as %s", reports.Clean(path, 1000), len(made.History.Operations), made.Model)
	if made.Why != "" {
		text += ", because " + reports.Clean(made.Why, 400)
	}
	if made.Independent {
		text += "; values are [key value] tuples"
	}
	shown := map[int64]bool{}
	for _, violation := range result.Violations {
		for _, o := range violation.Witness {
			for _, number := range slices.Concat(o.Input.Ints(), o.Output.Ints()) {
				shown[number] = true
			}
		}
	}
	var names []string
	for number, name := range made.Accounts {
		if name != fmt.Sprint(number) {
			names = append(names, fmt.Sprintf("account %d is %s", number, reports.Clean(name, 40)))
		}
	}
	for _, number := range slices.Sorted(maps.Keys(shown)) {
		if name, ok := made.Names[number]; ok {
			names = append(names, fmt.Sprintf("%d is %s", number, reports.Clean(name, 40)))
		}
	}
	const most = 20
	if len(names) > most {
		names = append(names[:most], "…")
	}
	if len(names) > 0 {
		text += "\nwhere " + strings.Join(names, ", ")
	}
	return text + "\n"
}

// workloadOf is the one asked for, else the run's, else what its operations
// look like.
func workloadOf(run *history.Run, asked string) string {
	if asked != "" {
		return asked
	}
	if run.Manifest.Workload != "" {
		return run.Manifest.Workload
	}
	name := workloads.Register{}.Name()
	for _, operation := range run.History.Operations {
		switch object := run.Manifest.Kinds.Of(operation.Kind).Object; object {
		case "", "register": // whose reads are a counter's, too
		case "set": // whose reads are a bank's, too
			name = object
		case "ids":
			return "unique-ids"
		default:
			return object
		}
	}
	return name
}
