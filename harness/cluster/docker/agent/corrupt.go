package agent

import (
	"encoding/binary"
	"math/rand/v2"
)

// Offsets and numbers of RFC 791, 9293 and 768.
const (
	ipHeader, ipLength, ipProtocol, ipAddresses = 20, 2, 9, 12

	tcp, tcpHeader, tcpOffset, tcpChecksum = 6, 20, 12, 16
	udp, udpHeader, udpChecksum            = 17, 8, 6
)

// corrupt returns a copy of an IPv4 packet with one bit flipped: any behind the
// IP header, for which its checksum is then wrong; or if repair, one of the
// payload, with the checksum made right. False means that it has no such bit
// (a bare acknowledgement, another protocol), and stays as it is.
func corrupt(packet []byte, repair bool) ([]byte, bool) {
	if len(packet) < ipHeader {
		return nil, false
	}
	start, end := int(packet[0]&15)*4, int(binary.BigEndian.Uint16(packet[ipLength:]))
	if start < ipHeader || start >= end || end > len(packet) {
		return nil, false
	}
	changed := append([]byte(nil), packet...)
	segment := changed[start:end]
	first, checksum := 0, 0
	if repair {
		switch {
		case changed[ipProtocol] == tcp && len(segment) >= tcpHeader:
			first, checksum = max(tcpHeader, int(segment[tcpOffset]>>4)*4), tcpChecksum
		case changed[ipProtocol] == udp && len(segment) >= udpHeader:
			first, checksum = udpHeader, udpChecksum
		default:
			return nil, false
		}
	}
	if first >= len(segment) {
		return nil, false
	}
	segment[first+rand.IntN(len(segment)-first)] ^= 1 << rand.IntN(8)
	if repair {
		repairChecksum(changed, segment, checksum)
	}
	return changed, true
}

// repairChecksum computes the Internet checksum (RFC 1071) of a TCP or UDP
// segment and its pseudo-header anew. UDP's 0 means that there is none.
func repairChecksum(packet, segment []byte, at int) {
	isUDP := packet[ipProtocol] == udp
	if isUDP && segment[at] == 0 && segment[at+1] == 0 {
		return
	}
	segment[at], segment[at+1] = 0, 0
	sum := uint32(packet[ipProtocol]) + uint32(len(segment))
	sum = addWords(addWords(sum, packet[ipAddresses:ipHeader]), segment)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	repaired := ^uint16(sum)
	if isUDP && repaired == 0 {
		repaired = 0xffff
	}
	binary.BigEndian.PutUint16(segment[at:], repaired)
}

func addWords(sum uint32, bytes []byte) uint32 {
	for i, b := range bytes {
		if i%2 == 0 {
			sum += uint32(b) << 8
		} else {
			sum += uint32(b)
		}
	}
	return sum
}
