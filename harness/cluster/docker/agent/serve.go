package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// hands carry out what is asked for. Each is called by one goroutine, but
// different ones at the same time.
type hands struct {
	links  func(LinksRequest) error
	clock  func(cluster.Clock) error
	signal func(SignalRequest) error
	hello  func() (means, lacks map[cluster.Fault]string)
	// undo takes back everything. No other hand moves any more by then.
	undo func() error
}

// do carries out one valid request.
func (h hands) do(request Request) Response {
	response, begin := Response{ID: request.ID}, time.Now()
	var err error
	switch {
	case request.Links != nil:
		err = h.links(*request.Links)
	case request.Clock != nil:
		err = h.clock(request.Clock.Clock)
	case request.Signal != nil:
		err = h.signal(*request.Signal)
	case request.Hello != nil:
		response.Means, response.Lacks = h.hello()
	}
	if err != nil {
		response.Error = err.Error()
	}
	response.Took = time.Since(begin)
	return response
}

// serve answers requests until in ends, nobody reads out any more, ctx ends, or
// a hand panics; then it undoes everything. Only the last, and what could not be
// undone, is an error.
//
// Requests of one kind are carried out in their order, different kinds at the
// same time. One goroutine may outlive serve: the one that sits in in.Read,
// which cannot be interrupted, and one in out.Write. Undoing waits for neither.
func serve(ctx context.Context, in io.Reader, out io.Writer, h hands) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)

	answers := make(chan Response)
	answer := func(response Response) {
		select {
		case answers <- response:
		case <-ctx.Done():
		}
	}
	go write(ctx, out, answers, end)

	var workers sync.WaitGroup
	lane := func() chan<- Request {
		requests := make(chan Request, 16)
		workers.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					end(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
				}
			}()
			for {
				select {
				case request := <-requests:
					answer(h.do(request))
				case <-ctx.Done():
					return
				}
			}
		})
		return requests
	}
	links, clock, others := lane(), lane(), lane()

	go read(ctx, in, end, func(request Request, err error) {
		to := others
		switch {
		case err != nil:
			answer(Response{ID: request.ID, Error: err.Error()})
			return
		case request.Links != nil:
			to = links
		case request.Clock != nil:
			to = clock
		}
		select {
		case to <- request:
		case <-ctx.Done():
		}
	})

	<-ctx.Done()
	workers.Wait()
	err := context.Cause(ctx)
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, h.undo())
}

// read hands over each request of in, or why it is none, until in or ctx ends.
func read(ctx context.Context, in io.Reader, end context.CancelCauseFunc, take func(Request, error)) {
	lines := bufio.NewReaderSize(in, maxLine)
	for ctx.Err() == nil {
		line, err := readLine(lines)
		if err != nil && !errors.Is(err, errLongLine) {
			end(io.EOF)
			return
		}
		var request Request
		if err == nil {
			request, err = parseRequest(line)
		}
		take(request, err)
	}
}

// write writes the answers to out until nobody reads there any more or ctx ends.
func write(ctx context.Context, out io.Writer, answers <-chan Response, end context.CancelCauseFunc) {
	encoder := json.NewEncoder(out)
	for {
		select {
		case response := <-answers:
			if encoder.Encode(response) != nil {
				end(io.EOF)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
