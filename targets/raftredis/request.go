package raftredis

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tidwall/redcon"
)

// maxRequest bounds a request, in bytes. Redis' own bound is a thousand times as
// high.
const maxRequest = 1 << 20

// A requests reads requests off a connection: arrays of strings, or lines of words
// as typed by hand.
type requests struct {
	from     io.Reader
	received []byte // and not yet returned
}

// next returns the next request's words, of which there is at least one. Its
// errors are the reader's, io.ErrUnexpectedEOF in the middle of a request, and
// errProtocol.
func (r *requests) next() ([]string, error) {
	for {
		words, rest, err := cut(r.received)
		switch {
		case err != nil:
			return nil, err
		case len(rest) < len(r.received): // a whole request
			r.received = rest
			if len(words) > 0 {
				return words, nil
			}
			continue
		case len(r.received) > maxRequest:
			return nil, fmt.Errorf("%w: request longer than %d bytes", errProtocol, maxRequest)
		}
		var more [4096]byte
		n, err := r.from.Read(more[:])
		r.received = append(r.received, more[:n]...)
		if errors.Is(err, io.EOF) && len(r.received) > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && n == 0 {
			return nil, err
		}
	}
}

var errProtocol = errors.New("Protocol error")

// cut cuts the first request off what was received. If it is not whole, rest is
// all that was received.
func cut(received []byte) (words []string, rest []byte, err error) {
	defer func() {
		// redcon's parser indexes by whatever length it is told.
		if recover() != nil {
			err = fmt.Errorf("%w: invalid bulk length", errProtocol)
		}
	}()
	whole, arguments, _, rest, err := redcon.ReadNextCommand(received, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s", errProtocol, strings.TrimPrefix(err.Error(), errProtocol.Error()+": "))
	}
	if !whole {
		return nil, received, nil
	}
	for _, argument := range arguments {
		words = append(words, string(argument))
	}
	return words, rest, nil
}

// encode is the inverse of cut.
func encode(words ...string) []byte {
	text := redcon.AppendArray(nil, len(words))
	for _, word := range words {
		text = redcon.AppendBulkString(text, word)
	}
	return text
}
