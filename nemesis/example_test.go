package nemesis_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
)

// Five nodes in two machine rooms: one room has a majority, the other has none.
func ExampleRooms() {
	two := nemesis.Rooms([]string{"n1", "n2", "n3"}, []string{"n4", "n5"})
	fmt.Println(two.Name())
	// Output: rooms:n1,n2,n3/n4,n5
}

// A fault of a user's own: a node is told to refuse writes, as if its disk were full,
// while others are killed.
func ExampleFamily() {
	tell := func(ctx context.Context, hit nemesis.Hit, command string) error {
		for _, node := range hit.Nodes {
			request, err := http.NewRequestWithContext(ctx, "POST", "http://"+hit.Cluster.Address(node)+command, nil)
			if err != nil {
				return err
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			answer.Body.Close()
		}
		return nil
	}
	full := nemesis.Family{
		Family: history.Family{Name: "full", Did: "refused writes"},
		Doc:    "nodes refuse writes, as if their disks were full",
		Shapes: nemesis.Roles("one", "leader"),
		Inject: func(ctx context.Context, hit nemesis.Hit) (string, error) {
			return "", tell(ctx, hit, "/failpoint/full")
		},
		Heal: func(ctx context.Context, hit nemesis.Hit) error { return tell(ctx, hit, "/failpoint/none") },
	}
	faults := nemesis.Combine(nemesis.With(full), nemesis.Kills("follower"))
	faults.Interval, faults.Overlap = 2*time.Second, true
	fmt.Println(faults.Name())

	// The same by its words, as --nemesis takes them.
	same, err := nemesis.Parse("full:leader,kill:follower,overlap", 2*time.Second, full)
	fmt.Println(same.Name(), err)
	// Output:
	// full,kill:follower,overlap
	// full:leader,kill:follower,overlap <nil>
}
