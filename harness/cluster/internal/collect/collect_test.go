package collect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCopy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "n1")
	c, err := Into(dir, 10)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"a": "1234", "wal/b": "5678", "wal/c": "too long by half"} {
		if err := c.Add(name, int64(len(content)), strings.NewReader(content)); err != nil {
			t.Error(err)
		}
	}
	if c.Add("../escaped", 0, strings.NewReader("")) == nil || c.Add("/tmp/escaped", 0, strings.NewReader("")) == nil {
		t.Error("a file was written elsewhere")
	}
	c.Omit("socket")
	err = c.Close()
	for _, want := range []string{"cut: 1 files", "larger than 0 MiB", "1 entries", `"socket"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error %v does not say %q", err, want)
		}
	}
	for name, want := range map[string]string{"a": "1234", "wal/b": "5678"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != want {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "wal", "c")); err == nil {
		t.Error("a file was copied in part")
	}
}
