package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// maxLine bounds a request's line: room for thousands of peers.
const maxLine = 64 << 10

var errLongLine = fmt.Errorf("the request is longer than %d bytes", maxLine)

// readLine returns the next line, which is valid until the next call. A line
// that is longer than the reader's buffer is skipped: errLongLine.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = in.ReadSlice('\n')
	}
	if err != nil {
		return nil, err
	}
	return nil, errLongLine
}

// parseRequest returns a valid request, or an error and a request that has at
// most its ID.
func parseRequest(line []byte) (Request, error) {
	var request Request
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&request)
	if err == nil {
		err = request.validate()
	}
	if _, more := decoder.Token(); err == nil && more != io.EOF {
		err = errors.New("something follows the request on its line")
	}
	if err != nil {
		return Request{ID: request.ID}, fmt.Errorf("bad request: %w", err)
	}
	return request, nil
}

func (r Request) validate() error {
	var err error
	asked := 0
	if r.Links != nil {
		asked++
		err = r.Links.validate()
	}
	if r.Clock != nil {
		asked++ // its values are judged by who knows clocks
	}
	if r.Signal != nil {
		asked++
		err = r.Signal.validate()
	}
	if r.Hello != nil {
		asked++
	}
	if asked != 1 {
		return fmt.Errorf("%d things are asked for (want exactly one of links, clock, signal, hello)", asked)
	}
	return err
}

func (r LinksRequest) validate() error {
	if len(r.Peers) == 0 {
		return errors.New("no peers are named")
	}
	for _, peer := range r.Peers {
		if !peer.Is4() {
			return fmt.Errorf("peer %q is not an IPv4 address, and no other links have faults", peer)
		}
	}
	return r.Condition.Validate()
}

func (r SignalRequest) validate() error {
	if r.Signal != syscall.SIGKILL && r.Signal != syscall.SIGSTOP && r.Signal != syscall.SIGCONT {
		return fmt.Errorf("signal %d (%v) is not one of SIGKILL, SIGSTOP, SIGCONT", int(r.Signal), r.Signal)
	}
	if strings.ContainsAny(r.Process, "/\n\x00") {
		return fmt.Errorf("%q is not a process name (want what /proc/PID/comm says)", r.Process)
	}
	return nil
}
