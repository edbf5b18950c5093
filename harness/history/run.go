package history

import "time"

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

	Nodes       []string `json:"nodes"`
	Concurrency int      `json:"concurrency"`
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
	Command string    `json:"command,omitempty"`
	Started time.Time `json:"started"`
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
