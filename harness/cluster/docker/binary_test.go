package docker

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Who runs the command elsewhere than in its checkout has it built all the same.
func TestSources(t *testing.T) {
	if got := sources(t.Context()); got != "." {
		t.Errorf("in the module that has the command, it is built from %s", got)
	}
	t.Chdir(t.TempDir())
	if _, err := os.Stat(filepath.Join(sources(t.Context()), "cmd", "rashomon", "main.go")); err != nil {
		t.Error(err)
	}
}

func TestTelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		done := telling(func(step string) { told = append(told, step) }, "pulling")
		time.Sleep(2*tellEvery + time.Millisecond) // of virtual time
		done()
		time.Sleep(tellEvery)
		if want := []string{"pulling: 2 s so far …", "pulling: 4 s so far …"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
