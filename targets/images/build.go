package images

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/moby/client"
)

const (
	suite = "bookworm" // of Debian: its stable release 12, with updates and security

	tellEvery    = 2 * time.Second
	pollEvery    = 200 * time.Millisecond
	cleanUpGrace = 30 * time.Second // for mmdebstrap to remove its files
)

// arguments returns mmdebstrap's.
func (d Definition) arguments(architecture string) []string {
	// base-files brings /tmp and the like; dash is the shell.
	packages := slices.Concat([]string{"base-files", "dash", "coreutils"}, d.Packages)
	return []string{
		"--variant=extract",
		"--architectures=" + architecture,
		"--include=" + strings.Join(packages, ","),
		suite, "-",
	}
}

// build makes the local equivalent.
func build(ctx context.Context, engine *client.Client, d Definition, say func(string)) error {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return errors.New("mmdebstrap is not installed: apt-get install mmdebstrap")
	}
	ctx, end := context.WithTimeoutCause(ctx, buildDeadline, fmt.Errorf("not done after %v", buildDeadline))
	defer end()

	held, err := lock(ctx, say)
	if err != nil {
		return err
	}
	defer held.Close()
	// Another may have built it while this one waited.
	if found, err := present(ctx, engine, d.Local()); found || err != nil {
		return err
	}

	version, err := engine.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return err
	}
	say("building the local equivalent of Debian's " + strings.Join(d.Packages, ", "))
	start := time.Now()

	// Who fails first ends the other, and has its error returned. The engine must
	// never take a tar that broke off for a whole one, nor mmdebstrap wait for an
	// engine that has given up.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tar, into := io.Pipe()
	var unpackErr error
	var unpacked sync.WaitGroup
	unpacked.Go(func() {
		unpackErr = unpack(ctx, d.arguments(version.Arch), into, say)
		if unpackErr != nil && !errors.Is(unpackErr, io.ErrClosedPipe) { // which the engine did
			cancel(unpackErr)
		}
		into.CloseWithError(unpackErr) // nil is the end of the tar
	})
	loadErr := load(ctx, engine, tar, d)
	if loadErr != nil {
		cancel(loadErr)
	}
	tar.Close()
	unpacked.Wait()
	if err := cmp.Or(context.Cause(ctx), unpackErr); err != nil {
		return err
	}
	say(fmt.Sprintf("built %s in %v", d.Local(), time.Since(start).Round(time.Second)))
	return nil
}

// unpack runs mmdebstrap, which writes a tar of the root file system. The lock
// must be held.
func unpack(ctx context.Context, arguments []string, into io.Writer, say func(string)) error {
	// mmdebstrap removes what it makes, except when a signal meets it early on.
	// What a killed harness left goes with the next build: under the lock, no
	// other directory is in use.
	const pattern = "rashomon-images-*"
	dead, _ := filepath.Glob(filepath.Join(os.TempDir(), pattern))
	for _, dir := range dead {
		os.RemoveAll(dir)
	}
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // mmdebstrap may change to another user
		return err
	}

	console, stdout := console{say: say}, output{into: into}
	mmdebstrap := exec.CommandContext(ctx, "mmdebstrap", arguments...)
	mmdebstrap.Stdout, mmdebstrap.Stderr = &stdout, &console
	mmdebstrap.Env = append(os.Environ(), "TMPDIR="+dir)
	// In a process group of its own, so that a signal reaches apt-get and tar
	// as well. mmdebstrap then ends at once, else after its present step.
	mmdebstrap.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	mmdebstrap.Cancel = func() error { return syscall.Kill(-mmdebstrap.Process.Pid, syscall.SIGTERM) }
	mmdebstrap.WaitDelay = cleanUpGrace

	err = mmdebstrap.Run()
	switch {
	case ctx.Err() != nil:
		syscall.Kill(-mmdebstrap.Process.Pid, syscall.SIGKILL) // what ignores SIGTERM, if anything
		return context.Cause(ctx)
	case stdout.err != nil: // of which mmdebstrap's own follows
		return stdout.err
	case err == nil:
		return nil
	case strings.Contains(console.complaint, "chroot mode"):
		return errors.New("mmdebstrap may not unpack here: run as root once, or apt-get install uidmap")
	case console.complaint != "":
		return fmt.Errorf("mmdebstrap: %s", console.complaint)
	}
	return fmt.Errorf("mmdebstrap: %w", err)
}

// An output keeps the first error of the writer it goes to.
type output struct {
	into io.Writer
	err  error
}

func (o *output) Write(data []byte) (int, error) {
	n, err := o.into.Write(data)
	o.err = cmp.Or(o.err, err)
	return n, err
}

// A console is mmdebstrap's: its steps ("I: extracting archives...") are told, and
// its first complaint ("E: …") is kept, for the later ones follow from it.
type console struct {
	say       func(string)
	complaint string
	line      []byte // without its end so far
}

func (c *console) Write(text []byte) (int, error) {
	c.line = append(c.line, text...)
	for {
		line, rest, whole := bytes.Cut(c.line, []byte{'\n'})
		if !whole {
			break
		}
		c.line = rest
		kind, message, _ := strings.Cut(string(line), ": ")
		switch {
		case kind == "I" && strings.HasSuffix(message, "..."):
			c.say(message)
		case kind == "E" && c.complaint == "":
			c.complaint = message
		}
	}
	if len(c.line) > 64<<10 { // not a line that anybody reads
		c.line = nil
	}
	return len(text), nil
}

// load imports a root file system as the local equivalent.
func load(ctx context.Context, engine *client.Client, tar io.Reader, d Definition) error {
	response, err := engine.ImageImport(ctx,
		client.ImageImportSource{Source: tar, SourceName: "-"}, d.Local(),
		client.ImageImportOptions{Changes: d.changes(), Message: "local equivalent of " + d.Image})
	if err != nil {
		return err
	}
	defer response.Close()
	for decoder := json.NewDecoder(response); ; {
		var message struct{ Error string }
		switch err := decoder.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case message.Error != "":
			return fmt.Errorf("docker import: %s", message.Error)
		}
	}
}

// lock holds the machine's one build, for "go test ./..." runs many processes
// that want the same image. The lock is an address in Linux's abstract socket
// name space: it vanishes with its process, and leaves no file.
func lock(ctx context.Context, say func(string)) (io.Closer, error) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for told := false; ; told = true {
		held, err := net.Listen("unix", "@io.rashomon.images")
		if !errors.Is(err, syscall.EADDRINUSE) {
			return held, err
		}
		if !told {
			say("waiting for another build of images")
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
