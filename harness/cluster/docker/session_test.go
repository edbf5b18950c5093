package docker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// runHarness builds, uses and closes clusters until it is killed.
func runHarness(logs string) {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	fmt.Println("up")
	for {
		c, err := World().Build(ctx, cluster.Spec{Nodes: cluster.Names(2), Program: echo, Logs: logs, Faults: []cluster.Fault{cluster.CutFault}})
		check(err)
		check(c.(*containers).each(ctx, "start", (*node).start))
		check(c.Pause(ctx, "n2"))
		check(c.Kill(ctx, "n1"))
		check(c.Close())
	}
}

// left describes what an engine has of the owner.
func left(t *testing.T, e *engine, o owner) (found []string) {
	t.Helper()
	mine := labelled(ownerLabel + "=" + o.String())
	containers, err := e.api.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: mine})
	must(t, err)
	networks, err := e.api.NetworkList(t.Context(), client.NetworkListOptions{Filters: mine})
	must(t, err)
	volumes, err := e.api.VolumeList(t.Context(), client.VolumeListOptions{Filters: mine})
	must(t, err)
	for _, c := range containers.Items {
		found = append(found, fmt.Sprint("container", c.Names, c.State))
	}
	for _, n := range networks.Items {
		found = append(found, "network "+n.Name)
	}
	for _, v := range volumes.Items {
		found = append(found, "volume "+v.Name)
	}
	return found
}

// Whenever the harness is killed, nothing of it is left.
func TestKilledHarnessLeavesNothing(t *testing.T) {
	needEngine(t)
	rounds := 5
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		moment := time.Duration(mathrand.IntN(4000)) * time.Millisecond
		t.Run(moment.String(), func(t *testing.T) { killHarness(t, moment) })
	}
}

func killHarness(t *testing.T, moment time.Duration) {
	e, err := connect(t.Context())
	must(t, err)
	defer e.close()
	_, err = e.image(t.Context(), nil) // or the harness is busy building it
	must(t, err)
	executable, err := os.Executable()
	must(t, err)
	harness := exec.Command(executable, "test-harness", t.TempDir())
	token := "RASHOMON_TEST=" + rand.Text()
	harness.Env = append(os.Environ(), token)
	var complaints bytes.Buffer
	harness.Stderr = &complaints
	stdout, err := harness.StdoutPipe()
	must(t, err)
	must(t, harness.Start())
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Errorf("the harness did not come up: %v", err)
	}
	start, _ := startOf(harness.Process.Pid)
	its := owner{thisMachine(), harness.Process.Pid, start}
	eventually(t, "the harness builds", func() bool { return len(left(t, e, its)) > 0 || harness.ProcessState != nil })
	<-time.After(moment)
	must(t, harness.Process.Kill())
	killed := time.Now()
	harness.Wait()
	if complaints.Len() > 0 {
		t.Errorf("the harness complained: %s", &complaints)
	}
	t.Logf("killed after %v, removed %v later", moment, removed(t, e, its, token, killed))
}

// removed waits until nothing of the owner is left, and returns how long that
// took since its death. Late arrivals are removed too, so it looks until the
// reaper has ended.
func removed(t *testing.T, e *engine, its owner, token string, died time.Time) (took time.Duration) {
	t.Helper()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for len(processes(token)) > 0 && time.Since(died) < 20*time.Second {
		if len(left(t, e, its)) > 0 {
			took = time.Since(died)
		}
		<-look.C
	}
	if remaining := append(left(t, e, its), processes(token)...); len(remaining) > 0 {
		t.Errorf("left behind: %q", remaining)
	}
	return took
}

// A test that go test ends, because its time is up, has no chance to clean up.
func TestTimedOutTestLeavesNothing(t *testing.T) {
	needEngine(t)
	e, err := connect(t.Context())
	must(t, err)
	defer e.close()
	_, err = e.image(t.Context(), nil)
	must(t, err)
	executable, err := os.Executable()
	must(t, err)
	test := exec.Command(executable, "-test.run=^TestHangs$", "-test.timeout=4s")
	token := "RASHOMON_TEST=" + rand.Text()
	test.Env = append(os.Environ(), token)
	var output bytes.Buffer
	test.Stdout, test.Stderr = &output, &output
	must(t, test.Start())
	start, _ := startOf(test.Process.Pid)
	its := owner{thisMachine(), test.Process.Pid, start}
	eventually(t, "the test builds", func() bool { return len(left(t, e, its)) > 0 })
	if err := test.Wait(); err == nil || !strings.Contains(output.String(), "test timed out") {
		t.Errorf("the test ended with %v: %s", err, &output)
	}
	t.Logf("removed %v after its end", removed(t, e, its, token, time.Now()))
}

// TestHangs is what TestTimedOutTestLeavesNothing runs.
func TestHangs(t *testing.T) {
	if os.Getenv("RASHOMON_TEST") == "" {
		t.Skip("only TestTimedOutTestLeavesNothing runs it")
	}
	c := built(t, cluster.Spec{Nodes: cluster.Names(2), Program: echo, Faults: []cluster.Fault{cluster.CutFault}})
	must(t, c.Start(t.Context(), "n1"))
	<-t.Context().Done()
}

// processes returns those whose environment contains a token.
func processes(token string) (found []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range all {
		if environment, _ := os.ReadFile(path); strings.Contains(string(environment), token) {
			found = append(found, path)
		}
	}
	return found
}

// A process that has died, and left something.
func deadOwner(t *testing.T) owner {
	process := exec.Command("true")
	process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	must(t, process.Run())
	return owner{thisMachine(), process.Process.Pid, "1"}
}

func TestSweep(t *testing.T) {
	needEngine(t)
	e, err := connect(t.Context())
	must(t, err)
	defer e.close()
	image, err := e.image(t.Context(), nil)
	must(t, err)
	dead, alive, elsewhere := deadOwner(t), thisProcess(), deadOwner(t)
	elsewhere.machine = "elsewhere"
	for _, o := range []owner{dead, alive, elsewhere} {
		s := newSession()
		defer func() { must(t, e.remove(t.Context(), s, time.Time{})) }()
		labels := map[string]string{sessionLabel: string(s), ownerLabel: o.String()}
		_, err := e.api.NetworkCreate(t.Context(), s.name("network"), client.NetworkCreateOptions{Labels: labels})
		must(t, err)
		_, err = e.api.VolumeCreate(t.Context(), client.VolumeCreateOptions{Name: s.name("volume"), Labels: labels})
		must(t, err)
		created, err := e.tc.CreateContainer(t.Context(), testcontainers.ContainerRequest{
			Image: image, Cmd: []string{"holder"}, Labels: labels, Networks: []string{s.name("network")},
			HostConfigModifier: func(host *container.HostConfig) { host.Binds = []string{s.name("volume") + ":/volume"} },
		})
		must(t, err)
		must(t, created.Start(t.Context()))
	}
	must(t, e.sweep(t.Context()))
	for o, want := range map[owner]int{dead: 0, alive: 3, elsewhere: 3} {
		if found := left(t, e, o); len(found) != want {
			t.Errorf("of %s there is left: %q, want %d", o, found, want)
		}
	}
}
