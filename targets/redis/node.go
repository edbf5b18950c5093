package redis

import (
	"crypto/sha1"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// supervisor runs a server and a sentinel in a directory, $1.
//
// Both write into their configuration files what they learn, such as who is the
// primary and in which epoch, so $2 and $3 are only what these begin with: a node
// comes back as what it was last. The link gives the sentinel a process name of
// its own, also where packages have no redis-sentinel. It listens at $4, $5. When
// it begins, it waits for the first primary, at $6, $7: it would replace one that
// is merely slow to start.
//
// A server that is killed alone leaves its sentinel running. One that ends by
// itself ends the node.
const supervisor = `
set -e
exec >&2
cd "$1"
begin() { printf '%s' "$2" >"$1.new" && mv "$1.new" "$1"; }
try() { until redis-cli "$@" >/dev/null 2>&1; do sleep 0.1; done; }

ln -sf "$(command -v redis-server)" redis-sentinel
watch() {
	[ -e sentinel.conf ] || { try -h "$6" -p "$7" ping; begin sentinel.conf "$3"; }
	exec ./redis-sentinel sentinel.conf
}
watch "$@" &
[ $# -eq 7 ] || (
	host=$4 port=$5
	shift 7
	try -h "$host" -p "$port" sentinel debug "$@"
) &

[ -e server.conf ] || begin server.conf "$2"
status=0
redis-server server.conf || status=$?
[ $status -le 128 ] || wait
exit $status
`

// times are all that depends on how long a trial takes.
type times struct {
	// server and sentinel are lines of the two configurations.
	server, sentinel []string
	// debug are periods in milliseconds that sentinels have no configuration for,
	// by the names of SENTINEL DEBUG.
	debug []string
	// silence is for how many seconds a working link to the primary may bring
	// nothing, not even the primary's ping.
	silence int
}

var defaultTimes = times{silence: 11}

var tunedTimes = times{
	server: []string{
		"repl-ping-replica-period 1",
		"repl-timeout 4",
		"min-replicas-max-lag 2",
	},
	sentinel: []string{
		"sentinel down-after-milliseconds " + primaryName + " 1000",
		"sentinel failover-timeout " + primaryName + " 2000",
	},
	debug: []string{
		"info-period", "1000",
		"ask-period", "200",
		"publish-period", "500", // an old primary is told four of these after it was found
		"min-link-reconnect-period", "1000",
		"tilt-period", "2000", // how long a sentinel that was paused keeps out of everything
	},
	silence: 2,
}

// arguments are the shell's.
func (s *system) arguments(place cluster.Place) []string {
	host, port := splitHostPort(place.Ports[sentinelPort].Listen)
	firstHost, firstPort := splitHostPort(place.Public[first(place)][serverPort])
	return slices.Concat(
		[]string{"-c", supervisor, "redis-node", place.Data, s.serverConfiguration(place), s.sentinelConfiguration(place)},
		[]string{host, port, firstHost, firstPort},
		s.times().debug)
}

// first is the node whose server begins as the primary.
func first(place cluster.Place) cluster.Node {
	return slices.Min(slices.Collect(maps.Keys(place.Public)))
}

func (s *system) serverConfiguration(place cluster.Place) string {
	lines := append(common(place, serverPort),
		announce("replica-announce-ip %s", "replica-announce-port %s", place.Ports[serverPort].Public)...)
	if first := first(place); place.Node != first {
		lines = append(lines, fmt.Sprintf("replicaof %s", spaced(place.Public[first][serverPort])))
	}
	if s.options.AppendFsync != "" {
		lines = append(lines, "appendonly yes", "appendfsync "+s.options.AppendFsync)
	}
	lines = append(lines,
		fmt.Sprintf("min-replicas-to-write %d", s.options.MinReplicas),
		"repl-diskless-sync-delay 0") // a copy begins at once, and not in case others want one too
	return text(append(lines, s.times().server...))
}

// sentinelConfiguration names all nodes. Sentinels would find each other and the
// replicas by themselves, in up to ten seconds.
func (s *system) sentinelConfiguration(place cluster.Place) string {
	first := first(place)
	quorum := len(place.Public)/2 + 1
	lines := append(common(place, sentinelPort),
		announce("sentinel announce-ip %s", "sentinel announce-port %s", place.Ports[sentinelPort].Public)...)
	lines = append(lines,
		"sentinel myid "+sentinelID(place.Node),
		fmt.Sprintf("sentinel monitor %s %s %d", primaryName, spaced(place.Public[first][serverPort]), quorum))
	lines = append(lines, s.times().sentinel...)
	for _, node := range slices.Sorted(maps.Keys(place.Public)) {
		if node != first {
			lines = append(lines, fmt.Sprintf("sentinel known-replica %s %s", primaryName, spaced(place.Public[node][serverPort])))
		}
		if node != place.Node {
			lines = append(lines, fmt.Sprintf("sentinel known-sentinel %s %s %s", primaryName, spaced(place.Public[node][sentinelPort]), sentinelID(node)))
		}
	}
	return text(lines)
}

// common are the lines of both configurations.
func common(place cluster.Place, name string) []string {
	host, port := splitHostPort(place.Ports[name].Listen)
	return []string{
		"bind " + host,
		"port " + port,
		"protected-mode no",
		"dir " + quoted(place.Data),
	}
}

func announce(ipLine, portLine, public string) []string {
	host, port := splitHostPort(public)
	return []string{fmt.Sprintf(ipLine, host), fmt.Sprintf(portLine, port)}
}

// sentinelID is how a sentinel is known to others: 40 hexadecimal digits.
func sentinelID(node cluster.Node) string { return fmt.Sprintf("%x", sha1.Sum([]byte(node))) }

func text(lines []string) string { return strings.Join(lines, "\n") + "\n" }

// quoted is an argument in Redis' configuration, which knows C's escapes.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}

// spaced is an address as Redis writes it.
func spaced(address string) string {
	host, port := splitHostPort(address)
	return host + " " + port
}

// splitHostPort is for the world's own addresses, which are HOST:PORT.
func splitHostPort(address string) (host, port string) {
	host, port, _ = net.SplitHostPort(address)
	return host, port
}
