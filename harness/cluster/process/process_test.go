//go:build linux || darwin

package process

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// What cannot be injected is refused with a reason, not passed over.
func TestSupports(t *testing.T) {
	can := []cluster.Fault{cluster.CutFault, cluster.DelayFault, cluster.RateFault, cluster.ClientFault, cluster.KillFault, cluster.PauseFault}
	for _, fault := range append(cluster.Faults, "earthquake") {
		if err := World().Supports(t.Context(), fault); (err == nil) != slices.Contains(can, fault) {
			t.Errorf("%s: %v", fault, err)
		}
	}
}

func TestBuildRefusesBadSpecs(t *testing.T) {
	c, err := World().Build(t.Context(), cluster.Spec{Program: testProgram, Logs: t.TempDir()})
	if err == nil {
		c.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "0 nodes") {
		t.Errorf("error %v", err)
	}
}

func TestEndedContextBuildsNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := World().Build(ctx, cluster.Spec{Nodes: cluster.Names(3), Program: testProgram, Logs: t.TempDir()})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// A node that is connected to where another one listens is not cut off by links.
func TestNodesThatMeetPastLinks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("who is connected to whom is known on Linux only")
	}
	c, _ := build(t, 3, testProgram)
	start(t, c)
	both := []cluster.Link{{From: "n1", To: "n2"}, {From: "n2", To: "n1"}}
	for _, meet := range []struct {
		at   string // the word for n1
		past bool
	}{{"ask n2", false}, {"hold " + c.Address("n1"), false}, {"hold " + c.Address("n2"), true}} {
		if got, err := request(c.Address("n1"), meet.at, 10*time.Second); err != nil || strings.HasPrefix(got, "error") {
			t.Fatalf("%s: %q, %v", meet.at, got, err)
		}
		must(t, c.SetLinks(t.Context(), both, cluster.Condition{Cut: cluster.Silent}))
		must(t, c.SetLinks(t.Context(), both, cluster.Condition{}))
		if err := c.Linked(); (err != nil) != meet.past || err != nil && !strings.Contains(err.Error(), "n1 was connected to n2 at "+c.Address("n2")) {
			t.Errorf("%s: %v", meet.at, err)
		}
	}
}

// The links are measured from inside: one node asks another.
func TestNodesMeetOverLinks(t *testing.T) {
	c, _ := build(t, 3, testProgram)
	start(t, c)
	ask := func(from, to cluster.Node, timeout time.Duration) (string, error) {
		return request(c.Address(from), "ask "+to, timeout)
	}
	if c.Linked() == nil {
		t.Error("linked before a node has asked another")
	}
	for from, to := range pairs(c.Nodes()) {
		if got, err := ask(from, to, 10*time.Second); got != "pong from "+to {
			t.Fatalf("%s asks %s: %q, %v", from, to, got, err)
		}
	}
	if err := c.Linked(); err != nil {
		t.Errorf("every node has asked every other, and yet: %v", err)
	}
	for name, cut := range map[string][]cluster.Link{
		"there": {{From: "n1", To: "n2"}},
		"back":  {{From: "n2", To: "n1"}},
		"both":  {{From: "n1", To: "n2"}, {From: "n2", To: "n1"}},
	} {
		t.Run("silent "+name, func(t *testing.T) {
			must(t, c.SetLinks(t.Context(), cut, cluster.Condition{Cut: cluster.Silent}))
			answer := make(chan string, 1)
			go func() {
				got, err := ask("n1", "n2", 10*time.Second)
				if err != nil {
					got = err.Error()
				}
				answer <- got
			}()
			select {
			case got := <-answer:
				t.Errorf("n1 asked n2 over a cut link: %q", got)
			case <-time.After(100 * time.Millisecond):
			}
			for _, to := range []cluster.Node{"n1", "n2"} {
				if got, err := ask("n3", to, 10*time.Second); got != "pong from "+to {
					t.Errorf("n3 asks %s past the cut: %q, %v", to, got, err)
				}
			}
			must(t, c.SetLinks(t.Context(), cut, cluster.Condition{}))
			if got := <-answer; got != "pong from n2" {
				t.Errorf("after the heal: %q", got)
			}
		})
		t.Run("reset "+name, func(t *testing.T) {
			conn, err := net.Dial("tcp4", c.nodes["n1"].place.Peers["n2"])
			must(t, err)
			defer conn.Close()
			converse(t, conn, "n2")
			must(t, c.SetLinks(t.Context(), cut, cluster.Condition{Cut: cluster.Reset}))
			expectReset(t, conn)
			if got, err := ask("n1", "n2", 10*time.Second); !strings.Contains(got, "reset") && !strings.Contains(got, "pipe") {
				t.Errorf("over a link cut by reset: %q, %v", got, err)
			}
			must(t, c.SetLinks(t.Context(), cut, cluster.Condition{}))
			if got, err := ask("n1", "n2", 10*time.Second); got != "pong from n2" {
				t.Errorf("after the heal: %q, %v", got, err)
			}
		})
	}
}

func TestSetLinksRefusesWholly(t *testing.T) {
	c, _ := build(t, 2, testProgram)
	good := cluster.Link{From: "n1", To: "n2"}
	silent := cluster.Condition{Cut: cluster.Silent}
	for name, test := range map[string]struct {
		links     []cluster.Link
		condition cluster.Condition
	}{
		"no such link": {[]cluster.Link{good, {From: "n1", To: "n9"}}, silent},
		"to itself":    {[]cluster.Link{good, {From: "n1", To: "n1"}}, silent},
		"unknown cut":  {[]cluster.Link{good}, cluster.Condition{Cut: "scissors"}},
		"delay":        {[]cluster.Link{good}, cluster.Condition{Delay: -1}},
		"jitter":       {[]cluster.Link{good}, cluster.Condition{Jitter: -1}},
		"rate":         {[]cluster.Link{good}, cluster.Condition{BytesPerSecond: -1}},
		"loss":         {[]cluster.Link{good}, cluster.Condition{Loss: 0.1}},
		"reorder":      {[]cluster.Link{good}, cluster.Condition{Delay: 1, Reorder: 0.1}},
		"duplicate":    {[]cluster.Link{good}, cluster.Condition{Duplicate: 0.1}},
		"corrupt":      {[]cluster.Link{good}, cluster.Condition{Corrupt: 0.1}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.SetLinks(t.Context(), test.links, test.condition) == nil {
				t.Error("accepted")
			}
			if got := c.network.Condition(good); got != (cluster.Condition{}) {
				t.Errorf("the good link has got %+v", got)
			}
		})
	}
}

// A node is told its role and everybody's.
func TestRoles(t *testing.T) {
	roles := map[cluster.Node]string{"n1": "router", "n2": "store"}
	told := map[cluster.Node]map[cluster.Node]string{}
	c, err := World().Build(t.Context(), cluster.Spec{Nodes: cluster.Names(3), Roles: roles, Logs: t.TempDir(), Program: func(place cluster.Place) cluster.Program {
		told[place.Node] = place.Roles
		return testProgram(place)
	}})
	must(t, err)
	defer c.Close()
	for _, node := range c.Nodes() {
		if !maps.Equal(told[node], roles) {
			t.Errorf("%s is told %v", node, told[node])
		}
		if c.Role(node) != roles[node] {
			t.Errorf("%s is a %q, want %q", node, c.Role(node), roles[node])
		}
	}
}

func TestKillAndRestartKeepDataAndAddress(t *testing.T) {
	c, logs := build(t, 2, testProgram)
	start(t, c)
	address := c.Address("n1")
	if got, err := request(address, "put 42", 10*time.Second); got != "<nil>" {
		t.Fatalf("put: %q, %v", got, err)
	}
	for range 3 {
		must(t, c.Kill(t.Context(), "n1"))
		if got := c.State("n1"); got != cluster.Down {
			t.Errorf("killed, and it is %s", got)
		}
		if _, err := net.Dial("tcp4", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a dead node answers a client with %v", err)
		}
		if got, err := request(c.Address("n2"), "ask n1", 10*time.Second); !strings.Contains(got, "reset") && !strings.Contains(got, "pipe") {
			t.Errorf("a dead node answers a peer with %q, %v", got, err)
		}
		must(t, c.Kill(t.Context(), "n1")) // does nothing
		must(t, c.Start(t.Context(), "n1"))
		if got := c.State("n1"); got != cluster.Running {
			t.Errorf("started, and it is %s", got)
		}
		if c.Start(t.Context(), "n1") == nil {
			t.Error("a running node was started")
		}
		awaitServing(t, c, "n1")
		if got, err := request(c.Address("n1"), "get", 10*time.Second); got != "42" || c.Address("n1") != address {
			t.Errorf("after the restart: %q, %v, at %s", got, err, c.Address("n1"))
		}
		if got, err := request(c.Address("n2"), "ask n1", 10*time.Second); got != "pong from n1" {
			t.Errorf("after the restart, a peer gets %q, %v", got, err)
		}
	}
	for name, want := range map[string]int{"stdout.log": 4, "stderr.log": 4 + 3} { // starts, and ends
		text, err := os.ReadFile(filepath.Join(logs, "n1", name))
		if got := strings.Count(string(text), "--- n1 "); got != want || err != nil {
			t.Errorf("%s has %d marks, want %d; %v\n%s", name, got, want, err, text)
		}
	}
}

// While a node is down, its port is nobody else's, and the node itself can have
// it back.
func TestPortIsHeld(t *testing.T) {
	c, _ := build(t, 1, testProgram)
	_, port, err := net.SplitHostPort(c.Address("n1"))
	must(t, err)
	number, err := net.LookupPort("tcp", port)
	must(t, err)
	if number < lowestPort || number >= highestPort {
		t.Errorf("port %d lies outside [%d, %d)", number, lowestPort, highestPort)
	}
	for range 2 { // never started, killed
		if held, err := reserve(number); err == nil {
			held.Close()
			t.Error("another harness got the port")
		}
		if _, err := net.Dial("tcp4", c.Address("n1")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a client got %v", err)
		}
		start(t, c)
		must(t, c.Kill(t.Context(), "n1"))
	}
	must(t, c.Close())
	held, err := reserve(number)
	if err != nil {
		t.Fatalf("the port is still held after Close: %v", err)
	}
	held.Close()
}

func TestPause(t *testing.T) {
	c, _ := build(t, 1, testProgram)
	if c.Pause(t.Context(), "n1") == nil || c.Resume(t.Context(), "n1") == nil {
		t.Error("a node that never ran was paused or resumed")
	}
	start(t, c)
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
		if got, err := request(c.Address("n1"), "ping", 10*time.Second); got != "pong from n1" || c.State("n1") != cluster.Running {
			t.Errorf("resumed, it is %s and answers %q, %v", c.State("n1"), got, err)
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
	for name, test := range map[string]struct {
		script string
		want   []string
	}{
		"status": {"echo first >&2; echo out of luck >&2; echo >&2; exit 7", []string{"exited with status 7", " s after start: out of luck; see "}},
		"signal": {"kill -s SEGV $$", []string{"ended by signal 11"}},
		"quiet":  {"exit 0", []string{"exited with status 0", " s after start; see "}},
		"family": {"sleep 300 & exit 1", []string{"exited with status 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, logs := build(t, 1, func(cluster.Place) cluster.Program {
				return cluster.Program{Path: "sh", Args: []string{"-c", test.script}}
			})
			for range 2 { // it can be started again
				must(t, c.Start(t.Context(), "n1"))
				eventually(t, "exited", func() bool { return c.State("n1") == cluster.Exited })
				err := c.Pause(t.Context(), "n1")
				for _, want := range append(test.want, filepath.Join(logs, "n1", "stderr.log")) {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("error %q does not say %q", err, want)
					}
				}
				if groupRuns(c.nodes["n1"].life.pid) {
					t.Error("its group is still there")
				}
				must(t, c.Kill(t.Context(), "n1")) // does nothing
				if got := c.State("n1"); got != cluster.Exited {
					t.Errorf("it is %s", got)
				}
			}
		})
	}
}

func TestProgramThatCannotRun(t *testing.T) {
	c, _ := build(t, 1, func(cluster.Place) cluster.Program { return cluster.Program{Path: "no-such-program"} })
	if err := c.Start(t.Context(), "n1"); err == nil || !strings.Contains(err.Error(), `"no-such-program": executable file not found in $PATH; build or install it, or set Program.Path to its file`) {
		t.Errorf("error %v does not name the program, or not what to do", err)
	}
	if err := c.Start(t.Context(), "n9"); err == nil || !strings.Contains(err.Error(), "n9") {
		t.Errorf("error %v does not name the node", err)
	}
	if got := c.State("n1"); got != cluster.Down {
		t.Errorf("it is %s", got)
	}
}

// Relative files are in the data directory at each start. Absolute ones are the
// containers'.
func TestFiles(t *testing.T) {
	text := "one"
	c, logs := build(t, 1, func(place cluster.Place) cluster.Program {
		return cluster.Program{
			Path: "sh", Args: []string{"-c", "conf/run.sh; echo spoilt > conf/story"},
			Files: map[string][]byte{"conf/story": []byte(text), "conf/run.sh": []byte("#!/bin/sh\ncat conf/story\n")},
		}
	})
	for _, next := range []string{"two", "three"} {
		must(t, c.Start(t.Context(), "n1"))
		<-c.nodes["n1"].life.gone
		stdout, err := os.ReadFile(filepath.Join(logs, "n1", "stdout.log"))
		if err != nil || !strings.HasSuffix(string(stdout), "\n"+text) {
			t.Errorf("%v: it does not say %q:\n%s", err, text, stdout)
		}
		text = next
	}
	for name, want := range map[string]string{
		"/etc/story": "n1: file /etc/story: an absolute path is a container's",
		"../story":   `n1: file "../story": want a name such as`,
		"":           `n1: file "": want a name such as`,
	} {
		refused(t, want, func(cluster.Place) cluster.Program {
			return cluster.Program{Path: "true", Files: map[string][]byte{name: nil}}
		})
	}
}

// refused expects Build to fail, and to leave nothing.
func refused(t *testing.T, want string, program func(cluster.Place) cluster.Program) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	goroutines := runtime.NumGoroutine()
	c, err := World().Build(t.Context(), cluster.Spec{Nodes: cluster.Names(2), Program: program, Logs: t.TempDir()})
	if err == nil {
		c.Close()
	}
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v does not say %q in a line", err, want)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// A panic of Program is an error that names the node, and leaves nothing.
func TestProgramThatPanics(t *testing.T) {
	const want = "n1: the function Program panicked: no luck"
	refused(t, want, func(cluster.Place) cluster.Program { panic("no luck") })
	calls := 0
	c, _ := build(t, 1, func(place cluster.Place) cluster.Program {
		if calls++; calls == 2 {
			panic("no luck")
		}
		return testProgram(place)
	})
	if err := c.Start(t.Context(), "n1"); err == nil || !strings.Contains(err.Error(), "cannot start "+want) {
		t.Errorf("error %v does not say %q", err, want)
	}
	start(t, c)
}

func TestImageOnly(t *testing.T) {
	c, _ := build(t, 1, func(cluster.Place) cluster.Program {
		return cluster.Program{Path: "sh", Container: cluster.Container{Image: "redis:8", Only: true}}
	})
	if err := c.Start(t.Context(), "n1"); err == nil || !strings.Contains(err.Error(), "redis:8") {
		t.Errorf("error %v does not name the image", err)
	}
}

// A node under a shell: the shell dies at once, and its child holds the port.
func TestKillReachesTheWholeGroup(t *testing.T) {
	c, _ := build(t, 1, func(place cluster.Place) cluster.Program {
		program := testProgram(place)
		executable, _ := os.Executable()
		return cluster.Program{Path: "sh", Args: append([]string{"-c", `"$0" "$@" & wait`, executable}, program.Args...)}
	})
	for range 5 {
		start(t, c)
		must(t, c.Kill(t.Context(), "n1"))
		if _, err := net.Dial("tcp4", c.Address("n1")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("after the kill, a client got %v", err)
		}
	}
}

func TestManyStartsDoNotCollide(t *testing.T) {
	const clusters, nodes, starts = 8, 5, 3 // 120
	var group sync.WaitGroup
	for range clusters {
		c, _ := build(t, nodes, testProgram)
		for _, name := range c.Nodes() {
			group.Go(func() {
				for range starts {
					if err := c.Start(t.Context(), name); err != nil {
						t.Error(err)
						return
					}
					for end := time.Now().Add(20 * time.Second); ; {
						got, err := request(c.Address(name), "ping", 10*time.Second)
						if err == nil && got == "pong from "+name {
							break
						}
						if c.State(name) != cluster.Running || time.Now().After(end) {
							t.Errorf("%s is %s: %v", name, c.State(name), c.Pause(t.Context(), name))
							return
						}
					}
					if err := c.Kill(t.Context(), name); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	group.Wait()
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	before := runtime.NumGoroutine()
	for range 3 {
		c, _ := build(t, 5, testProgram)
		start(t, c)
		must(t, c.Pause(t.Context(), "n2"))
		must(t, c.SetLinks(t.Context(), []cluster.Link{{From: "n1", To: "n3"}}, cluster.Condition{Cut: cluster.Silent}))
		conn, err := net.Dial("tcp4", c.nodes["n1"].place.Peers["n3"]) // held for good
		must(t, err)
		defer conn.Close()
		pids := []int{c.guardian.reaper.Process.Pid}
		for _, n := range c.nodes {
			pids = append(pids, n.life.pid)
		}
		must(t, c.Close())
		must(t, c.Close())
		for _, pid := range pids {
			if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
				t.Errorf("process %d is still there: %v", pid, err)
			}
		}
		for _, name := range c.Nodes() {
			if got := c.State(name); got != cluster.Down {
				t.Errorf("%s is %s", name, got)
			}
			if err := c.Start(t.Context(), name); !errors.Is(err, errClosed) {
				t.Errorf("started after Close: %v", err)
			}
		}
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })
}
