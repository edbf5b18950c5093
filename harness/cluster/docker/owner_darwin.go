package docker

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// startOf returns when a process started, and whether there is such a process.
func startOf(pid int) (start string, running bool) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return "unknown", false
	}
	return fmt.Sprintf("%d.%06d", info.Proc.P_starttime.Sec, info.Proc.P_starttime.Usec), true
}

func pidNamespace() string { return "" }
