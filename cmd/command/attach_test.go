package command

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster/attach"
	"github.com/rashomon-io/rashomon/harness/history"
)

// staging starts three nodes by hand, and writes the file that describes them.
func staging(t *testing.T, dir string) (file string, c attach.Cluster) {
	signal := func(name string) []string {
		return []string{"sh", "-c", "kill -s " + name + ` $(cat "$0")`, filepath.Join(dir, "{name}.pid")}
	}
	c = attach.Cluster{
		Name: "staging", Prefix: "trial/", Kill: signal("KILL"), Pause: signal("STOP"), Resume: signal("CONT"),
		Start: []string{"sh", "-c", `"$0" node mystore "$1" >/dev/null 2>&1 & echo $! > "$2"`, os.Args[0], "{address}", filepath.Join(dir, "{name}.pid")},
	}
	fill := func(word string, node attach.Node) string {
		return strings.NewReplacer("{name}", node.Name, "{address}", node.Address).Replace(word)
	}
	for i := range 3 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		node := attach.Node{Name: fmt.Sprintf("db%d", i+1), Address: listener.Addr().String()}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		c.Nodes = append(c.Nodes, node)
		run := func(command []string) error {
			var words []string
			for _, word := range command {
				words = append(words, fill(word, node))
			}
			return exec.Command(words[0], words[1:]...).Run()
		}
		if err := run(c.Start); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = run(c.Kill) })
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "staging.json")
	if err := os.WriteFile(file, text, 0o666); err != nil {
		t.Fatal(err)
	}
	return file, c
}

// allAnswer waits until every node is there and answers.
func allAnswer(t *testing.T, c attach.Cluster) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for _, node := range c.Nodes {
		for {
			_, _, err := ownClient(node.Address).Read(t.Context(), "is it there?")
			if err == nil {
				break
			}
			select {
			case <-poll.C:
			case <-deadline:
				t.Fatalf("%s does not answer: %v", node.Name, err)
			}
		}
	}
}

// attached is the command line of a trial of the three nodes, as a process.
func attached(t *testing.T, file, dir string, flags ...string) *exec.Cmd {
	flags = append([]string{"run", "mystore:nodes=one", "--world", "attach:" + file, "--dir", dir, "--workload", "my-registers", "--quiet", "500ms", "--interval", "500ms", "--recovery", "500ms"}, flags...)
	command := exec.CommandContext(t.Context(), os.Args[0], flags...)
	command.Env = append(os.Environ(), "RASHOMON_TEST_COMMAND=own")
	return command
}

// A cluster that exists is tried, without its data being touched, and runs afterwards.
func TestAttach(t *testing.T) {
	dir := t.TempDir()
	file, c := staging(t, dir)
	allAnswer(t, c)
	runs := filepath.Join(dir, "runs")
	for _, without := range [][]string{nil, {"--consent", "production"}} {
		said, err := attached(t, file, runs, without...).CombinedOutput()
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitUsage || !strings.Contains(string(said), `the cluster "staging" is not touched without consent`) {
			t.Errorf("%v without consent: %v, %s", without, err, said)
		}
	}
	said, err := attached(t, file, runs, "--consent", "staging", "--nemesis", "pause,partition", "--duration", "4s").CombinedOutput()
	if err != nil || !strings.Contains(string(said), "valid, as claimed") {
		t.Errorf("%v: %s", err, said)
	}
	allAnswer(t, c)
	recorded, err := history.ReadRun(runs)
	if err != nil {
		t.Fatal(err)
	}
	paused, skipped := 0, 0
	for _, event := range recorded.Events {
		switch {
		case event.Type == history.Inject && event.Family == "pause":
			paused++
		case event.Type == history.Skip && strings.Contains(event.Reason, "its links, clocks and disks are not touched"):
			skipped++
		}
	}
	if prefix := recorded.Manifest.KeyPrefix; paused == 0 || skipped == 0 || !strings.HasPrefix(prefix, "trial/") || len(recorded.Manifest.Nodes) != 3 {
		t.Errorf("%d pauses, %d skipped, prefix %q, nodes %v", paused, skipped, prefix, recorded.Manifest.Nodes)
	}
}

// A cluster that a killed harness has left broken is mended.
func TestAttachedClusterOfAKilledHarness(t *testing.T) {
	for _, faults := range []string{"kill:all", "pause:all", "kill,pause"} {
		t.Run(faults, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file, c := staging(t, dir)
			allAnswer(t, c)
			harness := attached(t, file, filepath.Join(dir, "runs"), "--consent", "staging", "--nemesis", faults, "--duration", "1m")
			stderr, err := harness.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := harness.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(stderr)
			for injected := false; !injected; {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatalf("no fault was told: %v", err)
				}
				injected = strings.Contains(line, "⚡")
			}
			go io.Copy(io.Discard, lines)
			if err := harness.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = harness.Wait()
			allAnswer(t, c)
		})
	}
}
