package line

import (
	"context"
	"math/rand/v2"
	"strconv"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A CoordinationClient is the client of a system whose nodes are Coordinators. It
// is a workloads.QueueClient and a workloads.LockClient, too.
type CoordinationClient struct {
	*Client
	holder string // of locks: this client, and no other
}

// OpenCoordination is a harness.Target's Open. It does not connect.
func OpenCoordination(ctx context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
	client, err := Open(ctx, c, node)
	if err != nil {
		return nil, err
	}
	return &CoordinationClient{client.(*Client), strconv.FormatInt(rand.Int64(), 10)}, nil
}

func (c *CoordinationClient) Enqueue(ctx context.Context, queue string, element int64) error {
	return c.do(ctx, "enqueue", queue, strconv.FormatInt(element, 10))
}

func (c *CoordinationClient) Dequeue(ctx context.Context, queue string) (element int64, found bool, err error) {
	return c.maybe(ctx, "value", "none", "dequeue", queue)
}

func (c *CoordinationClient) Acquire(ctx context.Context, lock string) (token int64, acquired bool, err error) {
	return c.maybe(ctx, "acquired", "held", "acquire", lock, c.holder)
}

func (c *CoordinationClient) Release(ctx context.Context, lock string) (released bool, err error) {
	reply, err := c.call(ctx, "release", lock, c.holder)
	switch {
	case err != nil:
		return false, err
	case len(reply) == 1 && reply[0] == "ok":
		return true, nil
	case len(reply) == 2 && reply[0] == "not" && reply[1] == "held":
		return false, nil
	}
	return false, unexpected(reply)
}
