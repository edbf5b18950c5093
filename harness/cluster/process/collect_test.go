//go:build linux || darwin

package process

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A paused node's data can be copied, and goes on as it was.
func TestCollect(t *testing.T) {
	c, _ := build(t, 1, testProgram)
	start(t, c)
	if got, err := request(c.Address("n1"), "put 42", 10*time.Second); got != "<nil>" {
		t.Fatalf("put: %q, %v", got, err)
	}
	deep := filepath.Join(c.nodes["n1"].place.Data, "wal", "1")
	must(t, os.MkdirAll(deep, 0o700))
	must(t, os.WriteFile(filepath.Join(deep, "log"), []byte("entries"), 0o600))
	must(t, c.Pause(t.Context(), "n1"))
	dir := filepath.Join(t.TempDir(), "data", "n1")
	must(t, c.Collect(t.Context(), "n1", dir))
	for name, want := range map[string]string{"value": "42", "wal/1/log": "entries"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != want {
			t.Errorf("the copy of %s holds %q, %v; want %q", name, got, err, want)
		}
	}
	must(t, c.Resume(t.Context(), "n1"))
	if got, err := request(c.Address("n1"), "get", 10*time.Second); got != "42" {
		t.Errorf("afterwards the node holds %q, %v", got, err)
	}

	must(t, syscall.Mkfifo(filepath.Join(deep, "pipe"), 0o600))
	if err := c.Collect(t.Context(), "n1", dir); err == nil || !strings.Contains(err.Error(), `cannot copy the data of n1: 1 entries, such as "wal/1/pipe"`) {
		t.Errorf("a pipe is left out, and the error is %v", err)
	}
	if c.Collect(t.Context(), "n9", dir) == nil {
		t.Error("a node that is not there has data")
	}
}
