// Package node is what the processes of the built-in targets have in common: the
// arguments that say where they live, the end of their life, and an append-only
// file.
package node

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// Args returns the arguments of a target's node at a place: the hidden
// subcommand, and flags for Parse.
func Args(target string, place cluster.Place) []string {
	var peers []string
	for _, node := range slices.Sorted(maps.Keys(place.Peers)) {
		peers = append(peers, node+"="+place.Peers[node])
	}
	return []string{
		"node", target,
		"--id=" + place.Node,
		"--listen=" + place.Listen,
		"--data=" + place.Data,
		"--peers=" + strings.Join(peers, ","),
	}
}

// Parse is the inverse of Args, without the two leading words.
func Parse(target string, args []string) (cluster.Place, error) {
	place := cluster.Place{Peers: map[cluster.Node]string{}}
	flags := flag.NewFlagSet("node "+target, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&place.Node, "id", "", "")
	flags.StringVar(&place.Listen, "listen", "", "")
	flags.StringVar(&place.Data, "data", "", "")
	flags.Func("peers", "", func(list string) error {
		for _, peer := range strings.Split(list, ",") {
			node, address, found := strings.Cut(peer, "=")
			if !found || node == "" || address == "" {
				return fmt.Errorf("%q is not NODE=ADDRESS", peer)
			}
			place.Peers[node] = address
		}
		return nil
	})
	err := flags.Parse(args)
	switch {
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case place.Node == "" || place.Listen == "" || place.Data == "":
		err = errors.New("want --id, --listen and --data")
	case place.Peers[place.Node] == "":
		err = fmt.Errorf("--peers lacks --id %s", place.Node)
	}
	if err != nil {
		return cluster.Place{}, fmt.Errorf("node %s: %w", target, err)
	}
	return place, nil
}

// Run runs a node of a target that has options, until its life ends; the first
// argument is the options, which may be empty, and the others are Parse's.
func Run[Options any](target string, args []string, parse func(string) (Options, error), run func(context.Context, net.Listener, cluster.Place, Options) error) error {
	if len(args) == 0 {
		return fmt.Errorf("node %s: want the options, which may be empty, and the place", target)
	}
	options, err := parse(args[0])
	if err != nil {
		return err
	}
	place, err := Parse(target, args[1:])
	if err != nil {
		return err
	}
	ctx, listener, err := Listen(place)
	if err != nil {
		return err
	}
	if err := run(ctx, listener, place, options); err != nil {
		return fmt.Errorf("node %s: %w", place.Node, err)
	}
	return nil
}

// Others returns the place's peers except itself, sorted.
func Others(place cluster.Place) []cluster.Node {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(place.Peers)), func(n cluster.Node) bool { return n == place.Node })
}

// Listen listens at the place, for a life that ends, with the context, when
// standard input does: a harness that dies, in whatever way, closes the pipe, and
// its nodes die with it.
func Listen(place cluster.Place) (context.Context, net.Listener, error) {
	listener, err := net.Listen("tcp", place.Listen)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx, listener, nil
}
