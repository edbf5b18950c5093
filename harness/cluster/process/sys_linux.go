package process

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// groupLeader makes a process group, and dies with the thread that forks.
func groupLeader() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit returns when the child has ended, and leaves it to be reaped.
func awaitExit(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// stopped reports whether every thread of the process is stopped.
func stopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	return len(threads) > 0 && !slices.ContainsFunc(threads, func(path string) bool {
		return !strings.Contains("T t Z X", readStat(path).state)
	})
}

// groupRuns reports whether a process of the group is left. A zombie does not
// count: in a container, there is often nobody who would reap it. But one with
// threads is only its main thread's, while the others still hold its sockets.
func groupRuns(group int) bool {
	if unix.Kill(-group, 0) != nil {
		return false
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/stat")
	return slices.ContainsFunc(processes, func(path string) bool {
		s := readStat(path)
		return s.group == group && (s.threads > 1 || !strings.Contains("Z X", s.state))
	})
}

// A stat is what /proc tells of a process or thread.
type stat struct {
	state          string // a letter
	group, threads int
}

// readStat returns a stat (proc(5)). One that has gone meanwhile is dead.
func readStat(path string) stat {
	text, err := os.ReadFile(path)
	// "pid (name) state …", where the name may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if err != nil || len(fields) < 18 {
		return stat{state: "X"}
	}
	group, _ := strconv.Atoi(fields[2])
	threads, _ := strconv.Atoi(fields[17])
	return stat{fields[0], group, threads}
}

// reserve holds a TCP port by a socket that is bound and never listens. Bound
// without SO_REUSEADDR, it fails if anybody has the port; given the option
// afterwards, it lets a listener that has the option too, as servers do, bind
// beside it (Linux, inet_csk_bind_conflict). The kernel gives the port to
// nobody who does not ask for it, and while only this socket has it,
// connections are refused.
func reserve(port int) (io.Closer, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	socket := os.NewFile(uintptr(fd), "reservation of port "+strconv.Itoa(port))
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		socket.Close()
		return nil, os.NewSyscallError("bind", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		socket.Close()
		return nil, os.NewSyscallError("setsockopt", err)
	}
	return socket, nil
}

// ephemeralPorts returns the first port that the kernel gives out by itself.
func ephemeralPorts() int {
	first := highestPort
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		fmt.Sscan(string(text), &first)
	}
	return first
}

// allProcesses returns their numbers.
func allProcesses() (pids []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range paths {
		if pid, err := strconv.Atoi(filepath.Base(path)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// environment returns a process's variables, each between two zeros; nothing if it
// is a zombie, or another user's.
func environment(pid int) []byte {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return append([]byte{0}, text...)
}
