package docker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Who runs the command elsewhere than in its checkout has it built all the same.
func TestSources(t *testing.T) {
	here, err := listed(t.Context())
	must(t, err)
	t.Chdir(t.TempDir())
	there, err := sources(t.Context())
	must(t, err)
	for _, root := range []string{here, there} {
		if _, err := os.Stat(filepath.Join(root, "cmd", "rashomon", "main.go")); err != nil {
			t.Error(err)
		}
	}
	if root, err := listed(t.Context()); err == nil || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
		t.Errorf("outside of any module, the sources are %s, %v", root, err)
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

// Whoever interrupts a build is told so, and nothing of it is left. That holds for
// one who waits for another's build, too.
func TestInterruptedBuild(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("GOCACHE", filepath.Join(cache, "go"))
	interrupted := func(what string, under func() bool) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		failed := make(chan error, 1)
		go func() {
			_, err := executable(ctx, "linux", "riscv64", nil)
			failed <- err
		}()
		eventually(t, what, under)
		cancel()
		err := <-failed
		if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "interrupted while rashomon was built") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v", what, err)
		}
	}
	interrupted("the toolchain compiles", func() bool { return len(processes(cache)) > 1 })
	eventually(t, "no process is left", func() bool { return len(processes(cache)) == 0 })
	left, err := filepath.Glob(filepath.Join(cache, "rashomon", "*"))
	must(t, err)
	if len(left) != 1 || !strings.HasSuffix(left[0], ".lock") {
		t.Fatalf("there is left %q, want the lock", left)
	}
	unlock, err := lock(t.Context(), left[0])
	must(t, err)
	defer unlock()
	waiting := time.Now()
	interrupted("it waits", func() bool { return time.Since(waiting) > 3*lockEvery })
}

func TestComplaint(t *testing.T) {
	for output, want := range map[string]string{
		"go: downloading example.com/a v1.0.0\n# example.com/b\nb.go:1:2: no luck\nb.go:3:4: either\n": "b.go:1:2: no luck",
		"": "it does not say why",
	} {
		if got := complaint([]byte(output)); got != want {
			t.Errorf("%q: %q, want %q", output, got, want)
		}
	}
}
