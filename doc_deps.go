package rashomon
import (
 _ "github.com/anishathalye/porcupine"
 _ "github.com/hashicorp/raft"
 _ "github.com/hashicorp/raft-boltdb/v2"
 _ "github.com/hashicorp/go-hclog"
 _ "github.com/olekukonko/tablewriter"
 _ "github.com/spf13/cobra"
 _ "github.com/rogpeppe/go-internal/testscript"
 _ "github.com/google/go-cmp/cmp"
 _ "pgregory.net/rapid"
 _ "github.com/chromedp/chromedp"
 _ "gonum.org/v1/plot/vg/vgsvg"
 _ "gonum.org/v1/plot/plotter"
 _ "go.etcd.io/bbolt"
 _ "golang.org/x/sync/errgroup"
 _ "golang.org/x/sys/unix"
)
