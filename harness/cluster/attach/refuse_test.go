//go:build linux || darwin

package attach

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

func write(t *testing.T, path string, c Cluster) {
	t.Helper()
	text, err := json.Marshal(c)
	must(t, err)
	must(t, os.WriteFile(path, text, 0o666))
}

// A command that fails, or does not do what it says, is told with its output; what it
// may have done is undone.
func TestErrorsOfCommands(t *testing.T) {
	c := three(t, t.TempDir())
	for want, command := range map[string][]string{
		`cannot kill n1 (db1): "sh -c echo no db1 here; exit 3": exit status 3: no db1 here`: {"sh", "-c", "echo no {name} here; exit 3"},
		`cannot kill n1 (db1): "sh -c exit 4": exit status 4: it said nothing`:               {"sh", "-c", "exit 4"},
		`executable file not found`:        {"no-such-program"},
		`it still runs after 10s`:          {"true"},
		`it has not ended after 10s: slow`: {"sh", "-c", "echo slow; sleep 100"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			broken := c
			broken.Kill = command
			a := build(t, broken)
			if err := a.Kill(t.Context(), "n1"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
			if a.State("n1") != cluster.Running {
				t.Errorf("n1 is %s", a.State("n1"))
			}
			must(t, a.Close())
		})
	}
}

// A paused node that a kill has not ended is resumed.
func TestKillOfAPausedNodeFails(t *testing.T) {
	c := three(t, t.TempDir())
	broken := c
	broken.Kill = []string{"sh", "-c", "exit 4"}
	a := build(t, broken)
	must(t, a.Pause(t.Context(), "n2"))
	if err := a.Kill(t.Context(), "n2"); err == nil {
		t.Fatal("it was killed")
	}
	must(t, a.Close())
	eventuallyAnswer(t, c)
}

// What could not be undone is told when the cluster is closed.
func TestWhatCannotBeUndoneIsTold(t *testing.T) {
	c := three(t, t.TempDir())
	c.Resume = []string{"sh", "-c", "echo in vain; exit 1"}
	a := build(t, c)
	must(t, a.Pause(t.Context(), "n2"))
	err := a.Close()
	if want := `n2 (db2) is left as it is, resume it by hand: "sh -c echo in vain; exit 1": exit status 1: in vain`; err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Nothing is attached without consent, a prefix, or nodes that run.
func TestRefused(t *testing.T) {
	c := three(t, t.TempDir())
	for want, change := range map[string]func(*Cluster){
		"without consent":             func(c *Cluster) { c.Consent = "" },
		`and not "production"`:        func(c *Cluster) { c.Consent = "production" },
		"key prefix":                  func(c *Cluster) { c.Prefix = "" },
		`is named ""`:                 func(c *Cluster) { c.Name, c.Consent = "", "" },
		"none that starts them again": func(c *Cluster) { c.Start = nil },
		"none that resumes them":      func(c *Cluster) { c.Resume = nil },
		"has 0 nodes":                 func(c *Cluster) { c.Nodes = nil },
		"node 1 of":                   func(c *Cluster) { c.Nodes = []Node{{Address: "a:1"}} },
		"is twice":                    func(c *Cluster) { c.Nodes = []Node{c.Nodes[0], c.Nodes[0]} },
		"want HOST:PORT":              func(c *Cluster) { c.Nodes = []Node{{Name: "a", Address: "a"}} },
		"wants 3 nodes":               func(c *Cluster) { c.Nodes = c.Nodes[:2] },
	} {
		changed := c
		change(&changed)
		if _, err := World(changed).Build(t.Context(), spec(t.TempDir())); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	further := spec(t.TempDir())
	further.Ports = []string{"gossip"}
	if _, err := World(c).Build(t.Context(), further); err == nil || !strings.Contains(err.Error(), `port "gossip"`) {
		t.Errorf("got %v", err)
	}

	a := build(t, c)
	for _, err := range []error{
		a.SetLinks(t.Context(), nil, cluster.Condition{Cut: cluster.Silent}), a.SetClock(t.Context(), "n1", cluster.Clock{Offset: 1}),
		a.Signal(t.Context(), "n1", "db", 9), a.Collect(t.Context(), "n1", t.TempDir()),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	}
	must(t, a.Kill(t.Context(), "n2"))
	for _, runs := range [][]string{c.Runs, nil} {
		c.Runs = runs
		other, err := World(c).Build(t.Context(), spec(t.TempDir()))
		must(t, err)
		if err := other.Start(t.Context(), "n2"); err == nil || !strings.Contains(err.Error(), "cannot start n2 (db2): it does not") || !strings.Contains(err.Error(), "was not touched") {
			t.Errorf("got %v", err)
		}
		must(t, other.Close())
	}
}

// The faults that there are commands for are supported, and no others.
func TestSupports(t *testing.T) {
	for _, fault := range cluster.Faults {
		all := Cluster{Kill: []string{"k"}, Start: []string{"s"}, Pause: []string{"p"}, Resume: []string{"r"}}
		can := fault == cluster.KillFault || fault == cluster.PauseFault
		if err := World(all).Supports(t.Context(), fault); (err == nil) != can {
			t.Errorf("%s: %v", fault, err)
		}
		if err := World(Cluster{}).Supports(t.Context(), fault); err == nil {
			t.Errorf("%s without commands", fault)
		}
	}
}

// A file says all but the consent.
func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "staging.json")
	want := three(t, t.TempDir())
	write(t, path, want)
	want.Consent = ""
	if got, err := Read(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, text := range []string{"", "{", `{"consent": "staging"}`, `{"kil": ["k"]}`, `{"kill": "k"}`} {
		must(t, os.WriteFile(path, []byte(text), 0o666))
		if c, err := Read(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, %v", text, c, err)
		}
	}
}
