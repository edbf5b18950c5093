//go:build linux && amd64

package vdso

import (
	"bufio"
	_ "embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// programs that are not Go's.
var (
	//go:embed testdata/reader.c
	readerC string
	//go:embed testdata/Reader.java
	readerJava string
)

func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("needs %s", program)
	}
	return path
}

// build writes a source into a temporary directory, runs the compiler there and
// returns the directory.
func build(t *testing.T, file, source string, command ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	compile := exec.Command(needs(t, command[0]), append(command[1:], file)...)
	compile.Dir = dir
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", compile, err, out)
	}
	return dir
}

func TestC(t *testing.T) {
	program := filepath.Join(build(t, "reader.c", readerC, "gcc", "-O2", "-o", "reader"), "reader")
	n := newNode(t)
	check := func(r reading, clock cluster.Clock) {
		t.Helper()
		for _, name := range []string{"clock_gettime", "gettimeofday", "coarse"} {
			near(t, r, name, clock.Offset)
		}
		if got := r.skew["time"]; (got - clock.Offset).Abs() > time.Second+20*time.Millisecond { // it cuts off, and is as old as the last tick
			t.Fatalf("time(2) is wrong by %v, want %v", got, clock.Offset)
		}
		want := time.Duration(0)
		if clock.Monotonic {
			want = clock.Offset
		}
		near(t, r, "monotonic", want)
		near(t, r, "boottime", want)
		near(t, r, "process", 0) // the CPU time of the process is nobody's to change
	}
	here := n.start(exec.Command(program))
	for _, clock := range []cluster.Clock{
		{Offset: time.Hour},
		{Offset: -10 * year},
		{Offset: 3 * time.Second, Monotonic: true},
		{},
		{Offset: -50 * year},
	} {
		at := n.set(clock)
		for _, r := range here.readingsAfter(at, 50) {
			check(r, clock)
		}
		for _, how := range []string{"fork", "vfork"} { // read in a child that does not exec
			parent := n.start(role("gate", program, how))
			for range 50 {
				check(parent.reading(), clock)
			}
			parent.kill()
		}
	}

	// A parent in vfork cannot be stopped: it waits for its child in the kernel.
	parent := n.start(exec.Command(program, "vfork"))
	for _, offset := range []time.Duration{time.Hour, 0, time.Minute} {
		clock := cluster.Clock{Offset: offset}
		at := n.set(clock)
		for _, r := range parent.readingsAfter(at, 20) {
			check(r, clock)
		}
	}
}

// ask returns between which bounds a program's clock is wrong, if it shows the
// time that answer returns.
func ask(answer func() time.Duration) (least, most time.Duration) {
	before, _ := readClock(unix.CLOCK_REALTIME)
	shown := answer()
	after, _ := readClock(unix.CLOCK_REALTIME)
	return shown - after, shown - before
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// foreignTarget checks all faults, at a program that is started through the gate
// and tells its wall clock when asked.
func foreignTarget(t *testing.T, n *node, start func() *program, wall func(*program) time.Duration) {
	t.Helper()
	const slack = time.Millisecond // their resolution
	check := func(p *program, want time.Duration) {
		t.Helper()
		least, most := ask(func() time.Duration { return wall(p) })
		if want < least-slack || want > most+slack {
			t.Fatalf("the clock is wrong by %v to %v, want %v", least, most, want)
		}
	}
	p := start()
	for _, offset := range []time.Duration{0, time.Hour, -10 * year, 3 * time.Second, 0, -time.Minute} {
		n.set(cluster.Clock{Offset: offset})
		for range 20 {
			check(p, offset)
		}
	}
	p.kill()

	n.set(cluster.Clock{Offset: -10 * year})
	for range 3 {
		p = start()
		for range 20 {
			check(p, -10*year)
		}
		p.kill()
	}

	p = start()
	before, _ := readClock(unix.CLOCK_REALTIME)
	after := n.set(cluster.Clock{Drift: 0.1})
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	<-tick.C
	early, _ := readClock(unix.CLOCK_REALTIME)
	least, most := ask(func() time.Duration { return wall(p) })
	late, _ := readClock(unix.CLOCK_REALTIME)
	if most+slack < (early-after)/10 || least-slack > (late-before)/10 {
		t.Errorf("%v after it began to drift by 10 %%, the clock is wrong by %v to %v", early-after, least, most)
	}

	n.set(cluster.Clock{Offset: time.Minute, Strobe: 10 * time.Millisecond})
	seen := make(map[time.Duration]int)
	waitFor(t, "the strobe", func() bool {
		least, _ := ask(func() time.Duration { return wall(p) })
		seen[(least+time.Second).Truncate(time.Minute)]++
		return seen[0] > 10 && seen[time.Minute] > 10
	})
	if len(seen) != 2 {
		t.Errorf("a strobe of a minute shows %v, want 0 and 1m", seen)
	}
	n.set(cluster.Clock{})
	check(p, 0)
}

func TestRedis(t *testing.T) {
	needs(t, "redis-server")
	n := newNode(t)
	socket := filepath.Join(t.TempDir(), "redis")
	var conn net.Conn
	var replies *bufio.Reader
	start := func() *program {
		os.Remove(socket)
		p := n.start(role("gate", "redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--loglevel", "warning"))
		waitFor(t, "redis-server", func() (ok bool) {
			var err error
			conn, err = net.Dial("unix", socket)
			return err == nil
		})
		replies = bufio.NewReader(conn)
		t.Cleanup(func() { conn.Close() })
		return p
	}
	foreignTarget(t, n, start, func(*program) time.Duration {
		fmt.Fprint(conn, "TIME\r\n")
		var numbers []int64 // *2 $10 seconds $6 microseconds
		for range 5 {
			line, err := replies.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, number(t, strings.Trim(line, "*$\r\n")))
		}
		return time.Duration(numbers[2])*time.Second + time.Duration(numbers[4])*time.Microsecond
	})
}

func TestJava(t *testing.T) {
	needs(t, "java")
	dir := build(t, "Reader.java", readerJava, "javac")
	n := newNode(t)
	foreignTarget(t, n,
		func() *program {
			return n.start(role("gate", "java", "-Xmx64m", "-Xshare:auto", "-XX:+UseSerialGC", "-cp", dir, "Reader"))
		},
		func(p *program) time.Duration {
			fmt.Fprintln(p.stdin)
			return time.Duration(number(t, p.line())) * time.Millisecond
		})
}
