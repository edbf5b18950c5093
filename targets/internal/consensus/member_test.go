package consensus

import (
	"fmt"
	"testing"

	hraft "github.com/hashicorp/raft"
)

// A wrong promise would make false verdicts: what was refused is never looked for
// again.
func TestRefused(t *testing.T) {
	for err, want := range map[error]bool{
		hraft.ErrNotLeader:                    true,
		hraft.ErrEnqueueTimeout:               true,
		hraft.ErrLeadershipTransferInProgress: true,
		fmt.Errorf("%w", hraft.ErrNotLeader):  true,
		hraft.ErrLeadershipLost:               false,
		hraft.ErrRaftShutdown:                 false,
		hraft.ErrAbortedByRestore:             false,
		nil:                                   false,
	} {
		if Refused(err) != want {
			t.Errorf("%v: refused %v, want %v", err, !want, want)
		}
	}
}
