package nats_test

import (
	"context"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
)

func prepared(target harness.Target) harness.Target {
	prepare := target.Prepare
	target.Prepare = nil
	done := false
	target.Ready = func(ctx context.Context, c cluster.Cluster) error {
		if err := ready(ctx, c); err != nil || done {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err := prepare(ctx, c)
		done = err == nil
		return err
	}
	return target
}
