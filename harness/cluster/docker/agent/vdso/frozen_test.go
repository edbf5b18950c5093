//go:build linux && amd64

package vdso

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// freezer makes a cgroup with the process in it, as docker pause uses it, and
// returns what freezes and thaws it.
func freezer(t *testing.T, pid int) (freeze, thaw func()) {
	t.Helper()
	root, file, frozen, thawed := "/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED"
	if _, err := os.Stat(root); err != nil {
		root, file, frozen, thawed = "/sys/fs/cgroup", "cgroup.freeze", "1", "0"
	}
	dir, err := os.MkdirTemp(root, "rashomon-vdso-test-")
	if err != nil {
		t.Skipf("needs a cgroup that can be frozen: %v", err)
	}
	write := func(file, value string) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
			t.Error(err)
		}
	}
	freeze = func() { write(file, frozen) }
	thaw = func() { write(file, thawed) }
	write("cgroup.procs", strconv.Itoa(pid))
	t.Cleanup(func() {
		thaw()
		waitFor(t, "the cgroup to be empty", func() bool { return os.Remove(dir) == nil })
	})
	return freeze, thaw
}

// Clocks can be set, and made right, while the node is paused.
func TestFrozenTarget(t *testing.T) {
	n := newNode(t)
	reader := n.start(role("reader", "4"))
	freeze, thaw := freezer(t, reader.cmd.Process.Pid)
	t.Cleanup(reader.kill)
	reader.reading()
	for i := range 5 {
		want := time.Hour * time.Duration(i%2)
		n.set(cluster.Clock{Offset: time.Minute * time.Duration(i%3)})
		freeze()
		n.set(cluster.Clock{Offset: 2 * time.Hour})
		at := n.set(cluster.Clock{Offset: want})
		thaw()
		for _, r := range reader.readingsAfter(at, 20) {
			near(t, r, "wall", want)
		}
	}
	at := n.set(cluster.Clock{})
	for _, r := range reader.readingsAfter(at, 20) {
		near(t, r, "wall", 0)
	}
	waitFor(t, "the tracer to let go", func() bool { return !reader.traced() })
}
