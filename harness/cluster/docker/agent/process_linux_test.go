package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sleeper starts a process of that name.
func sleeper(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(sleep, path); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

func state(t *testing.T, cmd *exec.Cmd) byte {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return stat[strings.LastIndex(string(stat), ") ")+2]
}

func TestSignalByName(t *testing.T) {
	// Longer than what the kernel keeps of a name.
	name := fmt.Sprintf("rashomon-%d-sentinel", os.Getpid()%100000)
	victim, twin, other := sleeper(t, name), sleeper(t, name), sleeper(t, "rashomon-other")
	await := func(cmd *exec.Cmd, want byte) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); state(t, cmd) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("process is in state %c, want %c", state(t, cmd), want)
			}
		}
	}
	for _, cmd := range []*exec.Cmd{victim, twin, other} {
		await(cmd, 'S')
	}
	for _, step := range []struct {
		signal syscall.Signal
		want   byte
	}{{syscall.SIGSTOP, 'T'}, {syscall.SIGCONT, 'S'}, {syscall.SIGKILL, 'Z'}} {
		if err := signal(SignalRequest{Process: name, Signal: step.signal}); err != nil {
			t.Fatal(err)
		}
		await(victim, step.want)
		await(twin, step.want)
		if got := state(t, other); got != 'S' {
			t.Errorf("%v hit a process of another name: state %c", step.signal, got)
		}
	}
	if err := signal(SignalRequest{Process: name, Signal: syscall.SIGKILL}); err == nil {
		t.Error("there is nobody left to be signalled, and that is no error")
	}
}

func TestSignalSparesTheMachine(t *testing.T) {
	if namespace, err := os.Readlink("/proc/self/ns/pid"); err != nil || namespace != initialNamespace {
		t.Skip("this is a PID namespace of its own")
	}
	// SIGCONT harms nobody if the guard fails.
	if err := signal(SignalRequest{Signal: syscall.SIGCONT}); err == nil {
		t.Error("every process of the machine was signalled")
	}
}

// The test binary is also PID 1 of a node, when it is told so.
const asHolder = "RASHOMON_TEST_AS_HOLDER"

// holder runs two processes and an agent, and is an error unless both were
// killed and it itself, and the agent, lived on.
func holder() error {
	if os.Getpid() != 1 {
		return fmt.Errorf("the holder is not PID 1")
	}
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		return err
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	var nodes []*exec.Cmd
	for range 2 {
		node := exec.Command("sleep", "60")
		if err := node.Start(); err != nil {
			return err
		}
		nodes = append(nodes, node)
	}
	agent := exec.Command("/proc/self/exe")
	agent.Env = append(os.Environ(), asHolder+"=", asAgent+"=yes")
	agent.Stdin, agent.Stdout, agent.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := agent.Run(); err != nil {
		return fmt.Errorf("the agent: %w", err)
	}
	for _, node := range nodes {
		node.Wait()
		if status := node.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
			return fmt.Errorf("a process of the node ended with %v", node.ProcessState)
		}
	}
	return nil
}

func TestSignalAll(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("PID namespaces need root")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asHolder+"=yes")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("no PID namespaces here: %v", err)
	}
	client := NewClient(pipes{out, in})
	if _, err := client.Do(t.Context(), Request{Signal: &SignalRequest{Signal: syscall.SIGKILL}}); err != nil {
		t.Error(err)
	}
	client.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
