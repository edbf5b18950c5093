//go:build linux || darwin

package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A data directory is its harness's for as long as that holds the lock on a file
// within. The kernel gives the lock back when the harness ends, however it does: so
// what nobody holds was left by one that died together with its guardian. The next
// Build removes it, and kills the processes whose environment names the directory.
// One that has cleared its environment is not found.
const (
	dataPattern = "rashomon-*"
	lockName    = ".lock" // which no node is called

	// clusterVariable names the data directory to all processes of a cluster.
	clusterVariable = "RASHOMON_CLUSTER"
)

// claim makes a data directory, and holds it until the lock is closed.
func claim(data string) (lock *os.File, err error) {
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	// The file gets its name when it is locked, so that no other harness ever sees
	// it without its lock.
	path := filepath.Join(data, lockName)
	if lock, err = os.OpenFile(path+".new", os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, errors.Join(err, os.RemoveAll(data))
	}
	if err := errors.Join(unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB), os.Rename(path+".new", path)); err != nil {
		return nil, errors.Join(err, lock.Close(), os.RemoveAll(data))
	}
	return lock, nil
}

// sweep removes what dead harnesses of this user have left.
func sweep() error {
	locks, _ := filepath.Glob(filepath.Join(os.TempDir(), dataPattern, lockName))
	var errs []error
	for _, path := range locks {
		if err := sweepOne(path); err != nil {
			errs = append(errs, fmt.Errorf("remove what a dead trial has left in %s: %w", filepath.Dir(path), err))
		}
	}
	return errors.Join(errs...)
}

func sweepOne(path string) error {
	data := filepath.Dir(path)
	info, err := os.Lstat(data)
	if err != nil || !info.IsDir() || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		return nil
	}
	lock, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil { // its reaper is faster
		return nil
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // its harness lives
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(strayTimeout); killAll(data) > 0; <-again.C {
		if time.Now().After(end) {
			return errors.New("its processes do not die")
		}
	}
	return os.RemoveAll(data)
}

// killAll sends SIGKILL to the processes of a cluster, and returns how many it has
// found.
func killAll(data string) (found int) {
	variable := []byte("\x00" + clusterVariable + "=" + data + "\x00")
	for _, pid := range allProcesses() {
		process, err := os.FindProcess(pid) // a handle: the number may be another's soon
		if err != nil {
			continue
		}
		if bytes.Contains(environment(pid), variable) {
			found++
			process.Kill()
		}
		process.Release()
	}
	return found
}
