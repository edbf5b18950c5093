package history

import (
	"cmp"
	"slices"
)

// A Family is what is known of a kind of fault by its name, for those who judge a run
// or tell of it. How it is injected is a nemesis.Family.
type Family struct {
	// Name is its word, in --nemesis, in events and in reports.
	Name string `json:"-"`
	// On is what it acts on.
	On Surface `json:"on,omitempty"`
	// Did is what had happened, after "had": to the nodes ("been killed"), to their
	// clocks or to their links. Empty means "suffered" and the name.
	Did string `json:"did,omitempty"`
	// Cuts means that nothing comes over its links.
	Cuts bool `json:"cuts,omitempty"`
	// Away means that its nodes do nothing while it is in force: they are on no side of
	// a partition, and a leader among them is taken away.
	Away bool `json:"away,omitempty"`
	// Ends means that its nodes end when it is injected, and are started when it is healed.
	Ends bool `json:"ends,omitempty"`
	// Exits means that its nodes may end by themselves while it is in force, which is no
	// crash then.
	Exits bool `json:"exits,omitempty"`

	Jepsen JepsenWords `json:"-"`
}

// JepsenWords are those of Jepsen's nemeses for a family, besides start-NAME and
// stop-NAME.
type JepsenWords struct {
	Injects, Heals []string // the :f of an action
	Did, Undid     []string // what the action says that it did to a node
}

// A Surface is what a family acts on.
type Surface string

const (
	OnNodes  Surface = "" // that run; and of these, perhaps some processes alone
	OnLinks  Surface = "links"
	OnClocks Surface = "clocks"
)

// The families that are built in.
var (
	FamilyPartition = Family{Name: "partition", On: OnLinks, Did: "been cut off", Cuts: true}
	FamilyKill      = Family{Name: "kill", Did: "been killed", Away: true, Ends: true,
		Jepsen: JepsenWords{Injects: []string{"kill"}, Heals: []string{"restart"}, Did: []string{"killed"}, Undid: []string{"restarted", "started"}}}
	FamilyPause = Family{Name: "pause", Did: "been paused", Away: true,
		Jepsen: JepsenWords{Injects: []string{"pause"}, Heals: []string{"resume"}, Did: []string{"paused"}, Undid: []string{"resumed"}}}
	FamilyLatency = Family{Name: "latency", On: OnLinks, Did: "been delayed"}
	FamilyLoss    = Family{Name: "loss", On: OnLinks, Did: "lost packets"}
	FamilyFlaky   = Family{Name: "flaky", On: OnLinks, Did: "been flaky"}
	FamilySlow    = Family{Name: "slow", On: OnLinks, Did: "been slow"}
	FamilyClock   = Family{Name: "clock", On: OnClocks, Did: "been wrong",
		Jepsen: JepsenWords{Injects: []string{"bump", "strobe", "bump-clock", "strobe-clock"}, Heals: []string{"reset", "reset-clock"}}}
)

// Families are all that are built in, in the order of reports.
var Families = []Family{FamilyPartition, FamilyKill, FamilyPause, FamilyLatency, FamilyLoss, FamilyFlaky, FamilySlow, FamilyClock}

// Of returns what is known of the event's family: of one that is neither built in nor
// described by the event, its name.
func (e Event) Of() Family {
	if i := slices.IndexFunc(Families, func(f Family) bool { return f.Name == e.Family }); i >= 0 {
		return Families[i]
	}
	var known Family
	if e.Own != nil {
		known = *e.Own
	}
	known.Name, known.Did = e.Family, cmp.Or(known.Did, "suffered "+e.Family)
	return known
}
