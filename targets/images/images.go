// Package images finds container images of real systems, also where no registry
// can be reached: on a plane, behind a firewall, in a sandboxed CI machine.
//
// An image is known by its official reference, such as "redis:7". Who can pull it
// gets it. Who cannot gets a local equivalent with the same programs in PATH, made
// of Debian's packages.
//
// # How an equivalent is made
//
// One run of mmdebstrap downloads the packages with their dependencies, and
// unpacks them; its tar stream goes straight into the engine's import. There is
// no base image, no build container and no file in between.
//
// The packages are unpacked, not installed (mmdebstrap's variant "extract"). No
// maintainer script runs, neither as root on the user's machine nor in a chroot,
// and that takes a third of the processor time: for Redis 8 s instead of 25 s, at
// the same size. An alternative, one base and a "docker build" with apt-get per
// image, shares 100 MB on disk, and pays with all these scripts and with a network
// in the build container.
//
// What the scripts would have made is missing: user names (processes run as root),
// the symbolic links of update-alternatives, /etc/ssl/certs, a package manager's
// state. Tests run every equivalent to show that it does without. Versions are
// Debian's, and may be older than the official image's: etcd is 3.4.
package images

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A Definition says what stands in for an official image.
type Definition struct {
	// Image is the official reference.
	Image string
	// Packages are Debian's. Their dependencies, a shell and coreutils come
	// with them.
	Packages []string
	// Command is the default command; empty if the image has none.
	Command []string

	instructions []string // of a Dockerfile, which complete the image's configuration
}

// List returns all definitions, those of images that Ensure can build.
func List() []Definition {
	return []Definition{
		{
			Image:    "redis:7",
			Packages: []string{"redis-server", "redis-sentinel", "redis-tools"},
			// As in the official image, who reaches the port may use it.
			Command:      []string{"redis-server", "--protected-mode", "no"},
			instructions: []string{"WORKDIR /data", "EXPOSE 6379"},
		},
		{
			Image:        "quay.io/coreos/etcd:v3.5.21",
			Packages:     []string{"etcd-server", "etcd-client"},
			Command:      []string{"etcd"},
			instructions: []string{"EXPOSE 2379", "EXPOSE 2380"},
		},
		{
			Image:    "eclipse-temurin:17-jre",
			Packages: []string{"openjdk-17-jre-headless", "default-jre-headless"},
			// default-java is default-jre-headless's symbolic link to the runtime
			// of whatever architecture.
			instructions: []string{
				"ENV JAVA_HOME=/usr/lib/jvm/default-java",
				"ENV PATH=/usr/lib/jvm/default-java/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			},
		},
		{
			// The command is the caller's: Debian has no program that starts it.
			Image:    "zookeeper:3.8",
			Packages: []string{"libzookeeper-java", "liblog4j1.2-java", "openjdk-17-jre-headless", "default-jre-headless"},
			instructions: []string{
				"ENV PATH=/usr/lib/jvm/default-java/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				"EXPOSE 2181", "EXPOSE 2888", "EXPOSE 3888",
			},
		},
	}
}

// Local returns the reference of the local equivalent. It changes when anything
// that the image is made of does, so an outdated one is never used.
func (d Definition) Local() string {
	recipe := fmt.Sprintf("%q", slices.Concat(d.arguments(""), d.changes()))
	name, _, _ := strings.Cut(path.Base(d.Image), ":")
	return fmt.Sprintf("rashomon/%s:local-%.4x", name, sha256.Sum256([]byte(recipe)))
}

// Equivalent returns the reference of an official image's local equivalent, or
// nothing if none is known. That it has been built is not said.
func Equivalent(image string) string {
	for _, d := range List() {
		if d.Image == image {
			return d.Local()
		}
	}
	return ""
}

// Container runs the image that a user chose, and nothing else; or else the usual
// image, its equivalent or, in a world without images, a program of that name.
func Container(usual, chosen string) cluster.Container {
	if chosen != "" {
		return cluster.Container{Image: chosen, Only: true}
	}
	return cluster.Container{Image: usual, Equivalent: Equivalent(usual)}
}

// changes returns the image's configuration as Dockerfile instructions.
func (d Definition) changes() []string {
	changes := slices.Concat([]string{"LABEL io.rashomon.image=1"}, d.instructions)
	if len(d.Command) > 0 {
		command, _ := json.Marshal(d.Command) // strings always marshal
		changes = append(changes, "CMD "+string(command))
	}
	return changes
}

// Bounds of what may take long.
const (
	pullPatience  = 20 * time.Second // without any progress of a pull
	buildDeadline = 10 * time.Minute // of a build, and of waiting for another process's
)

// refusals remembers for the life of the process why an image could not be
// pulled, so that only the first Ensure waits for a registry that does not answer.
var refusals sync.Map // of references to errors

// Ensure returns the reference of an image that is present in the engine and
// does what the image of that name does: the image itself if it is present,
// else its local equivalent if that is, else the image if it can be pulled,
// else its local equivalent, built now. An equivalent is preferred to a pull so
// that later processes do not wait for the registry again; "docker pull" ends
// its use.
//
// Pulls are anonymous. Steps are told to progress, a line each. Ensure may be
// called concurrently; concurrent builds, of other processes too, wait for each
// other. When ctx ends, an unfinished build leaves nothing behind. An error is
// one line, with what was tried and what to do.
func Ensure(ctx context.Context, engine *client.Client, name string, progress io.Writer) (string, error) {
	image, err := ensure(ctx, engine, name, func(step string) { fmt.Fprintf(progress, "image %s: %s\n", name, step) })
	if err != nil && ctx.Err() != nil { // not what happened to break off
		return "", fmt.Errorf("image %s: interrupted: %w", name, ctx.Err())
	}
	if err != nil {
		return "", fmt.Errorf("image %s: %w", name, err)
	}
	return image, nil
}

func ensure(ctx context.Context, engine *client.Client, name string, say func(string)) (string, error) {
	if found, err := present(ctx, engine, name); found || err != nil {
		return name, err
	}
	definitions := List()
	which := slices.IndexFunc(definitions, func(d Definition) bool { return d.Image == name })
	if which >= 0 {
		local := definitions[which].Local()
		if found, err := present(ctx, engine, local); found || err != nil {
			say("its local equivalent " + local + " is used")
			return local, err
		}
	}

	refusal := refused(ctx, engine, name, say)
	if refusal == nil || ctx.Err() != nil {
		return name, refusal
	}

	if which < 0 {
		return "", fmt.Errorf("not pulled (%w), and no local equivalent is known; bring it here with docker save and docker load", refusal)
	}
	if err := build(ctx, engine, definitions[which], say); err != nil {
		return "", fmt.Errorf("neither pulled (%w) nor built (%w)", refusal, err)
	}
	return definitions[which].Local(), nil
}

// refused returns nil if the image could be pulled.
func refused(ctx context.Context, engine *client.Client, name string, say func(string)) error {
	if err, known := refusals.Load(name); known {
		return err.(error)
	}
	err := pull(ctx, engine, name, pullPatience, say)
	if err != nil && ctx.Err() == nil {
		refusals.Store(name, err)
	}
	return err
}

func present(ctx context.Context, engine *client.Client, name string) (bool, error) {
	_, err := engine.ImageInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// pull pulls an image that shows some progress at least once per patience.
func pull(ctx context.Context, engine *client.Client, name string, patience time.Duration, say func(string)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(patience, func() { cancel(fmt.Errorf("no progress for %v", patience)) })
	defer stall.Stop()

	say("pulling")
	response, err := engine.ImagePull(ctx, name, client.ImagePullOptions{})
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	layers := map[string]int64{} // bytes downloaded
	told := time.Now()
	for message, err := range response.JSONMessages(ctx) {
		if err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		if message.Error != nil {
			return message.Error
		}
		stall.Reset(patience)
		if message.Status == "Downloading" && message.Progress != nil {
			layers[message.ID] = message.Progress.Current
		}
		if time.Since(told) >= tellEvery {
			told = time.Now()
			var bytes int64
			for _, layer := range layers {
				bytes += layer
			}
			say(fmt.Sprintf("pulling, %d MB so far", bytes/1e6))
		}
	}
	return nil
}
