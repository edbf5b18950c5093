package agent

import (
	"encoding/hex"
	"math/bits"
	"testing"
)

// A UDP datagram and a TCP segment with right checksums.
var packets = map[string]string{
	"udp": "4500002100004000401126c90a6300020a6300010400005000" + "0d" + "0000" + "68656c6c6f",
	"tcp": "4500002d00004000400626c80a6300020a63000104000050000000010000000250180200" + "0000" + "0000" + "68656c6c6f",
}

func packetOf(t testing.TB, protocol string) []byte {
	t.Helper()
	packet, err := hex.DecodeString(packets[protocol])
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{"udp": udpChecksum, "tcp": tcpChecksum}[protocol]
	if protocol == "udp" {
		packet[ipHeader+at] = 1 // 0 would mean none
	}
	repairChecksum(packet, packet[ipHeader:], at)
	return packet
}

// right reports whether the kernel would take the packet: by RFC 1071, the sum
// over everything is then all ones.
func right(packet []byte) bool {
	sum := uint32(packet[ipProtocol]) + uint32(len(packet)-ipHeader)
	sum = addWords(addWords(sum, packet[ipAddresses:ipHeader]), packet[ipHeader:])
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum == 0xffff
}

func TestCorrupt(t *testing.T) {
	for protocol, payload := range map[string]int{"udp": ipHeader + udpHeader, "tcp": ipHeader + tcpHeader} {
		packet := packetOf(t, protocol)
		if !right(packet) {
			t.Fatalf("%s: the test's own packet has a wrong checksum", protocol)
		}
		for range 1000 {
			changed, ok := corrupt(packet, false)
			if flipped := differing(packet, changed); !ok || flipped != 1 || right(changed) {
				t.Fatalf("%s: %d bits differ, checksum right: %v; want one, wrong", protocol, flipped, right(changed))
			}
			changed, ok = corrupt(packet, true)
			if flipped := differing(packet[payload:], changed[payload:]); !ok || flipped != 1 || !right(changed) {
				t.Fatalf("%s: %d bits of payload differ, checksum right: %v; want one, right", protocol, flipped, right(changed))
			}
		}
	}
	bare := packetOf(t, "tcp")[:ipHeader+tcpHeader]
	bare[ipLength+1] = byte(len(bare))
	if _, ok := corrupt(bare, true); ok {
		t.Error("a segment without payload was corrupted and repaired")
	}
}

func differing(a, b []byte) int {
	count := 0
	for i := range a {
		count += bits.OnesCount8(a[i] ^ b[i])
	}
	return count
}

func FuzzCorrupt(f *testing.F) {
	for protocol := range packets {
		f.Add(packetOf(f, protocol), true)
		f.Add(packetOf(f, protocol), false)
	}
	f.Fuzz(func(t *testing.T, packet []byte, repair bool) {
		before := string(packet)
		changed, ok := corrupt(packet, repair)
		if string(packet) != before {
			t.Error("the packet itself was changed")
		}
		if ok && len(changed) != len(packet) {
			t.Errorf("%d bytes became %d", len(packet), len(changed))
		}
	})
}
