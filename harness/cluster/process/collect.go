//go:build linux || darwin

package process

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/internal/collect"
)

func (l *loopback) Collect(ctx context.Context, name cluster.Node, dir string, patterns ...string) error {
	return l.act(ctx, "copy the data of", name, func(n *node, ctx context.Context) error { return n.collect(ctx, dir, patterns) })
}

// collect copies the data directory. Killing and pausing wait until it is done.
func (n *node) collect(ctx context.Context, dir string, patterns []string) (err error) {
	n.acting.Lock()
	defer n.acting.Unlock()
	into, err := collect.Into(dir, cluster.CollectLimit, patterns...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	return filepath.WalkDir(n.place.Data, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(n.place.Data, path)
		if err != nil {
			return err
		}
		if !into.Wants(filepath.ToSlash(name)) {
			return nil
		}
		if !entry.Type().IsRegular() {
			into.Omit(name)
			return nil
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		return into.Add(filepath.ToSlash(name), info.Size(), file)
	})
}
