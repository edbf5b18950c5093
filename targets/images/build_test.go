package images

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

// These tests put a script in mmdebstrap's place. $DIR is a directory of the
// test's own with a small whole root file system, root.tar.

func TestBuildImportsWhatMmdebstrapWrites(t *testing.T) {
	engine := realEngine(t)
	fakeMmdebstrap(t, `cat "$DIR/root.tar"`)
	d := throwAway(t, engine)
	left, err := os.MkdirTemp("", "rashomon-images-*") // as by a killed harness
	if err != nil {
		t.Fatal(err)
	}
	if err := build(t.Context(), engine, d, quiet); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a dead build's directory is still there: %v", err)
	}
	image, err := engine.ImageInspect(t.Context(), d.Local())
	if err != nil {
		t.Fatal(err)
	}
	if image.Config.Labels["io.rashomon.image"] != "1" || strings.Join(image.Config.Cmd, " ") != "some command" {
		t.Errorf("configuration is %+v", image.Config)
	}
}

// A root file system that may not be whole must not become an image, however
// whole its tar looks.
func TestFailedBuildLeavesNoImage(t *testing.T) {
	engine := realEngine(t)
	for _, test := range []struct{ name, script, want string }{
		{"at once", `echo "E: no mirror" >&2; echo "E: failed to run" >&2; exit 25`, "mmdebstrap: no mirror"},
		{"in the middle", `head -c 700 "$DIR/root.tar"; exit 25`, "mmdebstrap: exit status 25"},
		{"after the end", `cat "$DIR/root.tar"; sleep 0.3; exit 25`, "mmdebstrap: exit status 25"},
		{"killed", `cat "$DIR/root.tar"; kill -9 $$`, "mmdebstrap: signal: killed"},
		{"no privilege", `echo "E: unable to pick chroot mode automatically" >&2; exit 1`, "mmdebstrap may not unpack here: run as root once, or apt-get install uidmap"},
		{"not a tar", `yes | head -c 1000000`, "Error response from daemon"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fakeMmdebstrap(t, test.script)
			d := throwAway(t, engine)
			err := build(t.Context(), engine, d, quiet)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
			if found, err := present(t.Context(), engine, d.Local()); found || err != nil {
				t.Errorf("present: %v, %v", found, err)
			}
		})
	}
}

func TestCancelledBuildCleansUp(t *testing.T) {
	engine := realEngine(t)
	dir := fakeMmdebstrap(t, `
		trap 'touch "$DIR/terminated"; exit 1' TERM
		touch "$TMPDIR/left-behind"
		(trap '' TERM; exec sleep 300 >/dev/null 2>&1) &
		echo $! >"$DIR/child"
		echo "$TMPDIR" >"$DIR/tmpdir"
		head -c 700 "$DIR/root.tar"
		echo "I: downloading..." >&2
		while :; do sleep 0.05; done`)
	d := throwAway(t, engine)
	ctx, cancel := context.WithCancel(t.Context())
	var cancelled time.Time
	err := build(ctx, engine, d, func(step string) {
		if step == "downloading..." {
			cancelled = time.Now()
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want %v", err, context.Canceled)
	}
	if took := time.Since(cancelled); took > 5*time.Second {
		t.Errorf("build took %v to end", took)
	}
	if _, err := os.Stat(filepath.Join(dir, "terminated")); err != nil {
		t.Errorf("mmdebstrap could not end by itself: %v", err)
	}
	child, err := os.ReadFile(filepath.Join(dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(10 * time.Second); ; <-poll.C {
		line, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(child)), "cmdline"))
		if err != nil || len(line) == 0 { // gone, or a zombie
			break
		}
		if time.Now().After(end) {
			t.Fatalf("its child is still there: %q", line)
		}
	}
	tmpdir, err := os.ReadFile(filepath.Join(dir, "tmpdir"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(strings.TrimSpace(string(tmpdir))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its temporary directory is still there: %v", err)
	}
	if found, err := present(t.Context(), engine, d.Local()); found || err != nil {
		t.Errorf("present: %v, %v", found, err)
	}
}

func TestInterruptIsNamed(t *testing.T) {
	engine := realEngine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Ensure(ctx, engine, "redis:7", io.Discard)
	if want := "image redis:7: interrupted: context canceled"; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %q", err, want)
	}
}

func TestConcurrentBuildsBuildOnce(t *testing.T) {
	engine := realEngine(t)
	dir := fakeMmdebstrap(t, `echo run >>"$DIR/runs"; cat "$DIR/root.tar"`)
	d := throwAway(t, engine)
	var builds sync.WaitGroup
	for range 3 {
		builds.Go(func() {
			if err := build(t.Context(), engine, d, quiet); err != nil {
				t.Error(err)
			}
		})
	}
	builds.Wait()
	if runs, err := os.ReadFile(filepath.Join(dir, "runs")); string(runs) != "run\n" || err != nil {
		t.Errorf("mmdebstrap ran: %q, %v", runs, err)
	}
}

func TestLockGivesUpWithContext(t *testing.T) {
	held, err := lock(t.Context(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := lock(ctx, func(string) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want %v", err, context.Canceled)
	}
}

// fakeMmdebstrap returns $DIR.
func fakeMmdebstrap(t *testing.T, script string) string {
	dir := t.TempDir()
	var root bytes.Buffer
	archive := tar.NewWriter(&root)
	text := bytes.Repeat([]byte("text\n"), 1000)
	if err := archive.WriteHeader(&tar.Header{Name: "etc/file", Mode: 0o644, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "root.tar"), root.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mmdebstrap"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DIR", dir)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return dir
}

// throwAway returns the definition of an image that is removed with the test.
func throwAway(t *testing.T, engine *client.Client) Definition {
	d := Definition{Image: "throw-away:1", Packages: []string{t.TempDir()}, Command: []string{"some", "command"}}
	t.Cleanup(func() {
		// Most tests want that there is none, and say so themselves.
		engine.ImageRemove(context.WithoutCancel(t.Context()), d.Local(), client.ImageRemoveOptions{})
	})
	return d
}
