package vdso

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// gateAddress is an abstract unix socket: it needs no file, and belongs to the
// network namespace that target and agent share.
const gateAddress = "@rashomon-gate"

const (
	gateGo    = "go"
	gateLimit = 30 * time.Second
)

// Gate waits until the agent of this network namespace has made sure that the
// program's clock will be the node's, and becomes the program. Args are the
// program, which is looked up in PATH, and its arguments; a leading "--" is
// skipped. It returns only if that fails.
func Gate(args []string) error {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return errors.New("the gate needs a command (want gate -- COMMAND ARGUMENTS…)")
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return fmt.Errorf("look up the command behind the gate: %w", err)
	}
	if err := waitForGo(gateAddress, gateLimit); err != nil {
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	return fmt.Errorf("start %s: %w", path, syscall.Exec(path, args, os.Environ()))
}

// waitForGo waits so long for an agent to appear. Once it is there, its answer
// is not timed: the agent's own limits bound it, and this process' clock may
// jump meanwhile.
func waitForGo(address string, limit time.Duration) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		answer := ""
		conn, err := net.Dial("unix", address)
		if err == nil {
			var b []byte
			b, err = io.ReadAll(io.LimitReader(conn, 4096))
			conn.Close()
			answer = string(b)
		}
		switch {
		case answer == gateGo:
			return nil
		case answer != "":
			return fmt.Errorf("the agent says: %s", answer)
		case err == nil:
			err = errors.New("the agent went away")
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("no agent answered at %s within %v: %w", address, limit, err)
		}
	}
}
