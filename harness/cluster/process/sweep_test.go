//go:build linux || darwin

package process

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// What a harness leaves that was killed together with its guardian goes with the
// next Build. What a living one has stays.
func TestSweep(t *testing.T) {
	data := t.TempDir()
	t.Setenv("TMPDIR", data)
	living, _ := build(t, 1, testProgram)
	start(t, living)
	must(t, os.Mkdir(filepath.Join(data, "rashomon-of-somebody"), 0o700))

	token := fmt.Sprintf("300.%d", rand.Uint32()) // seconds, too
	executable, err := os.Executable()
	must(t, err)
	harness := exec.Command(executable, "test-harness", t.TempDir(), token)
	stdout, err := harness.StdoutPipe()
	must(t, err)
	stdin, err := harness.StdinPipe()
	must(t, err)
	defer stdin.Close()
	must(t, harness.Start())
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Errorf("the harness did not come up: %v", err)
	}
	eventually(t, "all processes are seen", func() bool { return len(processes(t, token)) == 5 })
	must(t, syscall.Kill(reaperOf(t, harness.Process.Pid), syscall.SIGKILL))
	must(t, harness.Process.Kill())
	harness.Wait()
	eventually(t, "the nodes' leaders are gone", func() bool { return len(processes(t, token)) < 5 })
	// Planted: a foreign program that does not watch its stdin, and a directory.
	if processes, dirs := processes(t, token), entries(t, data); len(processes) == 0 || len(dirs) != 3 {
		t.Fatalf("nothing is left to be swept: %q, %q", processes, dirs)
	}

	next, _ := build(t, 1, testProgram)
	if left := processes(t, token); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	if got := entries(t, data); len(got) != 3 { // of the living, of the next, and of somebody
		t.Errorf("there is %q", got)
	}
	start(t, next)
	awaitServing(t, living, "n1")
	if got := living.State("n1"); got != cluster.Running {
		t.Errorf("the living one's node is %s", got)
	}
}

// entries are the names in a directory.
func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	must(t, err)
	for _, entry := range all {
		names = append(names, entry.Name())
	}
	return names
}

// reaperOf returns the number of a harness's reaper.
func reaperOf(t *testing.T, harness int) int {
	t.Helper()
	lines, err := exec.Command("ps", "-A", "-ww", "-o", "pid=,ppid=,command=").Output()
	must(t, err)
	for line := range strings.Lines(string(lines)) {
		var pid, parent int
		if fmt.Sscan(line, &pid, &parent); parent == harness && strings.Contains(line, "rashomon-reaper") {
			return pid
		}
	}
	t.Fatal("there is no reaper")
	return 0
}

// A directory is not taken for a dead harness's before it has been locked.
func TestClaim(t *testing.T) {
	data := t.TempDir()
	t.Setenv("TMPDIR", data)
	for range 50 {
		swept := make(chan error)
		go func() { swept <- sweep() }()
		dir := filepath.Join(data, "rashomon-claimed")
		lock, err := claim(dir)
		must(t, err)
		must(t, <-swept)
		must(t, sweep())
		if _, err := os.Stat(dir); err != nil {
			t.Fatal(err)
		}
		must(t, lock.Close())
		must(t, sweep())
		if _, err := os.Stat(dir); err == nil {
			t.Fatal("what nobody holds is still there")
		}
	}
}

// A test that forgets to hand its arguments to targets.Main is told so, instead of
// running itself again and again.
func TestNodeBuildsNoCluster(t *testing.T) {
	if os.Getenv(clusterVariable) != "" {
		_, err := World().Build(t.Context(), cluster.Spec{Nodes: cluster.Names(1), Program: testProgram, Logs: t.TempDir()})
		t.Fatal(err)
	}
	c, logs := build(t, 1, func(cluster.Place) cluster.Program {
		return cluster.Program{Args: []string{"-test.run=^TestNodeBuildsNoCluster$"}}
	})
	must(t, c.Start(t.Context(), "n1"))
	<-c.nodes["n1"].life.gone
	stdout, err := os.ReadFile(filepath.Join(logs, "n1", "stdout.log"))
	if err != nil || !strings.Contains(string(stdout), errNode.Error()) {
		t.Errorf("%v: its log does not say %q:\n%s", err, errNode, stdout)
	}
}
