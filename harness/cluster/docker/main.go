package docker

import (
	"errors"
	"fmt"
	"os"

	"github.com/rashomon-io/rashomon/harness/cluster/docker/agent"
)

// serves says that this program calls Main, and so can be what runs in
// containers.
var serves bool

var errNoMain = errors.New("this program does not call docker.Main, nor rashomon.Command.Main or targets.Main, which do: call it first thing in main, or in a test's func TestMain(m *testing.M) { docker.Main(); os.Exit(m.Run()) }")

// Main carries out a hidden subcommand and exits, if the command line asks for
// one: this world starts the very binary again, in containers and as its reaper.
// Call it first thing in main, and in TestMain of tests in this world, or else Build
// refuses. Where the binary itself cannot run in containers, as one that is linked
// dynamically, the Go toolchain builds cmd/rashomon to take its place.
func Main() {
	serves = true
	if len(os.Args) < 2 {
		return
	}
	roles := map[string]func(args []string) error{
		"holder": Holder,
		"reaper": Reaper,
		"agent":  agent.Main,
		"gate":   agent.Gate,
	}
	role := roles[os.Args[1]]
	if role == nil {
		return
	}
	if err := role(os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	os.Exit(0)
}
