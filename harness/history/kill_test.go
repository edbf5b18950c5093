package history

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// recordInto names the directory that a child process records into, until it
// is killed.
const recordInto = "RASHOMON_TEST_RECORD_INTO"

func TestMain(m *testing.M) {
	if dir := os.Getenv(recordInto); dir != "" {
		recordUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// recordUntilKilled prints its recorder's clock again and again.
func recordUntilKilled(dir string) {
	recorder, err := NewRecorder(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		for range time.Tick(5 * time.Millisecond) {
			if _, err := fmt.Println(int64(recorder.Now())); err != nil {
				os.Exit(1) // the parent is gone
			}
		}
	}()
	gossip(recorder, 16, func() { time.Sleep(time.Millisecond) }, func() bool { return false })
}

// TestKilled kills a recording process with SIGKILL: what it leaves can be
// read, is causally closed, and lacks no more than its last 100 ms, and what
// the scheduling adds to them.
func TestKilled(t *testing.T) {
	const mayLose = 300 * time.Millisecond
	kills := 10
	if testing.Short() {
		kills = 2
	}
	var most time.Duration
	for range kills {
		dir := t.TempDir()
		lastSeen := killRecording(t, dir, time.Duration(20+rand.IntN(400))*time.Millisecond)
		h := readBack(t, dir)
		if h.Torn == "" {
			t.Error("not torn")
		}
		if o := orphan(h); o != nil {
			t.Errorf("%+v was caused by nothing", *o)
		}
		var last time.Duration
		for _, op := range h.Operations {
			last = max(last, op.Complete)
		}
		lost := lastSeen - last
		if lost > mayLose {
			t.Errorf("lost the last %v of %v", lost, lastSeen)
		}
		most = max(most, lost)
	}
	t.Logf("lost at most the last %v", most)
}

// killRecording starts a recording child, kills it after some time, and
// returns the last it told of its clock.
func killRecording(t *testing.T, dir string, after time.Duration) time.Duration {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), recordInto+"="+dir)
	child.Stderr = os.Stderr
	clock, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var lastSeen int64
	var kill *time.Timer
	for lines := bufio.NewScanner(clock); lines.Scan(); {
		if kill == nil { // it records since now
			kill = time.AfterFunc(after, func() { child.Process.Kill() })
		}
		if lastSeen, err = strconv.ParseInt(lines.Text(), 10, 64); err != nil {
			t.Error(err)
		}
	}
	child.Wait() // "signal: killed"
	if kill == nil {
		t.Fatal("the child did not record")
	}
	return time.Duration(lastSeen)
}
