package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/docker/agent"
)

const (
	// port is what every node serves, at an address of its own; further ports
	// follow it.
	port = 7000
	// data is where a node's own volume is mounted.
	data = "/data"
)

// exposed is what a container's configuration calls a port.
func exposed(port int) network.Port { return network.MustParsePort(strconv.Itoa(port) + "/tcp") }

// capabilities are all that an agent needs for the faults.
func capabilities(faults []cluster.Fault) []string {
	needs := map[cluster.Fault][]string{
		cluster.CutFault:   {"NET_ADMIN"},
		cluster.DelayFault: {"NET_ADMIN"},
		cluster.RateFault:  {"NET_ADMIN"},
		cluster.LossFault:  {"NET_ADMIN"},
		// To write a process's memory, also another user's.
		cluster.ClockFault: {"SYS_PTRACE", "DAC_OVERRIDE"},
		// To signal another user's process.
		cluster.SignalFault: {"KILL"},
	}
	granted := map[string]bool{}
	for _, fault := range faults {
		for _, capability := range needs[fault] {
			granted[capability] = true
		}
	}
	return slices.Sorted(maps.Keys(granted))
}

// create creates a container of the session, which starts later.
func (c *containers) create(ctx context.Context, name string, request testcontainers.ContainerRequest) (id string, err error) {
	request.Name, request.Labels = c.session.name(name), c.session.labels()
	created, err := c.engine.tc.CreateContainer(ctx, request)
	if err != nil {
		return "", fmt.Errorf("create container %s: %w", request.Name, err)
	}
	return created.GetContainerID(), nil
}

// createHolder creates and starts the holder, learns the node's addresses, and
// gives it an agent if there are faults.
func (n *node) createHolder(ctx context.Context) error {
	if err := os.MkdirAll(n.logs, 0o777); err != nil {
		return err
	}
	var ports []string
	bindings := network.PortMap{}
	for i := range 1 + len(n.spec.Ports) {
		ports = append(ports, exposed(port+i).String())
		bindings[exposed(port+i)] = []network.PortBinding{{HostIP: n.engine.bind}}
	}
	var err error
	n.holder, err = n.create(ctx, n.name+"-holder", testcontainers.ContainerRequest{
		Image:          n.image,
		Cmd:            []string{"holder"},
		ExposedPorts:   ports,
		Networks:       []string{n.network},
		NetworkAliases: map[string][]string{n.network: {n.name}},
		ConfigModifier: func(config *container.Config) { config.Hostname = n.name },
		HostConfigModifier: func(host *container.HostConfig) {
			host.NetworkMode = container.NetworkMode(n.network)
			host.PortBindings = bindings
			host.CapDrop = []string{"ALL"}
		},
	})
	if err != nil {
		return err
	}
	if n.holderLog, err = openLog(n.logs, "holder.log", n.name, "holder"); err != nil {
		return err
	}
	if n.holderEnds, err = n.engine.attach(ctx, n.holder, false, n.holderLog, n.holderLog); err != nil {
		return err
	}
	if _, err := n.engine.api.ContainerStart(ctx, n.holder, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("start the holder: %w", err)
	}
	inspected, err := n.engine.api.ContainerInspect(ctx, n.holder, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	settings := inspected.Container.NetworkSettings
	if settings == nil || settings.Networks[n.network] == nil || slices.ContainsFunc(slices.Collect(maps.Keys(bindings)), func(p network.Port) bool { return len(settings.Ports[p]) == 0 }) {
		return fmt.Errorf("the holder has no address or published port; see %s", n.holderLog.Name())
	}
	if len(settings.Networks) > 1 {
		return fmt.Errorf("the holder is in networks %q, and nodes that can meet in two are never cut off", slices.Sorted(maps.Keys(settings.Networks)))
	}
	n.ip = settings.Networks[n.network].IPAddress
	for i := range len(bindings) {
		n.addresses = append(n.addresses, n.engine.address(settings.Ports[exposed(port+i)][0].HostPort))
	}
	if len(n.spec.Faults) == 0 {
		return nil
	}
	return n.createAgent(ctx)
}

// join puts a container into the holder's namespaces.
func (n *node) join(host *container.HostConfig) {
	host.NetworkMode = container.NetworkMode("container:" + n.holder)
	host.PidMode = container.PidMode("container:" + n.holder)
}

// createAgent creates and starts the agent, and asks what it can do.
func (n *node) createAgent(ctx context.Context) error {
	id, err := n.create(ctx, n.name+"-agent", testcontainers.ContainerRequest{
		Image: n.image,
		Cmd:   []string{"agent"},
		ConfigModifier: func(config *container.Config) {
			// Its input ends when we detach, for whatever reason.
			config.OpenStdin, config.StdinOnce, config.AttachStdin = true, true, true
		},
		HostConfigModifier: func(host *container.HostConfig) {
			n.join(host)
			host.CapDrop = []string{"ALL"}
			host.CapAdd = capabilities(n.spec.Faults)
		},
	})
	if err != nil {
		return err
	}
	if n.agentLog, err = openLog(n.logs, "agent.log", n.name, "agent"); err != nil {
		return err
	}
	conn, err := n.engine.talkTo(ctx, id, n.agentLog)
	if err != nil {
		n.agentLog.Close()
		return err
	}
	n.agent = agent.NewClient(conn)
	if _, err := n.engine.api.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	n.hello, err = n.ask(ctx, agent.Request{Hello: &agent.HelloRequest{}})
	return err
}

// createTarget creates the target, which start starts.
func (n *node) createTarget(ctx context.Context, program cluster.Program) error {
	if program.Container.Image == "" && program.Path != "" {
		return fmt.Errorf("%s is a program of this machine, which no container has; name an image that has it", program.Path)
	}
	image := n.image
	if program.Container.Image != "" {
		var err error
		if image, err = n.engine.imageOf(ctx, program.Container, nil); err != nil {
			return err
		}
	}
	command := program.Args
	var entrypoint []string // nil means the image's
	if program.Path != "" {
		entrypoint = []string{program.Path}
	}
	if n.gated {
		whole, err := n.engine.commandLine(ctx, image, entrypoint, command)
		if err != nil {
			return err
		}
		entrypoint, command = []string{binary, "gate", "--"}, whole
	}
	id, err := n.create(ctx, n.name, testcontainers.ContainerRequest{
		Image:      image,
		Entrypoint: entrypoint,
		Cmd:        command,
		ConfigModifier: func(config *container.Config) {
			config.Env = program.Env
			config.OpenStdin = true // and nobody ever writes there
			if program.Container.Image == "" {
				config.WorkingDir = data
			}
		},
		HostConfigModifier: func(host *container.HostConfig) {
			n.join(host)
			host.Mounts = []mount.Mount{n.volume(n.name+"-data", data)}
			if n.gated && program.Container.Image != "" {
				host.Mounts = append(host.Mounts, n.gateMount(true))
			}
		},
	})
	if err != nil {
		return err
	}
	n.target, n.program = id, program
	if program.Container.Image == "" {
		return nil
	}
	// Any user can write to the volume, whoever the image's is.
	return n.write(ctx, map[string][]byte{data + "/": nil})
}

// write writes files into the container, by name: an absolute one, or one within
// the data directory.
func (n *node) write(ctx context.Context, files map[string][]byte) error {
	if len(files) == 0 {
		return nil
	}
	content, err := archive(files)
	if err != nil {
		return err
	}
	_, err = n.engine.api.CopyToContainer(ctx, n.target, client.CopyToContainerOptions{DestinationPath: "/", Content: content})
	if err != nil {
		return fmt.Errorf("put files into the container: %w", err)
	}
	return nil
}

// volume mounts a volume of the session, which it makes.
func (c *containers) volume(name, target string) mount.Mount {
	return mount.Mount{
		Type: mount.TypeVolume, Source: c.session.name(name), Target: target,
		VolumeOptions: &mount.VolumeOptions{Labels: c.session.labels()},
	}
}

// gateMount mounts the volume that holds the gate.
func (c *containers) gateMount(readOnly bool) mount.Mount {
	gate := c.volume("gate", path.Dir(binary))
	gate.ReadOnly = readOnly
	return gate
}

// fillGate makes the volume of the gate. An empty volume is filled from the
// image when a container that mounts it is created; this one never starts.
func (c *containers) fillGate(ctx context.Context) error {
	_, err := c.create(ctx, "gate", testcontainers.ContainerRequest{
		Image:              c.image,
		HostConfigModifier: func(host *container.HostConfig) { host.Mounts = []mount.Mount{c.gateMount(false)} },
	})
	return err
}

// commandLine is what an image runs, given an entrypoint or nil, and a command or
// none.
func (e *engine) commandLine(ctx context.Context, image string, entrypoint, command []string) ([]string, error) {
	inspected, err := e.api.ImageInspect(ctx, image)
	if err != nil {
		return nil, err
	}
	if config := inspected.Config; config != nil && entrypoint == nil {
		entrypoint = config.Entrypoint
		if len(command) == 0 {
			command = config.Cmd
		}
	}
	command = slices.Concat(entrypoint, command)
	if len(command) == 0 {
		return nil, fmt.Errorf("image %s has no command of its own, and none is given", image)
	}
	return command, nil
}

// archive is a tar of files, by name, from the root; relative names are of the data
// directory. A name that ends in a slash is a directory's.
func archive(files map[string][]byte) (*bytes.Buffer, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		within := name[1:]
		if !path.IsAbs(name) {
			within = path.Join(data[1:], name)
		}
		header := &tar.Header{Name: within, Mode: 0o755, Size: int64(len(files[name]))}
		if strings.HasSuffix(name, "/") {
			header.Typeflag, header.Mode = tar.TypeDir, 0o777
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(files[name]); err != nil {
			return nil, err
		}
	}
	return &buffer, writer.Close()
}
