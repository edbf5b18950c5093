package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/harness/history/jepsen"
)

func (c Command) exportCommand() *cobra.Command {
	var foreign jepsen.Options
	var output string
	var edn bool
	command := &cobra.Command{
		Use:   "export --edn DIR|FILE",
		Short: "Write a run's history in a form that other checkers read",
		Long: `Write the history of a run directory, or one alone, as Jepsen's history.edn: one
operation a line, faults as operations of the process :nemesis, and [key value]
tuples if there is more than one key.`,
		Example: c.example(`  NAME export --edn runs/latest -o history.edn
  NAME export --edn history.jsonl | grep :nemesis`),
		Args: operands(1, 1, "want one run directory or history, such as runs/latest"),
		RunE: func(command *cobra.Command, args []string) error {
			if !edn {
				return fmt.Errorf("export: say in which form: %s --edn %s", command.CommandPath(), shell(args))
			}
			if err := checkForeign(foreign); err != nil {
				return err
			}
			run, _, err := readRun(args[0], foreign)
			if err != nil {
				return failureError{err}
			}
			if output == "" {
				if err := jepsen.Write(command.OutOrStdout(), run); err != nil {
					return failureError{err}
				}
				return nil
			}
			if err := export(output, run); err != nil {
				return failureError{err}
			}
			return nil
		},
	}
	command.Flags().BoolVar(&edn, "edn", false, "as Jepsen's history.edn: the only form, and so needed")
	command.Flags().StringVarP(&output, "output", "o", "", "new file to write to (default: standard output)")
	command.Flags().StringVar(&foreign.Model, "model", "", "what a Jepsen history is about (default: what its operations look like)")
	foreignFlags(command, &foreign)
	return command
}

// export writes a new file, and leaves none behind if it fails.
func export(path string, run *history.Run) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return errors.New(path + " exists, and nothing recorded is ever overwritten; name a new file")
	}
	if err != nil {
		return err
	}
	if err = errors.Join(jepsen.Write(file, run), file.Close()); err != nil {
		os.Remove(path)
	}
	return err
}
