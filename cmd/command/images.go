package command

import (
	"fmt"
	"slices"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/docker"
	"github.com/rashomon-io/rashomon/targets/images"
)

func (c Command) imagesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "images [IMAGE…]",
		Short: "Pull the images of real systems, or build local equivalents where no registry answers",
		Example: c.example(`  NAME images
  NAME images redis:7`),
		RunE: func(command *cobra.Command, names []string) error {
			if len(names) == 0 {
				var err error
				if names, err = c.images(); err != nil {
					return failureError{err}
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

// images are those that the systems' nodes are run from in containers, each once.
func (c Command) images() (names []string, err error) {
	const node = "n1"
	for _, system := range c.Targets {
		target, err := harness.ParseTarget(c.Targets, system.Name)
		if err != nil {
			return nil, err
		}
		place := cluster.Place{World: docker.World().Name(), Node: node, Peers: map[cluster.Node]string{node: ""},
			Ports: map[string]cluster.Port{}, Public: map[cluster.Node]map[string]string{node: {}}}
		program, err := cluster.Spec{Program: target.Program}.ProgramAt(place)
		if err != nil {
			return nil, fmt.Errorf("the image of %s: %w", system.Name, err)
		}
		if program.Container.Image != "" && !slices.Contains(names, program.Container.Image) {
			names = append(names, program.Container.Image)
		}
	}
	return names, nil
}
