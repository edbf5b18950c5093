package process

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A socket is a row of /proc/net/tcp or tcp6 (proc(5)).
type socket struct {
	local, remote string // such as "0100007F:1F90", of IPv4
	listens       bool
	inode         string
}

// bypass returns a TCP connection on this machine's own address whose ends are of
// different nodes, by the process groups; nil if there is none. What cannot be read is
// taken for no connection.
func bypass(groups map[int]cluster.Node) *cluster.Bypass {
	owners := owners(groups)
	listening := map[string]bool{} // ports
	ends := map[string]socket{}    // by both addresses
	for _, s := range append(sockets("/proc/net/tcp"), sockets("/proc/net/tcp6")...) {
		if s.listens {
			listening[portOf(s.local)] = true
		} else if _, ours := owners[s.inode]; ours {
			ends[s.local+" "+s.remote] = s
		}
	}
	for _, s := range ends {
		other, ours := ends[s.remote+" "+s.local]
		from, to := owners[s.inode], owners[other.inode]
		if !ours || from == to || !listening[portOf(s.remote)] {
			continue
		}
		if port, err := strconv.ParseUint(portOf(s.remote), 16, 16); err == nil {
			return &cluster.Bypass{Link: cluster.Link{From: from, To: to}, Address: fmt.Sprintf("127.0.0.1:%d", port)}
		}
	}
	return nil
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// sockets returns those of a table that listen, or are connected.
func sockets(table string) (all []socket) {
	file, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer file.Close()
	const local, remote, state, inode = 1, 2, 3, 9
	const established, listen = "01", "0A"
	v4 := func(address string) string { // an IPv6 address may hold an IPv4 one at its end
		return address[max(0, strings.LastIndexByte(address, ':')-8):]
	}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > inode && (fields[state] == established || fields[state] == listen) {
			all = append(all, socket{v4(fields[local]), v4(fields[remote]), fields[state] == listen, fields[inode]})
		}
	}
	return all
}

// owners returns which node has a socket open, by its inode.
func owners(groups map[int]cluster.Node) map[string]cluster.Node {
	owners := map[string]cluster.Node{}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, process := range processes {
		pid, err := strconv.Atoi(process.Name())
		if err != nil {
			continue // not a process
		}
		group, err := unix.Getpgid(pid)
		node, ours := groups[group]
		if err != nil || !ours {
			continue
		}
		directory := "/proc/" + process.Name() + "/fd/"
		descriptors, err := os.ReadDir(directory)
		if err != nil {
			continue // it has gone
		}
		for _, descriptor := range descriptors {
			target, err := os.Readlink(directory + descriptor.Name())
			if inode, is := strings.CutPrefix(target, "socket:["); err == nil && is {
				owners[strings.TrimSuffix(inode, "]")] = node
			}
		}
	}
	return owners
}
