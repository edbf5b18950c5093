package command

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

func (c Command) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Tell the version, its commit, and the Go version it was built with",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			build, ok := debug.ReadBuildInfo()
			if !ok {
				return failureError{fmt.Errorf("this binary has no build information; build it with the go command")}
			}
			fmt.Fprintln(command.OutOrStdout(), version(c.Name, build))
			return nil
		},
	}
}

// module is this one, which a user's command requires.
const module = "github.com/rashomon-io/rashomon"

// version is one line. The commit is only known to a build in a clone, and
// "modified" says that the clone differed from it.
func version(name string, build *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, setting := range build.Settings {
		settings[setting.Key] = setting.Value
	}
	words := []string{name, cmp.Or(build.Main.Version, "(devel)"), "commit", cmp.Or(settings["vcs.revision"], "unknown")}
	if settings["vcs.modified"] == "true" {
		words = append(words, "modified")
	}
	for _, required := range build.Deps {
		if required.Path == module {
			words = append(words, "with rashomon", cmp.Or(required.Version, "(devel)"))
		}
	}
	return strings.Join(append(words, build.GoVersion), " ")
}
