package history

import (
	"maps"
	"math"
	"slices"
	"time"
)

// A Manifest is trial.json: what was tried, and how to try it again. It is
// written before the first operation.
type Manifest struct {
	// Version is of the run directory's layout and of every file in it.
	Version  int    `json:"version"`
	Target   string `json:"target"`
	Options  string `json:"options,omitempty"`
	Workload string `json:"workload"`
	Nemesis  string `json:"nemesis"`
	World    string `json:"world"`
	Claim    Claim  `json:"claim"`
	// Kinds are those of the workload's own.
	Kinds Kinds `json:"kinds,omitempty"`

	Nodes []string `json:"nodes"`
	// Roles are those of the nodes; none if all are alike.
	Roles       map[string]string `json:"roles,omitempty"`
	Concurrency int               `json:"concurrency"`
	// RatePerSecond is of all clients together; 0 means as fast as they can.
	RatePerSecond float64 `json:"rate_per_second,omitempty"`
	// Operations bounds the quiet and faults phases by count; 0 means by time.
	Operations int           `json:"operations,omitempty"`
	Quiet      time.Duration `json:"quiet_ns"`
	Faults     time.Duration `json:"faults_ns"`
	Recovery   time.Duration `json:"recovery_ns"`
	Timeout    time.Duration `json:"timeout_ns"`
	Seed       uint64        `json:"seed"`
	// Command repeats the run.
	Command string `json:"command,omitempty"`
	// KeyPrefix begins the keys that clients used, and not those of the history; empty
	// unless the cluster was there before the trial.
	KeyPrefix string    `json:"key_prefix,omitempty"`
	Started   time.Time `json:"started"`
}

// IsTrial reports whether the run is one of this harness, with phases and a nemesis,
// as opposed to a history from elsewhere.
func (r *Run) IsTrial() bool { return r.Manifest.Version > 0 }

// A Run is what a run directory holds, as far as checkers and reports need it.
type Run struct {
	// Dir is where it was read from; empty for one that never was on disk.
	Dir      string
	Manifest Manifest
	History  History
	// Events are the nemesis's, ordered by Time.
	Events []Event
}

// Never is later than any time of a run.
const Never = time.Duration(math.MaxInt64)

// PhaseBegins returns when a phase began; Never if it did not.
func (r *Run) PhaseBegins(phase Phase) time.Duration {
	for _, e := range r.Events {
		if e.Type == PhaseBegins && e.Phase == phase {
			return e.Time
		}
	}
	return Never
}

// Healed returns when the last fault was healed, or else when the recovery phase
// began; Never if neither was.
func (r *Run) Healed() time.Duration {
	for _, e := range slices.Backward(r.Events) {
		if e.Type == Heal {
			return e.Time
		}
	}
	return r.PhaseBegins(Recovery)
}

// Nodes names the cluster's nodes; where the run has no manifest, those through
// which operations went.
func (r *Run) Nodes() []string {
	if len(r.Manifest.Nodes) > 0 {
		return r.Manifest.Nodes
	}
	seen := map[string]bool{}
	if packed := r.History.Packed; packed != nil {
		for _, node := range packed.nodes.texts {
			seen[node] = true
		}
		delete(seen, "")
	}
	for i := range r.History.Operations {
		if node := r.History.Operations[i].Node; node != "" {
			seen[node] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// TakesLeader returns who led and is taken away, or cut off, by the fault that the event
// injects; empty if nobody is known to.
func (e Event) TakesLeader() string {
	if family := e.Of(); e.Type == Inject && (family.Away || family.Cuts && !e.OnlyClients()) && slices.Contains(e.Nodes, e.Leader) {
		return e.Leader
	}
	return ""
}
