//go:build linux || darwin

// Package attach is the world of one cluster that exists already, such as a team's
// staging: it has the addresses of the nodes, and the commands that kill, start, pause
// and resume one.
//
//	world := attach.World(attach.Cluster{
//		Name:    "staging",
//		Consent: "staging", // this may break it
//		Prefix:  "rashomon/",
//		Nodes:   []attach.Node{{Name: "db1", Address: "10.0.0.1:6379"}, {Name: "db2", Address: "10.0.0.2:6379"}},
//		Kill:    []string{"ssh", "{name}", "sudo", "systemctl", "kill", "-s", "KILL", "redis"},
//		Start:   []string{"ssh", "{name}", "sudo", "systemctl", "start", "redis"},
//	})
//
// # Consent
//
// Nothing is done without it: Cluster.Consent must be Cluster.Name. A file has no
// consent, so that whoever runs a trial gives it each time.
//
// # Data
//
// Every key that a workload writes begins with Cluster.Prefix and a word of the trial's
// own. So a trial neither touches the data of others nor finds that of the trial before;
// its own stays there. An operation without a key ends the trial before it is sent. What
// the target's Ready and Prepare write is the target's to say. Nodes' data is not copied,
// and there are no logs.
//
// # Faults
//
// Nodes are killed and paused by the commands. Links, clocks and disks are not touched.
// Commands are words, not a shell's line. They are carried out by a guardian, a process
// in a session of its own that outlives the harness: however that ends, the guardian
// starts what was killed and resumes what was paused. What it could not undo then is in
// logs/attach.log of the run directory. The guardian is this very binary: call Main, or
// rashomon.Command's, first thing in main, and in TestMain.
package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A Cluster is one that exists.
type Cluster struct {
	// Name is what consent is given to.
	Name string `json:"name"`
	// Consent says that faults may break the cluster: it must be Name.
	Consent string `json:"-"`
	// Prefix begins every key that a workload writes, such as "rashomon/".
	Prefix string `json:"prefix"`
	// Nodes are n1, n2, … in this order. All of them run.
	Nodes []Node `json:"nodes"`
	// Kill, Start, Pause and Resume are commands, of which each word may have {name},
	// {address}, {host} and {port} of the node. A command ends when it is done, with
	// status 0, and is ended after CommandTimeout. Kill needs Start and Pause Resume,
	// which undo them; what is missing is not done.
	Kill   []string `json:"kill,omitempty"`
	Start  []string `json:"start,omitempty"`
	Pause  []string `json:"pause,omitempty"`
	Resume []string `json:"resume,omitempty"`
	// Runs is a command that ends with status 0 if the node runs, paused or not, with
	// 255 if nobody knows, as ssh's, and otherwise if it does not. If there is one, a
	// kill is over when it says so, and a start.
	Runs []string `json:"runs,omitempty"`
}

// A Node is one of a cluster's.
type Node struct {
	// Name is the cluster's own for it, in commands and errors.
	Name string `json:"name"`
	// Address is the TCP address at which it serves clients.
	Address string `json:"address"`
	// Ports are further addresses, by the names in the target's Ports.
	Ports map[string]string `json:"ports,omitempty"`
}

// CommandTimeout bounds each command.
const CommandTimeout = 10 * time.Second

// Read returns the cluster that a JSON file describes.
func Read(path string) (Cluster, error) {
	var c Cluster
	file, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer file.Close()
	decoder := json.NewDecoder(file)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return Cluster{}, fmt.Errorf("%s does not describe a cluster: %w", path, err)
	}
	return c, nil
}

// Validate returns what no trial can use, in a line.
func (c Cluster) Validate() error {
	switch {
	case c.Name == "" || c.Name != strings.TrimSpace(c.Name):
		return fmt.Errorf("the attached cluster is named %q (want a name, which consent must repeat)", c.Name)
	case c.Consent != c.Name:
		return fmt.Errorf("the cluster %q is not touched without consent that faults may break it: give its name as consent, and not %q", c.Name, c.Consent)
	case c.Prefix == "" || strings.ContainsFunc(c.Prefix, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return fmt.Errorf("the cluster %q has the key prefix %q (want one without spaces, such as rashomon/)", c.Name, c.Prefix)
	case len(c.Nodes) < 1 || len(c.Nodes) > cluster.MaxNodes:
		return fmt.Errorf("the cluster %q has %d nodes (want 1 to %d)", c.Name, len(c.Nodes), cluster.MaxNodes)
	case len(c.Kill) > 0 && len(c.Start) == 0:
		return fmt.Errorf("the cluster %q has a command that kills nodes, and none that starts them again", c.Name)
	case len(c.Pause) > 0 && len(c.Resume) == 0:
		return fmt.Errorf("the cluster %q has a command that pauses nodes, and none that resumes them", c.Name)
	}
	for i, node := range c.Nodes {
		if node.Name == "" {
			return fmt.Errorf("node %d of %q has no name", i+1, c.Name)
		}
		if slices.ContainsFunc(c.Nodes[:i], func(other Node) bool { return other.Name == node.Name || other.Address == node.Address }) {
			return fmt.Errorf("%s (%s) is twice among the nodes of %q", node.Name, node.Address, c.Name)
		}
		for _, address := range append([]string{node.Address}, values(node.Ports)...) {
			if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
				return fmt.Errorf("%s of %q is at %q (want HOST:PORT)", node.Name, c.Name, address)
			}
		}
	}
	return nil
}

func values(ports map[string]string) (all []string) {
	for _, address := range ports {
		all = append(all, address)
	}
	return all
}

// World returns the world of that cluster.
func World(c Cluster) cluster.Standing { return &world{c} }

type world struct{ of Cluster }

// worldName is what --world takes, before a colon and a file.
const worldName = "attach"

func (world) Name() string { return worldName }

// Size implements cluster.Standing.
func (w world) Size() int { return len(w.of.Nodes) }

// KeyPrefix implements cluster.Standing.
func (w world) KeyPrefix() string { return w.of.Prefix }

func (w world) Supports(_ context.Context, fault cluster.Fault) error {
	switch {
	case fault == cluster.KillFault && len(w.of.Kill) > 0, fault == cluster.PauseFault && len(w.of.Pause) > 0:
		return nil
	case fault == cluster.KillFault:
		return fmt.Errorf("no commands were given that kill and start a node of %q", w.of.Name)
	case fault == cluster.PauseFault:
		return fmt.Errorf("no commands were given that pause and resume a node of %q", w.of.Name)
	}
	return errors.New("an attached cluster's nodes are killed and paused; its links, clocks and disks are not touched")
}

// Build implements cluster.World. No node is touched before it is killed or paused.
func (w world) Build(ctx context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	if err := w.fits(spec); err != nil {
		return nil, fmt.Errorf("cannot attach: %w", err)
	}
	guardian, err := startGuardian(w.of, spec)
	if err != nil {
		return nil, fmt.Errorf("cannot attach to %q: %w", w.of.Name, err)
	}
	a := &attached{of: w.of, roles: spec.Roles, nodes: map[cluster.Node]*node{}, guardian: guardian}
	for i, name := range spec.Nodes {
		a.names = append(a.names, name)
		a.nodes[name] = &node{Node: w.of.Nodes[i], state: cluster.Down}
	}
	return a, nil
}

// fits returns why the trial's cluster is not this one.
func (w world) fits(spec cluster.Spec) error {
	if err := errors.Join(spec.Validate(), w.of.Validate()); err != nil {
		return err
	}
	if len(spec.Nodes) != len(w.of.Nodes) {
		return fmt.Errorf("the trial wants %d nodes, and %q has %d", len(spec.Nodes), w.of.Name, len(w.of.Nodes))
	}
	for _, port := range spec.Ports {
		for _, node := range w.of.Nodes {
			if node.Ports[port] == "" {
				return fmt.Errorf("the target needs the address of %s's port %q, among its ports", node.Name, port)
			}
		}
	}
	return nil
}
