package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// A session is all that one cluster has in an engine: everything is labelled
// with it, and with the process that owns it.
type session string

const (
	sessionLabel = "io.rashomon.session"
	ownerLabel   = "io.rashomon.owner"
)

func newSession() session { return session(strings.ToLower(rand.Text()[:12])) }

func (s session) labels() map[string]string {
	return map[string]string{sessionLabel: string(s), ownerLabel: thisProcess().String()}
}

// name is that of one of the session's containers, networks or volumes.
func (s session) name(what string) string { return "rashomon-" + string(s) + "-" + what }

// remove removes everything of a session. It returns when there is nothing, and
// has been nothing until the moment given: an engine may be about to make
// something for a harness that has been killed meanwhile. If ctx ends before,
// the error says what is left.
func (e *engine) remove(ctx context.Context, s session, until time.Time) error {
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		left, err := e.removeOnce(ctx, s)
		if left == 0 && err == nil && !time.Now().Before(until) {
			return nil
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return fmt.Errorf("containers, networks or volumes are left, see `docker ps -a --filter label=%s=%s`: %w",
				sessionLabel, s, errors.Join(err, ctx.Err()))
		}
	}
}

// removeOnce returns how much there was to remove. A network or volume is in
// use as long as its containers are there; those go first.
func (e *engine) removeOnce(ctx context.Context, s session) (found int, err error) {
	mine := labelled(sessionLabel + "=" + string(s))
	containers, err1 := e.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: mine})
	networks, err2 := e.api.NetworkList(ctx, client.NetworkListOptions{Filters: mine})
	volumes, err3 := e.api.VolumeList(ctx, client.VolumeListOptions{Filters: mine})
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, err
	}
	var first, then []func() error
	for _, c := range containers.Items {
		first = append(first, func() error {
			_, err := e.api.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			return unlessGone(err)
		})
	}
	for _, n := range networks.Items {
		then = append(then, func() error {
			_, err := e.api.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
			return unlessGone(err)
		})
	}
	for _, v := range volumes.Items {
		then = append(then, func() error {
			_, err := e.api.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{})
			return unlessGone(err)
		})
	}
	err = errors.Join(together(first...), together(then...))
	return len(first) + len(then), err
}

// sweep removes the sessions whose owner was on this machine and is gone. It
// leaves alone what it cannot tell.
func (e *engine) sweep(ctx context.Context) error {
	owned := labelled(ownerLabel)
	containers, err1 := e.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: owned})
	networks, err2 := e.api.NetworkList(ctx, client.NetworkListOptions{Filters: owned})
	volumes, err3 := e.api.VolumeList(ctx, client.VolumeListOptions{Filters: owned})
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	dead := map[session]bool{}
	look := func(labels map[string]string) {
		if owner, ok := parseOwner(labels[ownerLabel]); ok && owner.isGone() {
			dead[session(labels[sessionLabel])] = true
		}
	}
	for _, c := range containers.Items {
		look(c.Labels)
	}
	for _, n := range networks.Items {
		look(n.Labels)
	}
	for _, v := range volumes.Items {
		look(v.Labels)
	}
	var removals []func() error
	for s := range dead {
		removals = append(removals, func() error { return e.remove(ctx, s, time.Time{}) })
	}
	return together(removals...)
}

func labelled(label string) client.Filters { return make(client.Filters).Add("label", label) }

// together runs the tasks at the same time and joins their errors.
func together(tasks ...func() error) error {
	errs := make([]error, len(tasks))
	var running sync.WaitGroup
	for i, task := range tasks {
		running.Go(func() { errs[i] = task() })
	}
	running.Wait()
	return errors.Join(errs...)
}

// unlessGone is the error of a removal, unless somebody else has removed the same
// thing at the same time.
func unlessGone(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
