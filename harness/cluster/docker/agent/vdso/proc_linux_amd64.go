package vdso

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// nodeThreads returns the process of every thread in this PID namespace, but
// those of PID 1 and of this program.
func nodeThreads() (map[int]int, error) {
	threads := make(map[int]int)
	pids, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, entry := range pids {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == 1 || pid == os.Getpid() {
			continue
		}
		tids, err := os.ReadDir(filepath.Join("/proc", entry.Name(), "task"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
			return nil, err
		}
		for _, entry := range tids {
			if tid, err := strconv.Atoi(entry.Name()); err == nil {
				threads[tid] = pid
			}
		}
	}
	return threads, nil
}

// procFile reads a file of a thread under /proc; it is empty if the thread has
// ended.
func procFile(tid int, file string) string {
	b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(tid), file))
	return string(bytes.TrimSpace(b))
}

// threadState returns the letter of /proc/TID/stat, such as R, S, D, T or Z,
// and X if the thread has ended.
func threadState(tid int) string {
	stat := procFile(tid, "stat")
	if behind := strings.LastIndex(stat, ") "); behind >= 0 && behind+2 < len(stat) {
		return stat[behind+2 : behind+3]
	}
	return "X"
}

// alive tells whether a process still has a program, which a zombie has not.
func alive(pid int) bool {
	_, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH)
}

// statusField returns a number of /proc/TID/status, or 0.
func statusField(tid int, field string) int {
	for line := range strings.Lines(procFile(tid, "status")) {
		if value, found := strings.CutPrefix(line, field+":"); found {
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			return n
		}
	}
	return 0
}

// programCounter returns where a thread that does not run will go on.
func programCounter(tid int) (int64, error) {
	fields := strings.Fields(procFile(tid, "syscall"))
	if len(fields) == 0 {
		return 0, fmt.Errorf("thread %d has ended", tid)
	}
	return strconv.ParseInt(fields[len(fields)-1], 0, 64)
}

func name(pid int) string {
	return fmt.Sprintf("process %d (%s)", pid, procFile(pid, "comm"))
}
