package process

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// groupLeader makes a process group.
func groupLeader() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit returns when the child has ended, and leaves it to be reaped.
// waitid is of no use here: it returns for a stopped child, too (go.dev/issue/19314).
func awaitExit(pid int) {
	queue, err := unix.Kqueue()
	for err != nil { // too many open files: they come and go
		time.Sleep(10 * time.Millisecond)
		queue, err = unix.Kqueue()
	}
	defer unix.Close(queue)
	unix.CloseOnExec(queue)
	var exit unix.Kevent_t
	unix.SetKevent(&exit, pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	exit.Fflags = unix.NOTE_EXIT
	changes, events := []unix.Kevent_t{exit}, make([]unix.Kevent_t, 1)
	for {
		// Any error but EINTR is ESRCH: it has ended already.
		if _, err := unix.Kevent(queue, changes, events, nil); err != unix.EINTR {
			return
		}
	}
}

// stopped reports whether the process is stopped.
func stopped(pid int) bool {
	const sstop = 4 // SSTOP of <sys/proc.h>
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	return err == nil && info.Proc.P_stat == sstop
}

// groupRuns reports whether a process of the group is left.
func groupRuns(group int) bool { return unix.Kill(-group, 0) == nil }

// reserve holds a TCP port against other harnesses by a UDP socket of the same
// number, which is what they must have first. A bound TCP socket would do harm
// here: it makes the kernel drop what it should refuse. Against other programs
// nothing is needed, as the kernel does not give out ports below the ephemeral
// range by itself.
func reserve(port int) (io.Closer, error) {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	held, err := net.ListenPacket("udp4", address)
	if err != nil {
		return nil, err
	}
	probe, err := net.Listen("tcp4", address)
	if err != nil {
		held.Close()
		return nil, err
	}
	return held, probe.Close()
}

// ephemeralPorts returns the first port that the kernel gives out by itself.
func ephemeralPorts() int { return 49152 }

// allProcesses returns the numbers of this user's.
func allProcesses() (pids []int) {
	all, _ := unix.SysctlKinfoProcSlice("kern.proc.uid", unix.Geteuid())
	for _, info := range all {
		pids = append(pids, int(info.Proc.P_pid))
	}
	return pids
}

// environment returns a process's arguments and variables, each between two zeros.
func environment(pid int) []byte {
	text, _ := unix.SysctlRaw("kern.procargs2", pid)
	return append(text, 0)
}
