package agent

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// A datagram is one that arrived.
type datagram struct {
	source, number int
	after          time.Duration // since it was sent
	at             time.Time
	content        []byte // what is in no other field: zeroes were sent
	broken         bool   // source or number are not what was sent
	size           int    // of the IP packet
}

// header is the number of bytes that a datagram's fields take: source, number,
// time, and the first two again, to tell whether they are what was sent.
const header = 24

// stream sends count numbered datagrams from each of so many peers to the node,
// one each gap, and returns what arrived until nothing came for a second.
func stream(t testing.TB, w *world, peers, count, size int, gap time.Duration) []datagram {
	t.Helper()
	node, first := w.udp(t)
	conns := []*net.UDPConn{first}
	for _, addr := range peerAddrs[1:peers] {
		conns = append(conns, w.udpFrom(t, addr, node))
	}
	base := time.Now()
	var sender sync.WaitGroup
	sender.Go(func() {
		ticks := time.NewTicker(max(gap, time.Millisecond))
		defer ticks.Stop()
		payload := make([]byte, size)
		for i := range count {
			for time.Since(base) < time.Duration(i)*gap {
				<-ticks.C
			}
			for source, conn := range conns {
				binary.BigEndian.PutUint32(payload, uint32(source))
				binary.BigEndian.PutUint32(payload[4:], uint32(i))
				binary.BigEndian.PutUint64(payload[8:], uint64(time.Since(base)))
				copy(payload[16:], payload[:8])
				if _, err := conn.Write(payload); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	defer sender.Wait()
	var got []datagram
	buffer := make([]byte, 65536)
	sent := base.Add(time.Duration(count) * gap)
	for {
		node.SetReadDeadline(latest(time.Now(), sent).Add(time.Second))
		n, err := node.Read(buffer)
		if err != nil {
			return got
		}
		now := time.Now()
		got = append(got, datagram{
			source:  int(binary.BigEndian.Uint32(buffer)),
			number:  int(binary.BigEndian.Uint32(buffer[4:])),
			after:   now.Sub(base) - time.Duration(binary.BigEndian.Uint64(buffer[8:])),
			at:      now,
			content: slices.Clone(buffer[header:n]),
			broken:  !bytes.Equal(buffer[:8], buffer[16:header]),
			size:    n + ipHeader + udpHeader,
		})
	}
}

func mean(got []datagram) time.Duration {
	var sum time.Duration
	for _, d := range got {
		sum += d.after
	}
	return sum / time.Duration(max(1, len(got)))
}

func deviation(got []datagram) time.Duration {
	middle, sum := mean(got), 0.0
	for _, d := range got {
		sum += math.Pow(float64(d.after-middle), 2)
	}
	return time.Duration(math.Sqrt(sum / float64(max(1, len(got)))))
}

// shares are what happened to the datagrams of one peer.
type shares struct{ lost, reordered, duplicated, changed float64 }

func measure(t testing.TB, got []datagram, count int) shares {
	seen, highest := map[int]bool{}, -1
	var s shares
	for _, d := range got {
		flipped := 0
		for _, b := range d.content {
			flipped += bits.OnesCount8(b)
		}
		switch {
		case flipped > 1:
			t.Errorf("%d bits of one datagram are flipped", flipped)
		case flipped == 1:
			s.changed++
		}
		switch {
		case d.broken:
			s.changed++
			continue // and counted as lost
		case seen[d.number]:
			s.duplicated++
			continue
		case d.number < highest:
			s.reordered++
		}
		seen[d.number], highest = true, max(highest, d.number)
	}
	s.lost = float64(count - len(seen))
	for _, share := range []*float64{&s.lost, &s.reordered, &s.duplicated, &s.changed} {
		*share /= float64(count)
	}
	return s
}

// busyMachine says that no processor is free, if so: more threads than there are
// processors wanted to run during the last minute.
func busyMachine(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	var load float64
	if _, err := fmt.Sscan(string(text), &load); err != nil {
		t.Fatal(err)
	}
	if processors := runtime.NumCPU(); load > float64(processors) {
		return fmt.Sprintf("the load is %v on %d processors", load, processors)
	}
	return ""
}
