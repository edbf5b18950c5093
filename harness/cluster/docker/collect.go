package docker

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/moby/moby/client"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/internal/collect"
)

func (c *containers) Collect(ctx context.Context, name cluster.Node, dir string, patterns ...string) error {
	return c.act(ctx, "copy the data of", name, func(n *node, ctx context.Context) error { return n.collect(ctx, dir, patterns) })
}

// collect copies the volume at Place.Data. The engine packs it from outside of
// the target, which may be paused or down.
func (n *node) collect(ctx context.Context, dir string, patterns []string) (err error) {
	n.acting.Lock()
	defer n.acting.Unlock()
	packed, err := n.engine.api.CopyFromContainer(ctx, n.target, client.CopyFromContainerOptions{SourcePath: data})
	if err != nil {
		return err
	}
	defer packed.Content.Close()
	into, err := collect.Into(dir, cluster.CollectLimit, patterns...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	for files := tar.NewReader(packed.Content); ; {
		header, err := files.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(header.Name, path.Base(data)+"/")
		switch {
		case header.Typeflag == tar.TypeDir || !into.Wants(name):
		case header.Typeflag == tar.TypeReg:
			if err := into.Add(name, header.Size, files); err != nil {
				return err
			}
		default:
			into.Omit(name)
		}
	}
}
