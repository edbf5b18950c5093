//go:build linux || darwin

package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// A guardian starts the nodes and sees to it that they die with the harness,
// by two means that cover each other's gaps.
//
// On Linux, the kernel kills a node when the thread that forked it ends
// (Pdeathsig). Go ends threads as it likes, so all nodes are forked by one
// goroutine that keeps its thread for as long as the guardian lives. This acts
// at once and without a gap, but it does not reach a node's own children.
//
// On every system, a reaper waits in another session, where neither Ctrl-C nor
// a closing terminal reaches it: a shell that reads, from a pipe whose only
// writer is the harness, which process groups to kill and which not any more.
// However the harness ends, the kernel closes the pipe; the reaper then kills
// the groups and removes the data. A group is struck from the list before its
// leader is reaped, that is, while its number cannot be given to another. It is
// put on the list by its own leader, before that becomes the node: were it left
// to the harness, a harness killed right after the fork would leave a group that
// nobody knows.
type guardian struct {
	forks  chan func()
	forked chan struct{} // closed when the forking goroutine has ended
	reaper *exec.Cmd
	pipe   *os.File
}

const shell = "/bin/sh"

// A node begins as this script, and its arguments are the node's command line.
const leaderScript = `echo "guard $$" >&3 && exec "$0" "$@" 3>&-`

// A killed process may still be writing when the first rm runs.
const reaperScript = `
groups=
while read -r verb group; do
	case $verb in
	guard) groups="$groups $group" ;;
	forget)
		rest=
		for g in $groups; do [ "$g" = "$group" ] || rest="$rest $g"; done
		groups=$rest ;;
	dismissed) exit 0 ;;
	esac
done
for g in $groups; do kill -s KILL -- "-$g"; done
for attempt in 1 2 3 4 5; do
	rm -rf -- "$1" && break
	sleep 1
done
`

// newGuardian returns a guardian that removes the directory data if the harness
// dies. The directory need not exist yet.
func newGuardian(data string) (*guardian, error) {
	read, write, err := os.Pipe() // close-on-exec: no node inherits an end
	if err != nil {
		return nil, err
	}
	reaper := exec.Command(shell, "-c", reaperScript, "rashomon-reaper", data)
	reaper.Dir = "/"
	reaper.Stdin = read
	reaper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = reaper.Start()
	read.Close()
	if err != nil {
		write.Close()
		return nil, fmt.Errorf("the reaper, which kills nodes if the harness is killed, did not start: %w", err)
	}
	g := &guardian{forks: make(chan func()), forked: make(chan struct{}), reaper: reaper, pipe: write}
	go func() {
		defer close(g.forked)
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		for fork := range g.forks {
			fork()
		}
	}()
	return g, nil
}

// start starts a command as the leader of a guarded process group.
func (g *guardian) start(cmd *exec.Cmd) error {
	cmd.Args = append([]string{shell, "-c", leaderScript, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
	cmd.ExtraFiles = []*os.File{g.pipe} // as 3
	cmd.SysProcAttr = groupLeader()
	done := make(chan error)
	g.forks <- func() { done <- cmd.Start() }
	return <-done
}

// forget is told of a group whose leader has ended, before it is reaped.
func (g *guardian) forget(pid int) {
	// An error means that the reaper is gone. Then no node starts any more.
	fmt.Fprintf(g.pipe, "forget %d\n", pid)
}

// dismiss ends the guardian, once all nodes are gone.
func (g *guardian) dismiss() error {
	close(g.forks)
	<-g.forked
	_, err := fmt.Fprintln(g.pipe, "dismissed")
	err = errors.Join(err, g.pipe.Close(), g.reaper.Wait())
	if err != nil {
		return fmt.Errorf("the reaper did not end orderly: %w", err)
	}
	return nil
}
