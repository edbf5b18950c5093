package docker

import (
	"os"
	"os/signal"
	"syscall"
)

// Holder is the process of a node's holder. It does nothing but keep the node's
// namespaces, and as their PID 1 it reaps the children of the dead. It ends when
// it is killed.
func Holder([]string) error {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	for range children {
		// One signal may stand for many children.
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR {
				break
			}
		}
	}
	return nil
}
