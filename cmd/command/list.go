package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/nemesis"
)

func (c Command) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List targets, workloads, faults and worlds",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			out := command.OutOrStdout()
			fmt.Fprintln(out, "targets")
			for _, system := range c.Targets {
				fmt.Fprintf(out, "  %-10s %s\n", system.Name, system.About)
				if system.Needs != "" {
					fmt.Fprintf(out, "  %-10s needs %s\n", "", system.Needs)
				}
				for _, options := range system.Options {
					fmt.Fprintf(out, "  %-10s   %s:%s\n", "", system.Name, options)
				}
			}
			var names []string
			for _, workload := range c.workloads() {
				names = append(names, workload.Name())
			}
			fmt.Fprintf(out, "workloads\n  %s\n", strings.Join(names, ", "))
			if err := c.listServed(command.Context(), out, names); err != nil {
				return failureError{err}
			}
			fmt.Fprintln(out, "nemesis")
			for _, entry := range nemesis.List(c.Families...) {
				fmt.Fprintf(out, "  %-27s %s\n", entry.Word, entry.Meaning)
			}
			names = nil
			for _, world := range worlds {
				names = append(names, world.Name())
			}
			fmt.Fprintf(out, "worlds\n  %s\n  attach:FILE, a cluster that exists: docs/attach.md\n", strings.Join(names, ", "))
			return nil
		},
	}
}

// listServed tells which target's clients can do what which workload needs.
func (c Command) listServed(ctx context.Context, out io.Writer, names []string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "  served by\t%s\n", strings.Join(names, "\t"))
	for _, system := range c.Targets {
		target, err := harness.ParseTarget(c.Targets, system.Name)
		if err != nil {
			return err
		}
		row := []string{"  " + system.Name}
		for _, workload := range c.workloads() {
			switch lack, known := harness.Serves(ctx, target, workload); {
			case lack != nil:
				row = append(row, "–")
			case known:
				row = append(row, "yes")
			default: // its clients want a cluster first
				row = append(row, "?")
			}
		}
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

func doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Tell which faults this machine can inject, and why not the others",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			for _, world := range worlds {
				fmt.Fprintf(command.OutOrStdout(), "world %s\n", world.Name())
				for _, fault := range cluster.Faults {
					answer := "yes"
					if err := world.Supports(command.Context(), fault); err != nil {
						if command.Context().Err() != nil {
							return err
						}
						answer = "no: " + err.Error()
					}
					fmt.Fprintf(command.OutOrStdout(), "  %-8s %s\n", fault, answer)
				}
			}
			return nil
		},
	}
}
