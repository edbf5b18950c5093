package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/raft"
)

func TestKillAndStartKeepAddressAndData(t *testing.T) {
	logs := t.TempDir()
	c := started(t, cluster.Spec{Nodes: cluster.Names(2), Program: echo, Logs: logs})
	address, ip := c.Address("n1"), c.nodes["n1"].ip
	expect(t, c, "n1", "put 42", "<nil>")
	for range 3 {
		must(t, c.Kill(t.Context(), "n1"))
		if got := c.State("n1"); got != cluster.Down {
			t.Errorf("killed, and it is %s", got)
		}
		if answer, err := request(address, "ping", 5*time.Second); err == nil {
			t.Errorf("a dead node answers %q", answer)
		}
		must(t, c.Kill(t.Context(), "n1")) // does nothing
		must(t, c.Start(t.Context(), "n1"))
		if c.Start(t.Context(), "n1") == nil {
			t.Error("a running node was started")
		}
		awaitServing(t, c, "n1")
		expect(t, c, "n1", "cat /data/value", "42")
		expect(t, c, "n2", "ask n1", "pong from n1")
		if c.Address("n1") != address || c.nodes["n1"].ip != ip {
			t.Error("it has moved")
		}
	}
	must(t, c.Close())
	for name, want := range map[string]string{"stdout.log": "n1 serves\n", "stderr.log": " was killed, "} {
		text, err := os.ReadFile(filepath.Join(logs, "n1", name))
		if err != nil || strings.Count(string(text), want) != 4 {
			t.Errorf("%s, %v, does not have four times %q:\n%s", name, err, want, text)
		}
	}
}

func TestPause(t *testing.T) {
	c := built(t, cluster.Spec{Nodes: cluster.Names(1), Program: echo})
	if c.Pause(t.Context(), "n1") == nil || c.Resume(t.Context(), "n1") == nil {
		t.Error("a node that never ran was paused or resumed")
	}
	must(t, c.Start(t.Context(), "n1"))
	awaitServing(t, c, "n1")
	must(t, c.Resume(t.Context(), "n1")) // does nothing
	for range 3 {
		must(t, c.Pause(t.Context(), "n1"))
		must(t, c.Pause(t.Context(), "n1")) // does nothing
		if got := c.State("n1"); got != cluster.Paused {
			t.Errorf("paused, and it is %s", got)
		}
		if got, err := request(c.Address("n1"), "ping", 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a paused node answered %q, %v", got, err)
		}
		must(t, c.Resume(t.Context(), "n1"))
		expect(t, c, "n1", "ping", "pong from n1")
		if got := c.State("n1"); got != cluster.Running {
			t.Errorf("resumed, and it is %s", got)
		}
	}
	must(t, c.Pause(t.Context(), "n1"))
	must(t, c.Kill(t.Context(), "n1"))
	if got := c.State("n1"); got != cluster.Down {
		t.Errorf("paused and killed, and it is %s", got)
	}
	must(t, c.Start(t.Context(), "n1"))
	awaitServing(t, c, "n1")
}

func TestNodeThatEndsByItself(t *testing.T) {
	logs := t.TempDir()
	c := started(t, cluster.Spec{Nodes: cluster.Names(1), Program: echo, Logs: logs})
	for range 2 { // it can be started again
		if _, err := request(c.Address("n1"), "exit 7", 10*time.Second); err == nil {
			t.Error("it answered")
		}
		eventually(t, "exited", func() bool { return c.State("n1") == cluster.Exited })
		path := filepath.Join(logs, "n1", "stderr.log")
		if text, err := os.ReadFile(path); !strings.Contains(string(text), "out of luck\n") {
			t.Errorf("its last words are not in %s: %v %s", path, err, text)
		}
		err := c.Pause(t.Context(), "n1")
		for _, want := range []string{"exited with status 7", " s after start", path} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not say %q", err, want)
			}
		}
		must(t, c.Kill(t.Context(), "n1")) // does nothing
		must(t, c.Start(t.Context(), "n1"))
		awaitServing(t, c, "n1")
	}
}

// A node has its own name, its target is not PID 1, and there is one address at
// which n1 is found: a second one would be a way around partitions.
func TestNodesAreApart(t *testing.T) {
	c := started(t, cluster.Spec{Nodes: cluster.Names(2), Program: echo})
	for _, name := range c.Nodes() {
		got, err := request(c.Address(name), "host n1", 10*time.Second)
		want := fmt.Sprintf("%s [%s] ", name, c.nodes["n1"].ip)
		if !strings.HasPrefix(got, want) || strings.HasSuffix(got, " 1") || err != nil {
			t.Errorf("%s is %q, %v; want %q and not PID 1", name, got, err, want)
		}
	}
	expect(t, c, "n1", "ask n2", "pong from n2")
	expect(t, c, "n2", "ask n2", "pong from n2")
}

// A killed target takes its children along, and the holder reaps them.
func TestKillReachesChildren(t *testing.T) {
	c := started(t, cluster.Spec{Nodes: cluster.Names(1), Program: echo})
	for range 3 {
		awaitProcesses(t, c, "holder echo")
		expect(t, c, "n1", "child", "<nil>")
		awaitProcesses(t, c, "holder echo echo")
		must(t, c.Kill(t.Context(), "n1"))
		must(t, c.Start(t.Context(), "n1"))
		awaitServing(t, c, "n1")
	}
	awaitProcesses(t, c, "holder echo")
}

// awaitProcesses waits until n1 sees exactly these roles, of the living and of
// zombies, in its PID namespace.
func awaitProcesses(t *testing.T, c cluster.Cluster, want string) {
	t.Helper()
	eventually(t, "n1 sees the processes "+want, func() bool {
		got, err := request(c.Address("n1"), "processes", time.Second)
		return err == nil && got == want
	})
}

func TestFilesAndEnvironment(t *testing.T) {
	text := "one"
	c := started(t, cluster.Spec{Nodes: cluster.Names(1), Program: func(place cluster.Place) cluster.Program {
		program := echo(place)
		program.Env = []string{"STORY=" + text}
		program.Files = map[string][]byte{"/etc/deep/story": []byte(text), "deep/story": []byte(text), "value": []byte("0")}
		return program
	}})
	for _, want := range []string{"one", "two"} { // the program may change between lives
		expect(t, c, "n1", "env STORY", want)
		expect(t, c, "n1", "cat /etc/deep/story", want)
		expect(t, c, "n1", "cat /data/deep/story", want)
		expect(t, c, "n1", "cat /data/value", "0") // written before each start
		expect(t, c, "n1", "put 42", "<nil>")
		must(t, c.Kill(t.Context(), "n1"))
		text = "two"
		must(t, c.Start(t.Context(), "n1"))
		awaitServing(t, c, "n1")
	}
}

// Path takes the place of an image's ENTRYPOINT, Args that of its CMD.
func TestEntrypoint(t *testing.T) {
	needEngine(t)
	e, err := connect(t.Context())
	must(t, err)
	defer e.close()
	base, err := e.image(t.Context(), nil)
	must(t, err)
	dockerfile := fmt.Sprintf("FROM %s\nENTRYPOINT [%q, \"echo\"]\nCMD [\"n1\", \":%d\", \"\"]\n", base, binary, port)
	sources, err := archive(map[string][]byte{"/Dockerfile": []byte(dockerfile)})
	must(t, err)
	image, err := e.tc.BuildImage(t.Context(), &testcontainers.ContainerRequest{FromDockerfile: testcontainers.FromDockerfile{
		ContextArchive: bytes.NewReader(sources.Bytes()), Repo: "rashomon-test-entrypoint", Tag: string(newSession()), KeepImage: true,
	}})
	must(t, err)
	defer func() {
		_, err := e.api.ImageRemove(context.WithoutCancel(t.Context()), image, client.ImageRemoveOptions{PruneChildren: true})
		must(t, err)
	}()
	listen := fmt.Sprintf(":%d", port)
	for want, program := range map[string]cluster.Program{
		"pong from n1": {},
		"pong from n8": {Args: []string{"n8", listen, ""}},
		"pong from n9": {Path: binary, Args: []string{"echo", "n9", listen, ""}},
	} {
		for _, faults := range [][]cluster.Fault{nil, {cluster.ClockFault}} { // also behind the gate
			t.Run(fmt.Sprint(want, faults), func(t *testing.T) {
				program.Container.Image = image
				c := started(t, cluster.Spec{Nodes: cluster.Names(1), Faults: faults, Program: func(cluster.Place) cluster.Program { return program }})
				expect(t, c, "n1", "ping", want)
				must(t, c.Close()) // the image is to be removed
			})
		}
	}
}

// A panic of Program is an error that names the node, and leaves nothing.
func TestProgramThatPanics(t *testing.T) {
	needEngine(t)
	e, err := connect(t.Context())
	must(t, err)
	defer e.close()
	const want = "n1: the function Program panicked: no luck"
	refused(t, cluster.Spec{Nodes: cluster.Names(1), Program: func(cluster.Place) cluster.Program { panic("no luck") }, Logs: t.TempDir()}, want)
	if found := left(t, e, thisProcess()); len(found) > 0 {
		t.Errorf("there is left: %q", found)
	}
	calls := 0
	c := built(t, cluster.Spec{Nodes: cluster.Names(1), Program: func(place cluster.Place) cluster.Program {
		if calls++; calls > 1 {
			panic("no luck")
		}
		return echo(place)
	}})
	if err := c.Start(t.Context(), "n1"); err == nil || !strings.Contains(err.Error(), "cannot start "+want) {
		t.Errorf("error %v does not say %q", err, want)
	}
}

func TestBuildRefuses(t *testing.T) {
	refused(t, cluster.Spec{Program: echo, Logs: t.TempDir()}, "0 nodes")
}

func TestBuildRefusesPrograms(t *testing.T) {
	needEngine(t)
	for name, test := range map[string]struct {
		program cluster.Program
		want    string
	}{
		"image that is nowhere":   {cluster.Program{Container: cluster.Container{Image: "rashomon.invalid/nowhere:1"}}, "image rashomon.invalid/nowhere:1 is not here and cannot be pulled (`rashomon images`"},
		"image that has no name":  {cluster.Program{Container: cluster.Container{Image: "No Name"}}, "No Name"},
		"program of this machine": {cluster.Program{Path: "/bin/sh"}, "/bin/sh is a program of this machine"},
		"file that is nowhere":    {cluster.Program{Files: map[string][]byte{"../file": nil}}, `n1: file "../file": want a name such as`},
	} {
		t.Run(name, func(t *testing.T) {
			program := func(cluster.Place) cluster.Program { return test.program }
			refused(t, cluster.Spec{Nodes: cluster.Names(1), Program: program, Logs: t.TempDir()}, test.want)
		})
	}
}

func TestEquivalentImageTakesThePlace(t *testing.T) {
	here := built(t, cluster.Spec{Nodes: cluster.Names(1), Program: echo}).image
	const nowhere = "rashomon.invalid/nowhere:1"
	for _, test := range []struct{ image, equivalent, want string }{
		{nowhere, here, here},
		{here, nowhere, here},
		{here, "", here},
	} {
		var told []string
		c := built(t, cluster.Spec{Nodes: cluster.Names(1), Progress: func(step string) { told = append(told, step) }, Program: func(cluster.Place) cluster.Program {
			return cluster.Program{Container: cluster.Container{Image: test.image, Equivalent: test.equivalent}}
		}})
		if tells := slices.ContainsFunc(told, func(step string) bool { return strings.Contains(step, test.want+" takes its place") }); tells != (test.want != test.image) {
			t.Errorf("of %s in the place of %s it tells %q", test.want, test.image, told)
		}
		inspected, err := c.engine.api.ContainerInspect(t.Context(), c.nodes["n1"].target, client.ContainerInspectOptions{})
		must(t, err)
		if got := inspected.Container.Config.Image; got != test.want {
			t.Errorf("image %s or %s became %s, want %s", test.image, test.equivalent, got, test.want)
		}
	}
}

func refused(t *testing.T, spec cluster.Spec, want string) {
	c, err := World().Build(t.Context(), spec)
	if err == nil {
		c.Close()
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v does not say %q", err, want)
	}
}

func TestProgramThatCannotRun(t *testing.T) {
	logs := t.TempDir()
	c := built(t, cluster.Spec{Nodes: cluster.Names(1), Logs: logs, Program: func(cluster.Place) cluster.Program {
		return cluster.Program{Args: []string{"no-such-role"}}
	}})
	must(t, c.Start(t.Context(), "n1"))
	eventually(t, "exited", func() bool { return c.State("n1") == cluster.Exited })
	if text, _ := os.ReadFile(filepath.Join(logs, "n1", "stderr.log")); !strings.Contains(string(text), "no such role") {
		t.Errorf("its complaint is not in the log: %s", text)
	}
	if err := c.Start(t.Context(), "n9"); err == nil || !strings.Contains(err.Error(), "n9") {
		t.Errorf("error %v does not name the node", err)
	}
}

func TestEndedContextBuildsNothing(t *testing.T) {
	needEngine(t)
	e, err := connect(t.Context())
	must(t, err)
	defer e.close()
	for _, after := range []time.Duration{0, 300 * time.Millisecond, 600 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		c, err := World().Build(ctx, cluster.Spec{Nodes: cluster.Names(3), Program: echo, Logs: t.TempDir()})
		cancel()
		if err == nil { // in time
			must(t, c.Close())
		}
		if found := left(t, e, thisProcess()); len(found) > 0 {
			t.Errorf("after %v, there is left: %q", after, found)
		}
	}
}

func TestCloseEndsEverything(t *testing.T) {
	needEngine(t)
	e, err := connect(t.Context())
	must(t, err)
	defer e.close()
	goroutines := runtime.NumGoroutine()
	c := started(t, cluster.Spec{Nodes: cluster.Names(2), Program: echo, Faults: []cluster.Fault{cluster.CutFault}})
	must(t, c.Kill(t.Context(), "n1"))
	must(t, c.Pause(t.Context(), "n2"))
	must(t, c.Close())
	must(t, c.Close())
	if c.Start(t.Context(), "n1") == nil {
		t.Error("a node of a closed cluster was started")
	}
	if got := c.State("n2"); got != cluster.Down {
		t.Errorf("n2 is %s", got)
	}
	if found := left(t, e, thisProcess()); len(found) > 0 {
		t.Errorf("there is left: %q", found)
	}
	e.close() // its idle connections have goroutines
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// Five built-in nodes, from nothing to serving, and back to nothing.
func TestFiveNodesAreQuick(t *testing.T) {
	needEngine(t)
	for _, faults := range [][]cluster.Fault{nil, {cluster.CutFault, cluster.KillFault, cluster.PauseFault}} {
		target := raft.Target(raft.Options{})
		begin := time.Now()
		c := built(t, cluster.Spec{Nodes: cluster.Names(5), Program: target.Program, Faults: faults})
		build := time.Since(begin)
		must(t, c.each(t.Context(), "start", (*node).start))
		start := time.Since(begin)
		var err error
		for range 400 {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			err = target.Ready(ctx, c)
			<-time.After(10 * time.Millisecond)
			if cancel(); err == nil {
				break
			}
		}
		must(t, err)
		ready := time.Since(begin)
		begin = time.Now()
		must(t, c.Close())
		t.Logf("faults %v: built after %v, started after %v, ready after %v, removed in %v", faults, build, start, ready, time.Since(begin))
	}
}

func TestReach(t *testing.T) {
	for daemon, want := range map[string][2]string{
		"unix:///var/run/docker.sock": {"127.0.0.1", "127.0.0.1"},
		"tcp://localhost:2375":        {"127.0.0.1", "127.0.0.1"},
		"tcp://127.0.0.1:2375":        {"127.0.0.1", "127.0.0.1"},
		"tcp://192.0.2.7:2375":        {"0.0.0.0", "192.0.2.7"},
		"tcp://engine.example:2376":   {"0.0.0.0", "engine.example"},
	} {
		if bind, host := reach(daemon); bind.String() != want[0] || host != want[1] {
			t.Errorf("%s: publish on %v, reached at %s; want %v", daemon, bind, host, want)
		}
	}
}
