package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func canIdentify() error { return nil }

// caller returns which of the process groups has the other end of a connection on
// this machine: the kernel tells the socket's inode (sock_diag(7)), and /proc which
// process has that open.
func caller(conn *net.TCPConn, groups []int) (group int, err error) {
	inode, err := inodeOf(conn.RemoteAddr().(*net.TCPAddr).AddrPort(), conn.LocalAddr().(*net.TCPAddr).AddrPort())
	if err != nil {
		return 0, err
	}
	if inode == 0 {
		return 0, errors.New("the caller has gone")
	}
	name := fmt.Sprintf("socket:[%d]", inode)
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, process := range processes {
		pid, err := strconv.Atoi(process.Name())
		if err != nil {
			continue // not a process
		}
		group, err := unix.Getpgid(pid)
		if err == nil && slices.Contains(groups, group) && hasOpen(pid, name) {
			return group, nil
		}
	}
	return 0, errStranger
}

// inodeOf looks up one TCP socket of IPv4. (The library's SocketGet wants the kernel
// to filter a list of all, which not every kernel does.)
func inodeOf(local, remote netip.AddrPort) (uint32, error) {
	// struct inet_diag_req_v2 and struct inet_diag_msg of linux/inet_diag.h
	ask := []byte{unix.AF_INET, unix.IPPROTO_TCP, 0, 0}
	ask = binary.NativeEndian.AppendUint32(ask, math.MaxUint32) // in any state
	ask = binary.BigEndian.AppendUint16(ask, local.Port())
	ask = binary.BigEndian.AppendUint16(ask, remote.Port())
	for _, end := range []netip.AddrPort{local, remote} {
		ask = append(ask, end.Addr().Unmap().AsSlice()...)
		ask = append(ask, make([]byte, 12)...) // of an IPv6 address
	}
	ask = append(ask, make([]byte, 4)...)                     // any interface
	ask = append(ask, 255, 255, 255, 255, 255, 255, 255, 255) // no cookie
	const inode = 4 + 48 + 4*4                                // after the state, the socket's identity, and four other numbers
	request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, 0)
	request.AddRawData(ask)
	answers, err := request.Execute(unix.NETLINK_INET_DIAG, 0)
	if err != nil {
		return 0, err
	}
	if len(answers) != 1 || len(answers[0]) < inode+4 {
		return 0, errors.New("the kernel's answer is too short")
	}
	return binary.NativeEndian.Uint32(answers[0][inode:]), nil
}

// hasOpen reports whether one of a process's descriptors is that file.
func hasOpen(pid int, name string) bool {
	directory := "/proc/" + strconv.Itoa(pid) + "/fd/"
	descriptors, err := os.ReadDir(directory)
	if err != nil {
		return false // it has gone, or is somebody else's
	}
	for _, descriptor := range descriptors {
		if target, err := os.Readlink(directory + descriptor.Name()); err == nil && target == name {
			return true
		}
	}
	return false
}
