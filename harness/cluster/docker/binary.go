package docker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"golang.org/x/sys/unix"
)

// binary is the path of rashomon in its own image, and in the containers of
// targets that need it. It has a directory of its own, which can be a volume.
const binary = "/.rashomon/rashomon"

// command is what is built if the running binary does not do.
var command = "github.com/rashomon-io/rashomon/cmd/rashomon"

const imageLabel = "io.rashomon.binary"

// dockerfile makes the image of holder, agent and built-in nodes.
const dockerfile = `FROM scratch
LABEL ` + imageLabel + `=
COPY rashomon ` + binary + `
ENTRYPOINT ["` + binary + `"]
`

// image returns the name of the engine's image of rashomon, which it builds if
// need be. The image stays, named by its content, for the trials to come. Images
// of binaries that were replaced long ago go, if no container needs them.
func (e *engine) image(ctx context.Context, progress func(string)) (string, error) {
	path, err := executable(ctx, "linux", e.arch, progress)
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256(slices.Concat([]byte(dockerfile), content))
	repository, tag := "rashomon", hex.EncodeToString(hash[:])
	name := repository + ":" + tag
	if _, err := e.api.ImageInspect(ctx, name); !errdefs.IsNotFound(err) {
		return name, err
	}
	sources, err := archive(map[string][]byte{"/Dockerfile": []byte(dockerfile), "/rashomon": content})
	if err != nil {
		return "", err
	}
	_, err = e.tc.BuildImage(ctx, &testcontainers.ContainerRequest{FromDockerfile: testcontainers.FromDockerfile{
		ContextArchive: bytes.NewReader(sources.Bytes()), Repo: repository, Tag: tag, KeepImage: true,
	}})
	if err != nil {
		return "", fmt.Errorf("the engine cannot build the image %s: %w", name, err)
	}
	_, err = e.api.ImagePrune(ctx, client.ImagePruneOptions{
		Filters: labelled(imageLabel).Add("dangling", "false").Add("until", "1h"),
	})
	if err != nil && !errdefs.IsConflict(err) { // a conflict: somebody else prunes
		return "", fmt.Errorf("remove old images of rashomon: %w", err)
	}
	return name, nil
}

// executable returns the path of a rashomon for that platform: of this very
// binary if it serves there, else of one that the Go toolchain builds.
func executable(ctx context.Context, goos, goarch string, progress func(string)) (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	why := runsAs(path, goos, goarch)
	if why == nil {
		return path, nil
	}
	path, err = build(ctx, goos, goarch, progress)
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("interrupted while rashomon was built for containers: %w", context.Cause(ctx))
	case err != nil:
		return "", fmt.Errorf("no rashomon for %s/%s: %w, and it cannot be built instead: %w", goos, goarch, why, err)
	}
	return path, nil
}

// runsAs returns nil if the running executable, which is at path, is one for
// that platform, and on Linux needs nothing but itself.
var runsAs = func(path, goos, goarch string) error {
	if goos != runtime.GOOS || goarch != runtime.GOARCH {
		return fmt.Errorf("this program is for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if goos != "linux" {
		return nil
	}
	file, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return errors.New("this program is linked dynamically (CGO_ENABLED=0 makes it static)")
	}
	return nil
}

// builds are what this process has built, by platform: it does so once.
var builds = struct {
	sync.Mutex
	paths map[string]string
}{paths: map[string]string{}}

// build builds the command for a platform, into the user's cache. The Go
// toolchain does little if the file there is up to date.
func build(ctx context.Context, goos, goarch string, progress func(string)) (string, error) {
	builds.Lock()
	defer builds.Unlock()
	platform := goos + "-" + goarch
	if path := builds.paths[platform]; path != "" {
		return path, nil
	}
	defer telling(progress, "building rashomon for containers, by the Go toolchain")()
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "rashomon")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	from, err := sources(ctx)
	if err != nil {
		return "", err
	}
	// Another checkout of the module may build at the same time.
	which := fnv.New64a()
	fmt.Fprintf(which, "%s %s", command, from)
	path := filepath.Join(dir, fmt.Sprintf("rashomon-%s-%x", platform, which.Sum64()))

	unlock, err := lock(ctx, path+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	// Under the lock, what is there was left by a harness that was killed.
	work := path + ".work"
	if err := errors.Join(os.RemoveAll(work), os.Mkdir(work, 0o755)); err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	// The sources are a module of their own, whatever module or workspace this
	// program is of: what it requires for itself is not what the command needs.
	tool := exec.CommandContext(ctx, "go", "build", "-C", from, "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", path, command)
	tool.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch, "GOWORK=off", "GOTMPDIR="+work)
	// A group of its own, so that compilers and linkers end with it.
	tool.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	tool.Cancel = func() error { return syscall.Kill(-tool.Process.Pid, syscall.SIGKILL) }
	if output, err := tool.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w: %s", command, err, complaint(output))
	}
	builds.paths[platform] = path
	return path, nil
}

// complaint is the first line of a toolchain's output that says what is wrong.
func complaint(output []byte) string {
	for line := range strings.Lines(string(output)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "go: downloading ") {
			return line
		}
	}
	return "it does not say why"
}

// sources returns the root of the sources that this program was built from: a
// checkout, or a directory in the module cache. If the program does not know, the
// toolchain does, in a module that requires them.
func sources(ctx context.Context) (string, error) {
	_, file, _, _ := runtime.Caller(0) // relative if built with -trimpath
	root := filepath.Join(file, "../../../..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil && filepath.IsAbs(root) {
		return root, nil
	}
	return listed(ctx)
}

// listed returns the root of the sources that the working directory's module uses.
func listed(ctx context.Context) (string, error) {
	const module = "github.com/rashomon-io/rashomon"
	output, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	root := string(bytes.TrimSpace(output))
	if err != nil || root == "" {
		return "", fmt.Errorf("the sources of %s are not to be found (run this in a module that requires it, or build this program with CGO_ENABLED=0)", module)
	}
	return root, nil
}

// lockEvery is how often a lock that another process has is tried again.
const lockEvery = 100 * time.Millisecond

// lock waits until no other process has the lock. It goes with the process.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	again := time.NewTicker(lockEvery)
	defer again.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch err {
		case nil:
			return func() { file.Close() }, nil
		case unix.EWOULDBLOCK, unix.EINTR:
		default:
			file.Close()
			return nil, os.NewSyscallError("flock", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			file.Close()
			return nil, ctx.Err()
		}
	}
}
