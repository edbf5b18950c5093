package docker

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A node's data can be copied while it is paused, and after it was killed.
func TestCollect(t *testing.T) {
	c := started(t, cluster.Spec{Nodes: cluster.Names(1), Program: echo})
	expect(t, c, "n1", "put 42", "<nil>")
	must(t, c.Pause(t.Context(), "n1"))
	for _, state := range []string{"paused", "down"} {
		dir := filepath.Join(t.TempDir(), state)
		must(t, c.Collect(t.Context(), "n1", dir))
		if got, err := os.ReadFile(filepath.Join(dir, "value")); string(got) != "42" {
			t.Errorf("%s: the copy holds %q, %v", state, got, err)
		}
		must(t, c.Kill(t.Context(), "n1"))
	}
	must(t, c.Start(t.Context(), "n1"))
	awaitServing(t, c, "n1")
	expect(t, c, "n1", "cat /data/value", "42")
}
