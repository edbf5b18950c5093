package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// engineTimeout bounds one piece of work of the engine, such as starting a
// container.
const engineTimeout = 30 * time.Second

// tellEvery is how often progress is told.
const tellEvery = 2 * time.Second

// An engine is a connection to a Docker engine that runs Linux containers.
type engine struct {
	tc   *testcontainers.DockerProvider
	api  client.APIClient
	arch string // as GOARCH names it
	// Ports are published on bind, and reached at host.
	bind netip.Addr
	host string
}

// connecting guards what testcontainers keeps in global variables.
var connecting sync.Mutex

// connect connects to the engine that testcontainers finds: the one of
// DOCKER_HOST, or of the default socket.
func connect(ctx context.Context) (*engine, error) {
	// testcontainers would wait for ever, and may know other places.
	unreachable := Contact(ctx)
	if ctx.Err() != nil || errors.Is(unreachable, errSilent) {
		return nil, unreachable
	}
	provider, err := newProvider()
	if err != nil {
		return nil, cmp.Or(unreachable, fmt.Errorf("no Docker engine is to be found (start one, or set DOCKER_HOST): %w", err))
	}
	e := &engine{tc: provider, api: provider.Client()}
	// testcontainers falls back on another engine. Nobody who names one wants that.
	if named := os.Getenv(client.EnvOverrideHost); named != "" && named != e.api.DaemonHost() {
		e.close()
		return nil, cmp.Or(unreachable, fmt.Errorf("the Docker engine does not answer at %s (start it, or change DOCKER_HOST)", named))
	}
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	version, err := e.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		e.close()
		return nil, fmt.Errorf("the Docker engine does not answer at %s (start it, or set DOCKER_HOST): %w", e.api.DaemonHost(), err)
	}
	if version.Os != "linux" {
		e.close()
		return nil, fmt.Errorf("the Docker engine at %s runs %s containers; switch it to Linux containers", e.api.DaemonHost(), version.Os)
	}
	e.arch = version.Arch
	e.bind, e.host = reach(e.api.DaemonHost())
	return e, nil
}

func newProvider() (*testcontainers.DockerProvider, error) {
	connecting.Lock()
	defer connecting.Unlock()
	// Its reaper is an image to be pulled, and cleans up only what is its own:
	// see session.go for ours.
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		return nil, err
	}
	// The first connection greets the user at length.
	greeter := log.Default()
	log.SetDefault(log.NewNoopLogger())
	defer log.SetDefault(greeter)
	return testcontainers.NewDockerProvider(
		testcontainers.WithLogger(log.NewNoopLogger()),
		// Unless told that there is one, it puts all containers of all trials
		// into a network that it makes.
		testcontainers.WithDefaultBridgeNetwork(testcontainers.Bridge),
	)
}

// reach returns where an engine must publish ports, and where this machine
// finds them. Loopback is the engine's own, so with one that is reached over a
// network it must be all interfaces.
func reach(daemon string) (bind netip.Addr, host string) {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if u, err := url.Parse(daemon); err == nil && u.Scheme == "tcp" {
		address, err := netip.ParseAddr(u.Hostname())
		if u.Hostname() != "localhost" && (err != nil || !address.IsLoopback()) {
			return netip.IPv4Unspecified(), u.Hostname()
		}
	}
	return loopback, loopback.String()
}

// address is where this machine reaches a published port.
func (e *engine) address(port string) string { return net.JoinHostPort(e.host, port) }

func (e *engine) close() { e.api.Close() }

// imageOf returns a container's image, which the engine has from then on. One that
// it has is preferred to a pull.
func (e *engine) imageOf(ctx context.Context, container cluster.Container, progress func(string)) (string, error) {
	for _, image := range []string{container.Image, container.Equivalent} {
		if image == "" {
			continue
		}
		if _, err := e.api.ImageInspect(ctx, image); !errdefs.IsNotFound(err) {
			return image, err
		}
	}
	defer telling(progress, "pulling the image "+container.Image)()
	return container.Image, e.pull(ctx, container.Image)
}

// telling tells every few seconds what is being done, until the returned function
// is called.
func telling(progress func(string), step string) (done func()) {
	if progress == nil {
		return func() {}
	}
	began := time.Now()
	ended := make(chan struct{})
	var teller sync.WaitGroup
	teller.Go(func() {
		again := time.NewTicker(tellEvery)
		defer again.Stop()
		for {
			select {
			case <-ended:
				return
			case <-again.C:
				progress(fmt.Sprintf("%s: %.0f s so far …", step, time.Since(began).Seconds()))
			}
		}
	})
	return func() {
		close(ended)
		teller.Wait()
	}
}

func (e *engine) pull(ctx context.Context, image string) error {
	options := client.ImagePullOptions{}
	// Without credentials, an image may be public.
	if _, credentials, err := testcontainers.DockerImageAuth(ctx, image); err == nil {
		if options.RegistryAuth, err = authconfig.Encode(credentials); err != nil {
			return err
		}
	}
	// testcontainers' own pull tries again for many minutes.
	progress, err := e.api.ImagePull(ctx, image, options)
	if err == nil {
		err = errors.Join(progress.Wait(ctx), progress.Close())
	}
	if err != nil {
		return fmt.Errorf("image %s is not here and cannot be pulled (`rashomon images` builds local equivalents of the images that targets use): %w", image, err)
	}
	return nil
}
