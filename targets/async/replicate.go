package async

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/line"
)

// A replica opens a stream with
//
//	sync EPOCH OFFSET LINEAGE
//
// and the primary of that epoch, and no other, answers either, if the replica's
// history is the beginning of its own and the backlog reaches back that far,
//
//	continue
//
// or the lines of a snapshot; then, forever,
//
//	do OFFSET COMMAND
//	tick
//
// Either end gives up a stream on which nothing moves for streamTimeout, and the
// replica opens another: a cut link may never say so by itself.
const (
	tickEvery     = 100 * time.Millisecond
	streamTimeout = 400 * time.Millisecond
	retryAfter    = 50 * time.Millisecond
)

// stream is the primary's end.
func (s *server) stream(ctx context.Context, conn *line.Conn, words []string) {
	if len(words) != 3 {
		return
	}
	numbers, err := line.Numbers(words[:2])
	if err != nil {
		return
	}
	epoch, offset := numbers[0], numbers[1]
	theirs, err := parseLineage(words[2], offset)
	if err != nil {
		return
	}

	s.mu.Lock()
	if s.epoch != epoch || s.primary != s.place.Node {
		s.mu.Unlock()
		conn.Send(line.Refused("not the primary of epoch " + words[0]))
		return
	}
	opening := []string{"continue"}
	if common := shared(s.store.lineage, s.store.offset, theirs, offset); common < offset || offset < s.oldest() {
		opening = slices.Collect(s.store.snapshot())
		offset = s.store.offset
	}
	s.mu.Unlock()

	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for lines := opening; ; {
		conn.SetDeadline(time.Now().Add(streamTimeout))
		if len(lines) > 0 && conn.Send(lines...) != nil {
			return
		}
		lines = nil

		s.mu.Lock()
		behind, lost := s.store.offset-offset, s.epoch != epoch || offset < s.oldest()
		if behind > 0 && !lost {
			for i, command := range s.backlog[len(s.backlog)-int(behind):] {
				lines = append(lines, fmt.Sprintf("do %d %s", offset+1+int64(i), command))
			}
			offset = s.store.offset
		}
		changed := s.changed
		s.mu.Unlock()
		if lost {
			return
		}
		if len(lines) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
			lines = []string{"tick"}
		}
	}
}

// oldest is the least offset after which the backlog has every command; mu is
// held.
func (s *server) oldest() int64 { return s.store.offset - int64(len(s.backlog)) }

// follow is the replica's end: while another node is the primary it follows it.
func (s *server) follow(ctx context.Context) {
	failed := false
	for ctx.Err() == nil {
		s.mu.Lock()
		epoch, primary, changed := s.epoch, s.primary, s.changed
		s.mu.Unlock()
		if primary == "" || primary == s.place.Node {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		err := s.followOne(ctx, epoch, primary)
		if err != nil && !failed && ctx.Err() == nil {
			s.log.Printf("stream from %s of epoch %d, retrying: %v", primary, epoch, err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// followOne returns when the stream ends, or the epoch.
func (s *server) followOne(ctx context.Context, epoch int64, primary cluster.Node) error {
	dialing, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	conn, err := line.Dial(dialing, s.place.Peers[primary])
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	s.mu.Lock()
	if s.epoch != epoch {
		s.mu.Unlock()
		return nil
	}
	s.upstream = conn // whoever learns of a new epoch closes it
	hello := fmt.Sprintf("sync %d %d %s", epoch, s.store.offset, s.store.lineage)
	s.mu.Unlock()

	conn.SetDeadline(time.Now().Add(streamTimeout))
	if err := conn.Send(hello); err != nil {
		return err
	}
	words, err := conn.Receive()
	switch {
	case err != nil:
		return err
	case words[0] == "continue":
		s.log.Printf("follows %s of epoch %d", primary, epoch)
	case words[0] == "snapshot":
		if err := s.resync(conn, words, epoch, primary); err != nil {
			return err
		}
	default:
		return errors.New(strings.Join(words, " "))
	}
	for {
		conn.SetDeadline(time.Now().Add(streamTimeout))
		words, err := conn.Receive()
		if err != nil {
			return err
		}
		if words[0] == "tick" {
			continue
		}
		if current, err := s.obey(words, epoch); err != nil || !current {
			return err
		}
	}
}

// obey carries out a command of an epoch's stream, unless the epoch is over.
func (s *server) obey(words []string, epoch int64) (current bool, err error) {
	if len(words) < 3 || words[0] != "do" {
		return false, fmt.Errorf("%.100q is not part of a stream", words)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return false, nil
	}
	if next := strconv.FormatInt(s.store.offset+1, 10); words[1] != next {
		return false, fmt.Errorf("command %.20q came instead of %s", words[1], next)
	}
	return true, s.commit(strings.Join(words[2:], " "))
}

// resync receives the rest of a snapshot and puts it in the place of everything
// that this node had.
func (s *server) resync(conn *line.Conn, words []string, epoch int64, primary cluster.Node) error {
	fresh := newStore()
	for {
		if err := fresh.load(strings.Join(words, " ")); err != nil {
			return err
		}
		if fresh.unread == 0 {
			break
		}
		conn.SetDeadline(time.Now().Add(streamTimeout))
		var err error
		if words, err = conn.Receive(); err != nil {
			return err
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return nil
	}
	common := shared(fresh.lineage, fresh.offset, s.store.lineage, s.store.offset)
	s.log.Printf("takes a full copy from %s of epoch %d: %d writes of its own thrown away (after offset %d)",
		primary, epoch, s.store.lineage.writesAfter(common, s.store.offset), common)
	s.store, s.backlog = fresh, nil
	return s.file.Replace(fresh.snapshot())
}
