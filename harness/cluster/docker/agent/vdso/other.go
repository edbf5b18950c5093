//go:build !(linux && amd64)

package vdso

import (
	"errors"
	"runtime"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// Clocks cannot be set here.
type Clocks struct{}

// New returns Clocks that cannot be set.
func New() *Clocks { return &Clocks{} }

// Set fails.
func (*Clocks) Set(clock cluster.Clock) error {
	if clock == (cluster.Clock{}) {
		return nil
	}
	return errors.New(Lacks())
}

// Undo has nothing to do.
func (*Clocks) Undo() error { return nil }

// Close has nothing to do.
func (*Clocks) Close() error { return nil }

// Gate fails.
func Gate([]string) error { return errors.New(Lacks()) }

// Lacks returns why clock faults are impossible here.
func Lacks() string {
	return "clock faults need linux/amd64, this is " + runtime.GOOS + "/" + runtime.GOARCH
}
