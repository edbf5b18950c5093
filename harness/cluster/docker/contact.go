package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/moby/moby/client"
)

// contactTimeout bounds the wait for an engine's first answer.
const contactTimeout = 10 * time.Second

// Contact returns why no Docker engine can be used, in a line: none is there, one
// accepts connections and does not answer for ten seconds, or its socket is for others
// only. It returns early when ctx ends.
func Contact(ctx context.Context) error {
	var why error
	for _, host := range hosts() {
		err := greet(ctx, host)
		if err == nil || ctx.Err() != nil || errors.Is(err, errSilent) {
			return err
		}
		if why == nil || errors.Is(err, fs.ErrPermission) && !errors.Is(why, fs.ErrPermission) {
			why = err
		}
	}
	return why
}

// hosts are where an engine may be, the likeliest first: the one that is named, or
// else the usual sockets, as testcontainers knows them.
func hosts() []string {
	if named := os.Getenv(client.EnvOverrideHost); named != "" {
		return []string{named}
	}
	all := []string{client.DefaultDockerHost}
	home, _ := os.UserHomeDir()
	for _, socket := range []string{
		filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "docker.sock"),
		filepath.Join(home, ".docker/run/docker.sock"),
		filepath.Join(home, ".docker/desktop/docker.sock"),
		filepath.Join("/run/user", strconv.Itoa(os.Getuid()), "docker.sock"),
	} {
		if _, err := os.Stat(socket); err == nil {
			all = append(all, "unix://"+socket)
		}
	}
	return all
}

var errSilent = errors.New("the engine accepts connections and does not answer")

// greet returns nil once the engine there has answered, whatever that was.
func greet(ctx context.Context, host string) error {
	bounded, cancel := context.WithTimeoutCause(ctx, contactTimeout, errSilent)
	defer cancel()
	advice := "start it, or set DOCKER_HOST"
	if os.Getenv(client.EnvOverrideHost) != "" {
		advice = "start it, or change DOCKER_HOST"
	}
	engine, err := client.New(client.FromEnv, client.WithHost(host))
	if err != nil {
		return fmt.Errorf("%s is no Docker engine's address (%s): %w", host, advice, err)
	}
	defer engine.Close()
	if u, err := client.ParseHostURL(host); err == nil && u.Scheme == "unix" {
		conn, err := new(net.Dialer).DialContext(bounded, "unix", u.Host)
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("%w on the socket %s of the Docker engine (add yourself to the group docker: sudo usermod -aG docker $USER, and log in again)", fs.ErrPermission, u.Host)
		}
		if err == nil {
			conn.Close()
		}
	}
	_, err = engine.Ping(bounded, client.PingOptions{})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted while the Docker engine at %s did not answer: %w", host, context.Cause(ctx))
	case bounded.Err() != nil:
		return fmt.Errorf("%w, at %s within %v (restart it, or set DOCKER_HOST)", errSilent, host, contactTimeout)
	case client.IsErrConnectionFailed(err):
		return fmt.Errorf("the Docker engine does not answer at %s (%s): %w", host, advice, err)
	}
	return nil
}
