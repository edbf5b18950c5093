package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	ossignal "os/signal"
	"syscall"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// Main is the agent's: it answers the requests on its standard input until that
// ends or a SIGTERM comes. Then it has undone everything, and the process must
// exit. Only what could not be undone, and what made the agent give up (a fault
// that it cannot keep in force, a panic), is an error.
func Main(args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("the agent takes no arguments, and got %q", args)
	}
	// A harness that is gone must not kill the agent before it has undone.
	ossignal.Ignore(syscall.SIGPIPE)
	ctx, stop := ossignal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	links, clocks := newLinks(fail), newClocks()
	return serve(ctx, os.Stdin, os.Stdout, hands{
		links:  links.set,
		clock:  clocks.set,
		signal: signal,
		hello: func() (means, lacks map[cluster.Fault]string) {
			means, lacks = maps.Clone(links.means), maps.Clone(links.lacks)
			if lack := clockLacks(); lack != "" {
				lacks[cluster.ClockFault] = lack
			} else {
				means[cluster.ClockFault] = "vDSO patch"
			}
			return means, lacks
		},
		undo: func() error { return errors.Join(links.undo(), clocks.undo()) },
	})
}
