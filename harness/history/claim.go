package history

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Claim is what a target promises, in its own words and in ours.
//
// Without Expect and Guarantees it is linearizability. Expect takes something from
// that, and Guarantees say what holds all the same. Guarantees without Expect are the
// whole promise: whatever they allow is admitted.
type Claim struct {
	// CAP is "CP" or "AP": what the target gives up when it is partitioned.
	CAP string `json:"cap"`
	// Expect names the anomalies that the target admits to, such as "stale
	// read" and "lost commit" (anomaly.All).
	Expect []string `json:"expect,omitempty"`
	// Guarantees are promises by name, such as "monotonic reads" and "stale by at
	// most 500ms" (see ParseGuarantee).
	Guarantees []string `json:"guarantees,omitempty"`
}

// Admits reports whether the target admits to the anomaly by its name.
func (c Claim) Admits(anomaly string) bool { return slices.Contains(c.Expect, anomaly) }

// Linearizable reports whether the target claims to be.
func (c Claim) Linearizable() bool {
	return len(c.Expect) == 0 && (len(c.Guarantees) == 0 || slices.Contains(c.Guarantees, Linearizable))
}

// The names of guarantees. docs/guarantees.md says what each means.
const (
	Linearizable       = "linearizable"
	Sequential         = "sequential"
	LinearizableWrites = "linearizable writes"
	MonotonicReads     = "monotonic reads"
	ReadYourWrites     = "read your writes"
	MonotonicWrites    = "monotonic writes"
	WritesFollowReads  = "writes follow reads"
	StaleByTime        = "stale by at most a time"
	StaleByVersions    = "stale by at most some versions"
	Converges          = "converges"
)

// MaxVersions bounds the versions by which a claim allows reads to be stale.
const MaxVersions = 15

// A Guarantee is one of the names above, with its bound if it has one.
type Guarantee struct {
	Name     string
	Time     time.Duration // of StaleByTime, positive; of Converges, or 0
	Versions int           // of StaleByVersions, 1 to MaxVersions
}

const (
	staleBy = "stale by at most "
	within  = Converges + " within "
)

// guaranteeForms are what ParseGuarantee reads, for people.
var guaranteeForms = []string{
	Linearizable, Sequential, LinearizableWrites, MonotonicReads, ReadYourWrites, MonotonicWrites, WritesFollowReads,
	staleBy + "500ms", staleBy + "2 versions", Converges, within + "2s",
}

// ParseGuarantee reads a guarantee as a claim names it: "linearizable", "sequential",
// "linearizable writes", "monotonic reads", "read your writes", "monotonic writes",
// "writes follow reads", "stale by at most 500ms", "stale by at most 2 versions",
// "converges", "converges within 2s".
func ParseGuarantee(text string) (Guarantee, error) {
	if bound, timed := strings.CutPrefix(text, within); timed {
		limit, err := time.ParseDuration(bound)
		if err != nil || limit <= 0 {
			return Guarantee{}, fmt.Errorf("the guarantee %q: want a positive time, as in %q", text, within+"2s")
		}
		return Guarantee{Name: Converges, Time: limit}, nil
	}
	bound, stale := strings.CutPrefix(text, staleBy)
	if !stale {
		if slices.Contains(guaranteeForms, text) {
			return Guarantee{Name: text}, nil
		}
		return Guarantee{}, fmt.Errorf("no guarantee %q (there are: %s)", text, strings.Join(guaranteeForms, ", "))
	}
	if number, counted := strings.CutSuffix(strings.TrimSuffix(bound, "s"), " version"); counted {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > MaxVersions {
			return Guarantee{}, fmt.Errorf("the guarantee %q: want 1 to %d versions, as in %q", text, MaxVersions, staleBy+"2 versions")
		}
		return Guarantee{Name: StaleByVersions, Versions: n}, nil
	}
	limit, err := time.ParseDuration(bound)
	if err != nil || limit <= 0 {
		return Guarantee{}, fmt.Errorf("the guarantee %q: want a positive time or number of versions, as in %q or %q", text, staleBy+"500ms", staleBy+"2 versions")
	}
	return Guarantee{Name: StaleByTime, Time: limit}, nil
}

// Validate returns an error if a guarantee is none. The names of anomalies are
// anomaly.All.
func (c Claim) Validate() error {
	for _, text := range c.Guarantees {
		if _, err := ParseGuarantee(text); err != nil {
			return err
		}
	}
	return nil
}
