package docker

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An engine that is not there is named, in one line.
func TestEngineThatIsDown(t *testing.T) {
	executable, err := os.Executable()
	must(t, err)
	for host, want := range map[string]string{
		"unix:///no/such.sock": "the Docker engine does not answer at unix:///no/such.sock (start it, or change DOCKER_HOST)",
		"tcp://127.0.0.1:1":    "the Docker engine does not answer at tcp://127.0.0.1:1 (start it, or change DOCKER_HOST)",
	} {
		probe := exec.Command(executable, "test-supports")
		probe.Env = append(os.Environ(), "DOCKER_HOST="+host)
		output, err := probe.CombinedOutput()
		if err != nil || !strings.Contains(string(output), want) || strings.Count(string(output), "\n") != 1 {
			t.Errorf("at %s: %q, %v; want %q", host, output, err, want)
		}
	}
}

// silent is an engine that accepts connections and never answers.
func silent(t *testing.T) (host string, accepted <-chan struct{}) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "engine.sock")
	listener, err := net.Listen("unix", socket)
	must(t, err)
	called := make(chan struct{}, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			called <- struct{}{}
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-ended
	})
	return "unix://" + socket, called
}

func TestEngineThatIsSilent(t *testing.T) {
	host, _ := silent(t)
	executable, err := os.Executable()
	must(t, err)
	probe := exec.Command(executable, "test-supports", "again", "again")
	probe.Env = append(os.Environ(), "DOCKER_HOST="+host)
	began := time.Now()
	output, err := probe.CombinedOutput()
	if took := time.Since(began); took > 2*contactTimeout {
		t.Errorf("it took %v", took)
	}
	want := errSilent.Error() + ", at " + host + " within 10s (restart it, or set DOCKER_HOST)\n"
	if err != nil || strings.Count(string(output), want) != 3 || strings.Count(string(output), "\n") != 3 {
		t.Errorf("%v: %q, want three times %q", err, output, want)
	}
}

func TestContactObeysItsContext(t *testing.T) {
	host, accepted := silent(t)
	t.Setenv("DOCKER_HOST", host)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := connect(ctx)
		failed <- err
	}()
	<-accepted
	cancel()
	select {
	case err := <-failed:
		if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "interrupted while") {
			t.Errorf("error %v", err)
		}
	case <-time.After(contactTimeout / 2):
		t.Fatal("it goes on waiting")
	}
}

// A socket that is for others only is named as that.
func TestEngineThatIsForOthers(t *testing.T) {
	host, _ := silent(t)
	socket := strings.TrimPrefix(host, "unix://")
	must(t, os.Chmod(socket, 0))
	want := "permission denied on the socket " + socket + " of the Docker engine (add yourself to the group docker"
	if os.Getuid() != 0 {
		t.Setenv("DOCKER_HOST", host)
		if err := Contact(t.Context()); !errors.Is(err, fs.ErrPermission) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		return
	}
	// Root may do everything, so nobody must try.
	executable, err := os.Executable()
	must(t, err)
	binary, err := os.ReadFile(executable)
	must(t, err)
	others := filepath.Join(t.TempDir(), "test")
	must(t, os.WriteFile(others, binary, 0o755))
	must(t, os.Chmod(filepath.Dir(filepath.Dir(others)), 0o755)) // which others may enter
	probe := exec.Command(others, "test-supports")
	probe.Env = append(os.Environ(), "DOCKER_HOST="+host, "HOME=/nonexistent", "TMPDIR=/tmp")
	probe.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	output, err := probe.CombinedOutput()
	if err != nil || !strings.Contains(string(output), want) || strings.Count(string(output), "\n") != 1 {
		t.Errorf("%v: %q, want %q", err, output, want)
	}
}
