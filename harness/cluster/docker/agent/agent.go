// Package agent is the privileged helper that sits beside a node, in the node's
// network and PID namespaces, and injects what cannot be injected from outside:
// faults of links, clocks and single processes.
//
// It imports nothing of the project but harness/cluster's types, so that a
// world can speak to it.
//
// # The conversation
//
// The harness speaks to an agent over the standard input and output of its
// container: one Request a line, one Response a line, in JSON. There is no port,
// so nobody else can speak to it and no partition cuts it off. It is a dead
// man's switch: when its input ends, because the harness closed it or died, the
// agent undoes everything and exits.
package agent

import (
	"net/netip"
	"syscall"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A Request asks for one change. Exactly one of its pointers is set.
type Request struct {
	ID     uint64         `json:"id"`
	Links  *LinksRequest  `json:"links,omitempty"`
	Clock  *ClockRequest  `json:"clock,omitempty"`
	Signal *SignalRequest `json:"signal,omitempty"`
	// Hello asks what the agent can do here.
	Hello *HelloRequest `json:"hello,omitempty"`
}

// A LinksRequest gives the links from these peers to the agent's own node a
// condition: faults of links are injected where packets arrive.
type LinksRequest struct {
	Peers     []netip.Addr      `json:"peers"`
	Condition cluster.Condition `json:"condition"`
}

// A ClockRequest sets the clock of all processes of the node, but not of holder
// and agent.
type ClockRequest struct {
	Clock cluster.Clock `json:"clock"`
}

// A SignalRequest signals all processes with that name, or every process of the
// node if it is empty.
type SignalRequest struct {
	Process string         `json:"process"`
	Signal  syscall.Signal `json:"signal"`
}

// A HelloRequest has no parameters.
type HelloRequest struct{}

// A Response answers the Request with its ID.
type Response struct {
	ID uint64 `json:"id"`
	// Error is empty if the change is in force.
	Error string `json:"error,omitempty"`
	// Took is how long the change needed.
	Took time.Duration `json:"took_ns"`
	// Means answers Hello: how each fault is injected here.
	Means map[cluster.Fault]string `json:"means,omitempty"`
	// Lacks answers Hello: why a fault cannot be injected, and what would help.
	Lacks map[cluster.Fault]string `json:"lacks,omitempty"`
}
