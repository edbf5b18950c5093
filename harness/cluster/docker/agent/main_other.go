//go:build !linux

package agent

import "errors"

// Main is the agent's. Here it fails.
func Main([]string) error {
	return errors.New("the agent runs on Linux only, in the containers of the docker world")
}
