package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	// maxComm is the length to which the kernel cuts a process's name.
	maxComm = 15
	// looks bounds the hunt for children that are born while their parents
	// are signalled.
	looks = 100
	// initialNamespace is the inode of the machine's own PID namespace.
	initialNamespace = "pid:[4026531836]"
)

// signal sends the signal to all processes of that name, or to every one, but
// never to PID 1, which holds the namespaces, and to the agent itself. It is an
// error if there are none.
func signal(request SignalRequest) error {
	if request.Process == "" {
		if namespace, err := os.Readlink("/proc/self/ns/pid"); err != nil || namespace == initialNamespace {
			return errors.New("the agent has no PID namespace of its own, and will not signal every process of the machine")
		}
	}
	signalled := make(map[int]bool)
	for range looks {
		found, err := processes(request.Process)
		if err != nil {
			return err
		}
		fresh := 0
		for _, pid := range found {
			if signalled[pid] {
				continue
			}
			err := syscall.Kill(pid, request.Signal)
			if errors.Is(err, syscall.ESRCH) {
				continue
			}
			if err != nil {
				return fmt.Errorf("cannot send %v to process %d: %w (the agent may need CAP_KILL)", request.Signal, pid, err)
			}
			signalled[pid] = true
			fresh++
		}
		switch {
		case fresh > 0:
		case len(signalled) > 0:
			return nil
		case request.Process == "":
			return errors.New("no process runs on the node")
		default:
			return fmt.Errorf("no process is named %q", request.Process)
		}
	}
	return fmt.Errorf("processes named %q multiply faster than %v reaches them", request.Process, request.Signal)
}

// processes returns those that may be signalled and are not dead yet.
func processes(name string) ([]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(dirs) == 0 {
		return nil, errors.New("/proc is not mounted, so that no process can be found")
	}
	var found []int
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == 1 || pid == os.Getpid() {
			continue
		}
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // gone
		}
		// PID (name) state …, where the name may contain anything.
		begin, end := strings.IndexByte(string(stat), '('), strings.LastIndex(string(stat), ") ")
		if begin < 0 || end < begin {
			continue
		}
		comm, state := string(stat[begin+1:end]), stat[end+2]
		if state == 'Z' || state == 'X' || name != "" && comm != name[:min(len(name), maxComm)] {
			continue
		}
		found = append(found, pid)
	}
	return found, nil
}
