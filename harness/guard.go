package harness

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A panicked is the error of a trial in which code that is not the harness's own
// panicked: the target's, the workload's or the nemesis's.
type panicked struct {
	what  string // such as "Ready"
	value any
	stack string
}

func (p *panicked) Error() string {
	return fmt.Sprintf("%s panicked: %s (%s)", p.what, strings.Join(strings.Fields(fmt.Sprint(p.value)), " "), p.stack)
}

// guard is to be deferred where such code is called. It makes a panic the call's
// error and the end of the trial, so that everything is closed.
func (r *run) guard(what string, err *error) {
	if value := recover(); value != nil {
		r.panicked(what, value, err)
	}
}

func (r *run) panicked(what string, value any, err *error) {
	*err = &panicked{what, value, stack()}
	r.fail(*err)
}

// stack returns the innermost calls of a panic, in a line.
func stack() string {
	const most = 5
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers)])
	var calls []string
	for panicking := false; len(calls) < most; {
		frame, more := frames.Next()
		ours := strings.HasPrefix(frame.Function, "runtime.")
		panicking = panicking || frame.Function == "runtime.gopanic"
		if panicking && !ours {
			calls = append(calls, fmt.Sprintf("%s %s:%d", path.Base(frame.Function), path.Base(frame.File), frame.Line))
		}
		if !more {
			break
		}
	}
	return strings.Join(calls, " < ")
}

// within calls what may ignore its context. If that has ended and the call has not
// returned, it is left behind, and told of.
func within[T any](ctx context.Context, r *run, what string, call func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		defer func() { answers <- a }()
		defer r.guard(what, &a.err)
		a.value, a.err = call(ctx)
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-timer.C:
	}
	r.tell("%s ignores its context; a call of it that still hangs is left behind", what)
	var none T
	return none, fmt.Errorf("%s ignores its context and has not returned: %w", what, context.Cause(ctx))
}

// program is the target's. One that panics gets a path at which there is nothing, as
// no path would mean this very binary.
func (r *run) program(place cluster.Place) (program cluster.Program) {
	var err error
	defer func() {
		if err != nil {
			program = cluster.Program{Path: err.Error()}
		}
	}()
	defer r.guard("the target's Program", &err)
	return r.Target.Program(place)
}

// open returns a client of the node.
func (r *run) open(ctx context.Context, node cluster.Node) (client Client, err error) {
	defer r.guard("the target's Open", &err)
	client, err = r.Target.Open(ctx, clientSide{r.cluster}, node)
	if err == nil && client == nil {
		err = errNoClient
	}
	return client, err
}

// A clientSide is a cluster at the addresses that lead over the links of clients.
type clientSide struct{ cluster.Cluster }

func (c clientSide) Address(node cluster.Node) string { return c.ClientAddress(node, "") }

func (c clientSide) PortAddress(node cluster.Node, port string) string {
	return c.ClientAddress(node, port)
}

var errNoClient = errors.New("Open returned no client and no error")

// shut closes a client.
func (r *run) shut(client Client) (err error) {
	defer r.guard("the client's Close", &err)
	return client.Close()
}

// leader asks the target who leads. While an earlier question hangs, none is asked.
func (r *run) leader() func(context.Context) (cluster.Node, error) {
	if r.Target.Leader == nil {
		return nil
	}
	asking := make(chan struct{}, 1)
	return func(ctx context.Context) (cluster.Node, error) {
		select {
		case asking <- struct{}{}:
		default:
			return "", errors.New("Leader has not returned since it was asked last")
		}
		ctx, cancel := context.WithTimeout(ctx, leaderBudget)
		defer cancel()
		return within(ctx, r, "the target's Leader", func(ctx context.Context) (cluster.Node, error) {
			defer func() { <-asking }()
			return r.Target.Leader(ctx, r.cluster)
		})
	}
}
