package docker

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// An owner is a process, named such that no other process is ever called the
// same: its number is given to another after its end, but not with that start.
type owner struct {
	// machine tells apart what has process numbers of its own: machines, and
	// PID namespaces.
	machine string
	pid     int
	start   string
}

func thisProcess() owner {
	start, _ := startOf(os.Getpid())
	return owner{thisMachine(), os.Getpid(), start}
}

// thisMachine contains no space.
func thisMachine() string {
	name, _ := os.Hostname()
	return strings.Join(strings.Fields(name+"/"+pidNamespace()), "-")
}

func (o owner) String() string { return fmt.Sprintf("%s %d %s", o.machine, o.pid, o.start) }

// parseOwner is the inverse of String.
func parseOwner(text string) (o owner, ok bool) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return owner{}, false
	}
	pid, err := strconv.Atoi(fields[1])
	return owner{fields[0], pid, fields[2]}, err == nil && pid > 0
}

// isGone reports whether the process has certainly ended.
func (o owner) isGone() bool {
	if o.machine != thisMachine() {
		return false
	}
	start, running := startOf(o.pid)
	return !running || start != o.start
}
