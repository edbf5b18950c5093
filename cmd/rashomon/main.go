// Command rashomon puts replicated systems on trial: see its --help, and the
// README.
package main

import (
	"github.com/rashomon-io/rashomon"
	"github.com/rashomon-io/rashomon/targets"
)

func main() {
	rashomon.Command{Name: "rashomon", Targets: targets.All}.Main()
}
