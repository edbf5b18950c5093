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
	"testing"
	"time"
)

// Whenever the harness is killed, nothing of it is left.
func TestKilledHarnessLeavesNothing(t *testing.T) {
	for range 10 {
		moment := time.Duration(rand.IntN(50_000)) * time.Microsecond
		t.Run(moment.String(), func(t *testing.T) { killHarness(t, moment) })
	}
}

func killHarness(t *testing.T, moment time.Duration) {
	data, logs := t.TempDir(), t.TempDir()
	token := fmt.Sprintf("300.%d", rand.Uint32()) // seconds, too
	executable, err := os.Executable()
	must(t, err)
	harness := exec.Command(executable, "test-harness", logs, token)
	harness.Env = append(os.Environ(), "TMPDIR="+data)
	var complaints strings.Builder
	harness.Stderr = &complaints
	stdout, err := harness.StdoutPipe()
	must(t, err)
	stdin, err := harness.StdinPipe()
	must(t, err)
	must(t, harness.Start())
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Errorf("the harness did not come up: %v", err)
	}
	// The harness, two nodes, and one with a child; and the reaper.
	eventually(t, "all processes are seen", func() bool {
		return len(processes(t, token)) == 5 && len(processes(t, data)) == 1
	})
	fmt.Fprintln(stdin) // let it go on to kill, start, close and build
	<-time.After(moment)
	must(t, harness.Process.Kill())
	if harness.Wait(); complaints.Len() > 0 {
		t.Errorf("the harness complained: %s", &complaints)
	}
	eventually(t, "no process is left", func() bool {
		return len(processes(t, token)) == 0 && len(processes(t, data)) == 0
	})
	if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
		t.Errorf("the reaper has left %v, %v", left, err)
	}
}

// processes returns the command lines that contain a token.
func processes(t *testing.T, token string) []string {
	var found []string
	if lines, _ := filepath.Glob("/proc/[0-9]*/cmdline"); len(lines) > 0 {
		for _, path := range lines {
			line, _ := os.ReadFile(path) // empty if it is a zombie
			if strings.Contains(string(line), token) {
				found = append(found, string(line))
			}
		}
		return found
	}
	lines, err := exec.Command("ps", "-A", "-ww", "-o", "command=").Output()
	must(t, err)
	for line := range strings.Lines(string(lines)) {
		if strings.Contains(line, token) {
			found = append(found, line)
		}
	}
	return found
}
