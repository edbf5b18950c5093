package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/reports"
	"github.com/rashomon-io/rashomon/workloads"
)

func checkCommand() *cobra.Command {
	var workload string
	options := checker.Options{Budget: checker.DefaultBudget}
	command := &cobra.Command{
		Use:   "check DIR|FILE…",
		Short: "Judge recorded runs again",
		Long: `Judge a run directory, or a history.jsonl alone, again. A run directory's result
and report are written anew. A history that was cut off, because its harness was
killed, is judged as far as it goes.`,
		Example: `  rashomon check runs/latest
  rashomon check history.jsonl --workload set`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			var results []checker.Result
			for _, path := range args {
				run, err := readRun(path)
				if err != nil {
					return failureError{err}
				}
				judge, err := workloads.ByName(workloadOf(run, workload))
				if err != nil {
					return err
				}
				result := judge.Check(command.Context(), run, options)
				if run.Dir != "" {
					if err := history.WriteJSON(filepath.Join(run.Dir, history.ResultFile), result); err != nil {
						return failureError{err}
					}
					if err := reports.Write(run.Dir); err != nil {
						return failureError{err}
					}
				}
				reports.Text(command.OutOrStdout(), run, result)
				results = append(results, result)
			}
			return conclude(results...)
		},
	}
	command.Flags().StringVar(&workload, "workload", "", "judge as this workload (default: the run's own, or what the operations look like)")
	command.Flags().DurationVar(&options.Budget.Time, "check-time", options.Budget.Time, "time budget")
	return command
}

func readRun(path string) (*history.Run, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return history.ReadRun(path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	recorded, err := history.ReadHistory(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &history.Run{Manifest: history.Manifest{Target: path}, History: recorded}, nil
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
	for _, operation := range run.History.Operations {
		if operation.Kind == history.Add || operation.Kind == history.ReadAll {
			return workloads.Set{}.Name()
		}
	}
	return workloads.Register{}.Name()
}
