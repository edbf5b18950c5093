package docker

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// startOf returns when a process started, in clock ticks since boot, and
// whether there is such a process. A zombie has ended.
func startOf(pid int) (start string, running bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// "pid (name) state …", where the name may hold anything (proc(5)).
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if err != nil || len(fields) < 20 {
		return "unknown", !errors.Is(err, fs.ErrNotExist)
	}
	return fields[19], fields[0] != "Z"
}

func pidNamespace() string {
	namespace, _ := os.Readlink("/proc/self/ns/pid")
	return namespace
}
