package docker

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A stdio is a connection to a container's standard streams, made before the
// container starts and ended by its end. So logs need no log driver, miss nothing
// of what a dying node says, and repeat nothing when it lives again.
type stdio struct {
	attached client.HijackedResponse
	copied   chan struct{} // closed when the output has ended
}

// attach copies what the container says, until it ends or the stdio is closed.
func (e *engine) attach(ctx context.Context, id string, stdin bool, stdout, stderr io.Writer) (*stdio, error) {
	result, err := e.api.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdin: stdin, Stdout: true, Stderr: true})
	if err != nil {
		return nil, err
	}
	s := &stdio{result.HijackedResponse, make(chan struct{})}
	go func() {
		defer close(s.copied)
		// An error is an end of the connection like any other.
		_, _ = stdcopy.StdCopy(stdout, stderr, s.attached.Reader)
	}()
	return s, nil
}

// Close ends the container's input, and returns when nothing is copied any more.
func (s *stdio) Close() error {
	err := s.attached.Conn.Close()
	<-s.copied
	return err
}

// A talk is a container's input and output, as one connection.
type talk struct {
	*stdio
	output *io.PipeReader
}

// talkTo attaches to a container that is to be talked to, and whose error
// output is a log.
func (e *engine) talkTo(ctx context.Context, id string, log io.Writer) (talk, error) {
	output, said := io.Pipe()
	s, err := e.attach(ctx, id, true, said, log)
	if err != nil {
		return talk{}, err
	}
	go func() {
		<-s.copied
		said.Close()
	}()
	return talk{s, output}, nil
}

func (t talk) Read(buffer []byte) (int, error) { return t.output.Read(buffer) }

func (t talk) Write(line []byte) (int, error) { return t.attached.Conn.Write(line) }

func (t talk) Close() error {
	t.output.Close() // nobody reads any more, so nobody must wait for that
	return t.stdio.Close()
}

// A logFile is appended to over all of a node's lives.
type logFile struct {
	*os.File
	node cluster.Node
}

// openLog opens a log, and writes a line that says what begins.
func openLog(dir, name string, node cluster.Node, title string) (logFile, error) {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return logFile{}, err
	}
	log := logFile{file, node}
	log.mark(title)
	return log, nil
}

// mark writes a line of ours. That it fails, on a full disk, is no reason to
// fail a node.
func (l logFile) mark(title string) {
	fmt.Fprintf(l, "--- %s %s, %s ---\n", l.node, title, time.Now().Format(time.RFC3339Nano))
}
