package docker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/docker/agent"
)

const (
	// outputTimeout bounds the wait for a dead node's last words.
	outputTimeout = 5 * time.Second
	// agentTimeout bounds the wait for an agent, which answers in milliseconds.
	agentTimeout = 10 * time.Second
)

var errClosed = errors.New("the cluster is closed")

// A node is a holder, a target and, if there are faults, an agent.
type node struct {
	*containers
	name cluster.Node
	logs string // its directory

	// From Build on, these do not change.
	place      cluster.Place
	ip         netip.Addr
	addresses  []string // where clients reach its ports: the main one, then the Spec's
	holder     string   // the container's ID
	holderLog  logFile
	holderEnds *stdio
	agent      *agent.Client // nil if there are no faults
	agentLog   logFile
	hello      agent.Response // what the agent can do

	// acting is held throughout start, kill, pause, resume and close.
	acting  sync.Mutex
	target  string          // the container's ID
	program cluster.Program // that the container was created for
	starts  int
	closed  bool

	// mu guards the rest, and is never held for long.
	mu    sync.Mutex
	state cluster.State
	life  *life // the present or last one; nil before the first
}

// A life is one run of a node's target.
type life struct {
	started        time.Time
	stdout, stderr logFile
	stdio          *stdio
	waiting        context.Context    // ended by forget
	forget         context.CancelFunc // no longer awaits the exit
	exit           client.ContainerWaitResult

	// Guarded by node.mu.
	killed    bool // by us
	signalled bool // SIGKILL, to some of its processes

	gone chan struct{} // closed when it has ended
	end  string        // how it ended, valid when gone
}

func (n *node) currentState() cluster.State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

func (n *node) start(ctx context.Context) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	if n.closed {
		return errClosed
	}
	if state := n.currentState(); state == cluster.Running || state == cluster.Paused {
		return fmt.Errorf("it is %s already; kill it first", state)
	}
	program, err := n.spec.ProgramAt(n.place)
	if err != nil {
		return err
	}
	replaced := !reflect.DeepEqual(program, n.program)
	if replaced {
		if _, err := n.engine.api.ContainerRemove(ctx, n.target, client.ContainerRemoveOptions{RemoveVolumes: true}); unlessGone(err) != nil {
			return fmt.Errorf("remove the container of its former program: %w", err)
		}
		if err := n.createTarget(ctx, program); err != nil {
			return err
		}
	}
	if err := n.write(ctx, program.Files); err != nil {
		return err
	}
	l, err := n.newLife(ctx, replaced)
	if err != nil {
		return err
	}
	if _, err := n.engine.api.ContainerStart(ctx, n.target, client.ContainerStartOptions{}); err != nil {
		l.forget()
		l.awaitExit()
		l.close()
		return err
	}
	n.mu.Lock()
	n.life, n.state = l, cluster.Running
	n.mu.Unlock()
	go n.await(l, n.target)
	return nil
}

// newLife prepares for the start of the target.
func (n *node) newLife(ctx context.Context, replaced bool) (*life, error) {
	n.starts++
	l := &life{gone: make(chan struct{}), started: time.Now()}
	title := fmt.Sprintf("start %d", n.starts)
	if replaced {
		title += " with another program, so in a new container, which has nothing but the data directory of the old one"
	}
	var err error
	if l.stdout, err = openLog(n.logs, "stdout.log", n.name, title); err != nil {
		return nil, err
	}
	if l.stderr, err = openLog(n.logs, "stderr.log", n.name, title); err != nil {
		l.stdout.Close()
		return nil, err
	}
	if l.stdio, err = n.engine.attach(ctx, n.target, false, l.stdout, l.stderr); err != nil {
		l.stdout.Close()
		l.stderr.Close()
		return nil, err
	}
	// Asked before the start, so that no exit is missed.
	l.waiting, l.forget = context.WithCancel(context.WithoutCancel(ctx))
	l.exit = n.engine.api.ContainerWait(l.waiting, n.target, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	return l, nil
}

// awaitExit returns the exit status.
func (l *life) awaitExit() (int64, error) {
	select {
	case result := <-l.exit.Result:
		return result.StatusCode, nil
	case err := <-l.exit.Error:
		return 0, err
	}
}

// close waits for the last words, and adds how it ended.
func (l *life) close() {
	timer := time.NewTimer(outputTimeout)
	defer timer.Stop()
	select {
	case <-l.stdio.copied:
	case <-timer.C:
	}
	l.stdio.Close()
	l.stdout.Close()
	if l.end != "" {
		l.stderr.mark(l.end)
	}
	l.stderr.Close()
}

// await sees a life of the container to its end.
func (n *node) await(l *life, target string) {
	status, err := l.awaitExit()
	if err != nil && l.waiting.Err() == nil { // the connection broke, not the node
		l.exit = n.engine.api.ContainerWait(l.waiting, target, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
		status, err = l.awaitExit()
	}
	n.mu.Lock()
	killed := l.killed || l.signalled && status == 128+int64(syscall.SIGKILL)
	// An end that nobody has seen may be none.
	tells := !killed && err == nil && n.spec.Exited != nil
	if tells {
		n.telling.Add(1) // before close can look
	}
	n.mu.Unlock()
	var how string
	if tells {
		how = n.engine.statusOf(l.waiting, target, status)
	}
	l.forget()
	state := cluster.Exited
	switch {
	case killed:
		state = cluster.Down
		l.end = "was killed"
	case err != nil:
		l.end = fmt.Sprintf("was lost sight of: %v", err)
	default:
		l.end = fmt.Sprintf("exited with status %d %.1f s after start", status, time.Since(l.started).Seconds())
	}
	l.close()
	l.end += "; see " + l.stderr.Name()
	n.mu.Lock()
	n.state = state
	n.mu.Unlock()
	close(l.gone)
	if tells {
		defer n.telling.Done()
		n.spec.Exited(n.name, how)
	}
}

// linuxSignals are those that end programs, wherever the harness runs.
var linuxSignals = map[int64]string{
	1: "hangup", 2: "interrupt", 3: "quit", 4: "illegal instruction", 5: "trace/breakpoint trap",
	6: "aborted", 7: "bus error", 8: "floating point exception", 9: "killed", 11: "segmentation fault",
	13: "broken pipe", 14: "alarm clock", 15: "terminated",
}

// statusOf says how a container ended, in the words of package os, if it did not
// start again since. The engine tells the signal N as the status 128+N.
func (e *engine) statusOf(ctx context.Context, container string, status int64) string {
	how := fmt.Sprintf("exit status %d", status)
	if name := linuxSignals[status-128]; name != "" {
		how = "signal: " + name
	}
	ctx, cancel := context.WithTimeout(ctx, outputTimeout)
	defer cancel()
	// An error leaves untold only whether memory was the reason.
	inspected, err := e.api.ContainerInspect(ctx, container, client.ContainerInspectOptions{})
	if err == nil && inspected.Container.State != nil && inspected.Container.State.OOMKilled {
		how += ", out of memory"
	}
	return how
}

func (n *node) kill(ctx context.Context) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	n.mu.Lock()
	l, state := n.life, n.state
	if state == cluster.Down || state == cluster.Exited {
		n.mu.Unlock()
		return nil
	}
	l.killed = true
	n.mu.Unlock()
	_, err := n.engine.api.ContainerKill(ctx, n.target, client.ContainerKillOptions{Signal: "SIGKILL"})
	if err != nil && !errdefs.IsConflict(err) { // a conflict: it has just ended
		return err
	}
	select {
	case <-l.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("it has got SIGKILL but is not gone yet; kill again to wait on: %w", ctx.Err())
	}
}

// freezeTries bounds how often the kernel is asked to freeze a node: on a busy
// machine the freezer of cgroup v1 gives up, and leaves the node running.
const freezeTries = 3

func (n *node) pause(ctx context.Context) error {
	return n.turn(cluster.Running, cluster.Paused, func() error {
		_, err := n.engine.api.ContainerPause(ctx, n.target, client.ContainerPauseOptions{})
		for tries := 1; err != nil && tries < freezeTries && strings.Contains(err.Error(), "unable to freeze"); tries++ {
			_, err = n.engine.api.ContainerPause(ctx, n.target, client.ContainerPauseOptions{})
		}
		return err
	})
}

func (n *node) resume(ctx context.Context) error {
	return n.turn(cluster.Paused, cluster.Running, func() error {
		_, err := n.engine.api.ContainerUnpause(ctx, n.target, client.ContainerUnpauseOptions{})
		return err
	})
}

// turn brings the node from one state to another, by the action.
func (n *node) turn(from, to cluster.State, action func() error) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	switch n.currentState() {
	case to:
		return nil
	case from:
	default:
		return n.notRunning()
	}
	if err := action(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state == from { // it may have ended meanwhile
		n.state = to
	}
	return nil
}

// notRunning says why there is nothing to act on.
func (n *node) notRunning() error {
	if n.life == nil {
		return errors.New("it is not running: it was never started")
	}
	<-n.life.gone
	return fmt.Errorf("it is not running: it %s", n.life.end)
}

// ask asks the node's agent.
func (n *node) ask(ctx context.Context, request agent.Request) (agent.Response, error) {
	if n.agent == nil {
		return agent.Response{}, fmt.Errorf("%s: no agent was started, as the trial named no faults in advance", n.name)
	}
	ctx, cancel := context.WithTimeout(ctx, agentTimeout)
	defer cancel()
	response, err := n.agent.Do(ctx, request)
	if err != nil {
		err = fmt.Errorf("%s: %w (%s may tell more)", n.name, err, n.agentLog.Name())
	}
	return response, err
}

func (n *node) signal(ctx context.Context, process string, signal syscall.Signal) error {
	if signal == syscall.SIGKILL {
		n.mu.Lock()
		if n.life != nil {
			n.life.signalled = true
		}
		n.mu.Unlock()
	}
	_, err := n.ask(ctx, agent.Request{Signal: &agent.SignalRequest{Process: process, Signal: signal}})
	return err
}

// retire lets the node's present life be the last one, which is about to end.
func (n *node) retire() {
	n.acting.Lock()
	defer n.acting.Unlock()
	n.closed = true
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life != nil {
		n.life.killed = true
	}
}

// close ends what is left here of a node whose containers are gone.
func (n *node) close() {
	if n.life != nil {
		n.life.forget() // if its exit was not told
		<-n.life.gone
	}
	if n.agent != nil {
		n.agent.Close()
		n.agentLog.Close()
	}
	if n.holderEnds != nil {
		n.holderEnds.Close()
	}
	n.holderLog.Close()
}
