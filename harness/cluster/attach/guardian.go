//go:build linux || darwin

package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// guardianRole is the hidden argument that makes this binary the guardian.
const guardianRole = "attach-guardian"

// called says that this program calls Main.
var called bool

// Main runs the guardian and exits, if the command line asks for that: the world
// starts this very binary again. Call it first thing in main, and in TestMain of tests
// in this world, or else Build refuses.
func Main() {
	called = true
	if len(os.Args) != 2 || os.Args[1] != guardianRole {
		return
	}
	// Whoever ends the harness's session does not end this. Its children are ended as
	// ever, for these signals are not ignored, but nobody listens to them.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	replies := os.NewFile(3, "replies")
	syscall.CloseOnExec(3)
	if err := guard(os.Stdin, replies); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// An order is what the harness wants of the guardian, and a reply what came of it.
type (
	order struct {
		Do   verb
		Node cluster.Node
	}
	reply struct {
		Node  cluster.Node
		Error string
	}
	// a charge is the guardian's, before all orders.
	charge struct {
		Of    Cluster
		Nodes []cluster.Node
	}
)

// guard carries out orders, one a node at a time, until there are no more, which there
// are not once the harness has ended. It returns when all is undone, or what is not.
func guard(orders io.Reader, replies io.Writer) error {
	decoder := json.NewDecoder(orders)
	var c charge
	if err := decoder.Decode(&c); err != nil {
		return err
	}
	h := newHand(c.Of, c.Nodes)
	var working sync.WaitGroup
	var writing sync.Mutex
	for {
		var o order
		if err := decoder.Decode(&o); err != nil { // cut off by the harness's end, or at its end
			break
		}
		working.Go(func() {
			r := reply{Node: o.Node}
			if err := h.carryOut(o.Do, o.Node); err != nil {
				r.Error = err.Error()
			}
			writing.Lock()
			defer writing.Unlock()
			_ = json.NewEncoder(replies).Encode(r) // the harness may be gone
		})
	}
	working.Wait()
	return h.undoAll()
}

// A guardian is the process, as the harness knows it.
type guardian struct {
	process *exec.Cmd
	stdin   *os.File
	log     string
	read    chan struct{} // closed when there are no more replies
	spare   *hand         // that undoes what the guardian does not, if it was killed

	mu      sync.Mutex
	waiting map[cluster.Node]chan reply
}

var errNoMain = errors.New("this program does not call attach.Main, nor rashomon.Command.Main, which does: call it first thing in main, or in a test's func TestMain(m *testing.M) { attach.Main(); os.Exit(m.Run()) }")

func startGuardian(of Cluster, spec cluster.Spec) (*guardian, error) {
	if !called {
		return nil, errNoMain
	}
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	g := &guardian{
		process: exec.Command(path, guardianRole), log: filepath.Join(spec.Logs, "attach.log"),
		read: make(chan struct{}), spare: newHand(of, spec.Nodes), waiting: map[cluster.Node]chan reply{},
	}
	log, err := os.Create(g.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	orders, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer orders.Close()
	replies, answer, err := os.Pipe()
	if err != nil {
		stdin.Close()
		return nil, err
	}
	defer answer.Close()
	g.stdin = stdin
	g.process.Dir = "/"
	g.process.Stdin, g.process.Stderr, g.process.ExtraFiles = orders, log, []*os.File{answer}
	g.process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := g.process.Start(); err != nil {
		stdin.Close()
		replies.Close()
		return nil, fmt.Errorf("the guardian, which undoes faults if the harness is killed, did not start: %w", err)
	}
	go g.listen(replies)
	if err := json.NewEncoder(stdin).Encode(charge{of, spec.Nodes}); err != nil {
		return nil, errors.Join(fmt.Errorf("the guardian does not listen: %w", err), g.dismiss())
	}
	return g, nil
}

// listen hands on replies until the guardian ends.
func (g *guardian) listen(replies *os.File) {
	defer close(g.read)
	defer replies.Close()
	decoder := json.NewDecoder(replies)
	for {
		var r reply
		if err := decoder.Decode(&r); err != nil {
			return
		}
		g.mu.Lock()
		g.waiting[r.Node] <- r
		g.mu.Unlock()
	}
}

var errGone = errors.New("the guardian, which carries out the commands, has ended")

// carryOut has the guardian do it to the node. No two calls are for the same node. It
// does not end with the context: half a fault is neither injected nor healed, and each
// command has a time bound.
func (g *guardian) carryOut(ctx context.Context, do verb, name cluster.Node) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch do {
	case kill:
		g.spare.owesKilled(name)
	case pause:
		g.spare.owes(name, resume)
	}
	replies := make(chan reply, 1)
	g.mu.Lock()
	g.waiting[name] = replies
	err := json.NewEncoder(g.stdin).Encode(order{do, name})
	g.mu.Unlock()
	if err != nil {
		return errGone
	}
	select {
	case r := <-replies:
		if r.Error != "" {
			return errors.New(r.Error)
		}
	case <-g.read:
		return errGone
	}
	switch do {
	case start, resume:
		g.spare.owes(name, "")
	case kill:
		g.spare.owes(name, start)
	}
	return nil
}

// dismiss has everything undone, and returns when it is.
func (g *guardian) dismiss() error {
	closeErr := g.stdin.Close()
	<-g.read
	err := g.process.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && !exit.Exited() { // killed
		return errors.Join(closeErr, g.spare.undoAll())
	}
	if err != nil {
		if said, readErr := os.ReadFile(g.log); readErr == nil {
			return fmt.Errorf("the attached cluster is not as it was: %s", strings.Join(strings.Fields(string(said)), " "))
		}
	}
	return errors.Join(closeErr, err)
}
