package main

import (
	"fmt"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/rashomon-io/rashomon/harness/cluster/docker"
	"github.com/rashomon-io/rashomon/targets/images"
)

func imagesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "images [IMAGE…]",
		Short: "Pull the images of real systems, or build local equivalents where no registry answers",
		Example: `  rashomon images
  rashomon images redis:7`,
		RunE: func(command *cobra.Command, names []string) error {
			if len(names) == 0 {
				for _, definition := range images.List() {
					names = append(names, definition.Image)
				}
			}
			if err := docker.Contact(command.Context()); err != nil {
				return failureError{err}
			}
			engine, err := client.New(client.FromEnv)
			if err != nil {
				return failureError{err}
			}
			defer engine.Close()
			for _, name := range names {
				image, err := images.Ensure(command.Context(), engine, name, command.ErrOrStderr())
				if err != nil {
					return failureError{err}
				}
				fmt.Fprintf(command.OutOrStdout(), "%-32s %s\n", name, image)
			}
			return nil
		},
	}
}
