//go:build linux || darwin

package attach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A verb is what can be done to a node.
type verb string

const (
	find   verb = "find" // that it runs
	kill   verb = "kill"
	start  verb = "start"
	pause  verb = "pause"
	resume verb = "resume"
	// revive resumes, and then starts: of a paused node that may have been killed.
	revive verb = "resume and start"
)

const (
	// pollEvery is how often a node is asked whether it runs.
	pollEvery = 100 * time.Millisecond
	// undoTries and undoEvery bound how often an undo that fails is tried.
	undoTries = 3
	undoEvery = time.Second
	// quoted bounds what is told of a command's output, in bytes.
	quoted = 500
)

// A hand carries out commands, and undoes what they did. Its methods may be called
// concurrently, but for the same node.
type hand struct {
	of    Cluster
	nodes map[cluster.Node]Node

	mu   sync.Mutex
	undo map[cluster.Node]verb // what undoes what was done, or was about to be
}

func newHand(of Cluster, names []cluster.Node) *hand {
	h := &hand{of: of, nodes: map[cluster.Node]Node{}, undo: map[cluster.Node]verb{}}
	for i, name := range names {
		h.nodes[name] = of.Nodes[i]
	}
	return h
}

// owes notes what is to be undone from now on; nothing if it is no verb.
func (h *hand) owes(name cluster.Node, undo verb) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.undo[name] = undo
}

// owesKilled notes what undoes a kill that has not ended yet.
func (h *hand) owesKilled(name cluster.Node) {
	undo := start
	if was := h.owed(name); was == resume || was == revive {
		undo = revive
	}
	h.owes(name, undo)
}

func (h *hand) owed(name cluster.Node) verb {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.undo[name]
}

// carryOut does it to the node, and returns when it is done.
func (h *hand) carryOut(do verb, name cluster.Node) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), CommandTimeout, fmt.Errorf("it has not ended after %v", CommandTimeout))
	defer cancel()
	switch do {
	case find:
		return h.find(ctx, name)
	case kill:
		h.owesKilled(name) // whatever comes of it
		if err := h.command(ctx, h.of.Kill, name); err != nil {
			return err
		}
		if err := h.await(ctx, name, false); err != nil {
			return err
		}
		h.owes(name, start)
		return nil
	case pause:
		h.owes(name, resume)
		return h.command(ctx, h.of.Pause, name)
	case start:
		if err := h.command(ctx, h.of.Start, name); err != nil {
			return err
		}
		if err := h.await(ctx, name, true); err != nil {
			return err
		}
	case resume:
		if err := h.command(ctx, h.of.Resume, name); err != nil {
			return err
		}
	default:
		return fmt.Errorf("nobody knows how to %s a node", do)
	}
	h.owes(name, "")
	return nil
}

// find returns nil if the node runs.
func (h *hand) find(ctx context.Context, name cluster.Node) error {
	node := h.nodes[name]
	if len(h.of.Runs) == 0 {
		if err := serves(ctx, node.Address); err != nil {
			return fmt.Errorf("it does not serve, and was not touched: %w", err)
		}
		return nil
	}
	runs, err := h.runs(ctx, name)
	if err == nil && !runs {
		err = errors.New("it does not run, and was not touched; start it first")
	}
	return err
}

// await waits until the node runs, or does not, if there is a command that tells.
func (h *hand) await(ctx context.Context, name cluster.Node, want bool) error {
	if len(h.of.Runs) == 0 {
		return nil
	}
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	var why error
	for {
		runs, err := h.runs(ctx, name)
		if err == nil && runs == want {
			return nil
		}
		if err == nil {
			told := map[bool]string{true: "does not run", false: "still runs"}[want]
			err = fmt.Errorf("by %q, it %s", strings.Join(h.words(h.of.Runs, name), " "), told)
		}
		if why == nil || ctx.Err() == nil { // an answer that was cut short says less than the one before
			why = err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("%w after %v", why, CommandTimeout)
		}
	}
}

func (h *hand) runs(ctx context.Context, name cluster.Node) (bool, error) {
	const unknown = 255 // as ssh's
	err := h.command(ctx, h.of.Runs, name)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() && exit.ExitCode() != unknown {
		return false, nil
	}
	return err == nil, err
}

func (h *hand) words(command []string, name cluster.Node) []string {
	node := h.nodes[name]
	host, port, _ := net.SplitHostPort(node.Address)
	fill := strings.NewReplacer("{name}", node.Name, "{address}", node.Address, "{host}", host, "{port}", port)
	var words []string
	for _, word := range command {
		words = append(words, fill.Replace(word))
	}
	return words
}

// command runs a command to its end. Its output goes to a file, which a daemon that it
// has started may keep.
func (h *hand) command(ctx context.Context, command []string, name cluster.Node) error {
	words := h.words(command, name)
	output, err := os.CreateTemp("", "rashomon-attach-*")
	if err != nil {
		return err
	}
	defer output.Close()
	if err := os.Remove(output.Name()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err = cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	said := make([]byte, quoted)
	n, readErr := output.ReadAt(said, 0)
	if readErr != nil && readErr != io.EOF {
		return readErr
	}
	told := strings.Join(strings.Fields(string(said[:n])), " ")
	if told == "" {
		told = "it said nothing"
	}
	return fmt.Errorf("%q: %w: %s", strings.Join(words, " "), err, told)
}

// undoAll undoes everything on all nodes at once, and returns what it could not.
func (h *hand) undoAll() error {
	errs := make(chan error, len(h.nodes))
	for name := range h.nodes {
		go func() { errs <- h.undoOn(name) }()
	}
	var all []error
	for range h.nodes {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

func (h *hand) undoOn(name cluster.Node) (err error) {
	undo := h.owed(name)
	if undo == "" {
		return nil
	}
	if undo == revive {
		ctx, cancel := context.WithTimeout(context.Background(), CommandTimeout)
		_ = h.command(ctx, h.of.Resume, name) // it may be gone
		cancel()
		undo = start
	}
	if undo == start && len(h.of.Runs) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), CommandTimeout)
		defer cancel()
		if runs, err := h.runs(ctx, name); err == nil && runs { // the kill has failed, or somebody else has started it
			return nil
		}
	}
	retry := time.NewTicker(undoEvery)
	defer retry.Stop()
	for try := range undoTries {
		if try > 0 {
			<-retry.C
		}
		if err = h.carryOut(undo, name); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s (%s) is left as it is, %s it by hand: %w", name, h.nodes[name].Name, undo, err)
}
