package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const (
	// reaperPatience is for how long the reaper looks for what the engine was
	// about to make when the harness died.
	reaperPatience = 5 * time.Second
	// dismissed is what the reaper reads if the harness has left nothing.
	dismissed = "dismissed"
)

// A reaper is a process that outlives the harness. It waits in a session of its
// own, where neither Ctrl-C nor a closing terminal reaches it, for the end of a
// pipe whose only writer is the harness. However the harness ends, the kernel
// closes the pipe; the reaper then removes what is left.
type reaper struct {
	process *exec.Cmd
	pipe    io.WriteCloser
}

func startReaper(ctx context.Context, e *engine, s session, progress func(string)) (*reaper, error) {
	path, err := executable(ctx, runtime.GOOS, runtime.GOARCH, progress)
	if err != nil {
		return nil, err
	}
	process := exec.Command(path, "reaper", string(s))
	process.Dir = "/"
	process.Env = append(os.Environ(), "DOCKER_HOST="+e.api.DaemonHost())
	process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		pipe.Close()
		return nil, fmt.Errorf("the reaper, which removes containers if the harness is killed, did not start: %w", err)
	}
	return &reaper{process, pipe}, nil
}

// dismiss ends the reaper, once nothing is left for it to do.
func (r *reaper) dismiss() error {
	_, err := io.WriteString(r.pipe, dismissed)
	if err := errors.Join(err, r.pipe.Close(), r.process.Wait()); err != nil {
		return fmt.Errorf("the reaper did not end orderly: %w", err)
	}
	return nil
}

// Reaper is the process, given the session as its argument.
func Reaper(args []string) error {
	if len(args) != 1 {
		return errors.New("want the session as the only argument")
	}
	e, err := connect(context.Background())
	if err != nil {
		return err
	}
	defer e.close()
	if word, err := io.ReadAll(io.LimitReader(os.Stdin, int64(len(dismissed)))); err != nil || string(word) == dismissed {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return e.remove(ctx, session(args[0]), time.Now().Add(reaperPatience))
}
