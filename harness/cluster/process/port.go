//go:build linux || darwin

package process

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from lowestPort up to the ephemeral range.
const (
	lowestPort   = 10240
	highestPort  = 32768 // exclusive; the beginning of Linux's own ephemeral range
	portAttempts = 1000
)

// reservePort returns a free address on 127.0.0.1, held until the closer is
// closed. The walk begins anywhere, so that harnesses that run side by side
// seldom meet.
func reservePort() (string, io.Closer, error) {
	ports := highestPort - lowestPort
	// A range that leaves no room below is overridden; a held port is then
	// still safe from everything but a client's connection to itself.
	if room := ephemeralPorts() - lowestPort; room >= portAttempts {
		ports = min(ports, room)
	}
	start := rand.IntN(ports)
	var err error
	for i := range min(ports, portAttempts) {
		port := lowestPort + (start+i)%ports
		var held io.Closer
		if held, err = reserve(port); err == nil {
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), held, nil
		}
	}
	return "", nil, fmt.Errorf("no port of %d to %d could be reserved in %d attempts: %w", lowestPort, lowestPort+ports-1, portAttempts, err)
}
