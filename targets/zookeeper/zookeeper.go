// Package zookeeper is the target zookeeper: Apache ZooKeeper, the coordination
// service on Zab, with the Go client that most use.
//
// # A node
//
// Each node is one server of a static ensemble, with its data on disk. Clients,
// followers and elections use a port each.
//
// # A client
//
// A client is pinned to its node's server and asks no other. Servers forward
// writes to the leader, so it takes no detour around a partition.
//
// # Reads
//
// Writes are linearizable. A read is answered by the client's server from its own
// state, however old: ZooKeeper's guarantees name sequential consistency, and
// that "sync" makes a server catch up with the leader first ("Consistency
// Guarantees", https://zookeeper.apache.org/doc/current/zookeeperInternals.html).
// A sync is not put to the vote. It relies on the leader to know that it still
// leads, for which the quorum must have been heard from within syncLimit ticks;
// ZooKeeper's documentation says that sync and read are not linearizable for
// this reason, and ZOOKEEPER-2136 discusses it. And the leader itself has nobody
// to catch up with: its sync does nothing, though it may apply a transaction only
// after a follower has acknowledged that. The target claims synced reads to be
// linearizable all the same, so that a trial which finds a window says so.
//
// # Locks
//
// The recipe of the documentation: an ephemeral node with a sequence number; who
// has the lowest holds the lock. When the holder is cut off, its session ends, the
// node goes, and somebody else gets the lock while the holder still thinks that it
// has it. The fencing token is the sequence number.
package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/targets/images"
	"github.com/rashomon-io/rashomon/targets/options"
)

const (
	image = "zookeeper:3.8"
	// Where followers hear the leader, and where elections are held. Servers know
	// each other by these addresses. Clients use the main port.
	peerPort     = "peer"
	electionPort = "election"
	// statusBudget is for one server's answer about itself.
	statusBudget = 300 * time.Millisecond
)

// Options are what a user can choose. The zero Options read after a sync.
type Options struct {
	// PlainReads leaves out the sync.
	PlainReads bool
	// DefaultTimes are those of ZooKeeper's sample configuration: ticks of 2 s.
	// Otherwise they are 200 ms.
	DefaultTimes bool
	// Session is after what time without its client a session, and a lock with it,
	// is gone; 0 for DefaultSession.
	Session time.Duration
	// Image is the container image, such as that of another version; empty for
	// the usual one, and for whatever version is in PATH.
	Image string
}

// DefaultSession is a session's time-out.
const DefaultSession = 2 * time.Second

// The least session is half a tick: that often followers tell the leader who is alive.
const (
	minSession        = 100 * time.Millisecond
	minUntunedSession = time.Second // with ZooKeeper's own ticks
	maxSession        = time.Minute
)

// Choices are examples of what ParseOptions reads, for lists.
var Choices = []string{"reads=plain", "timeouts=default", "session=1s", "image=zookeeper:3.9"}

// ParseOptions reads "key=value,key=value", such as "reads=plain"; empty means the
// defaults.
//
//	reads=sync|plain
//	timeouts=tuned|default
//	session=DURATION          100ms, or with timeouts=default 1s, to 1m, in whole milliseconds
//	image=REFERENCE
func ParseOptions(text string) (Options, error) {
	parsed, err := options.Parse(text, (*Options).list, Choices)
	if err == nil && parsed.DefaultTimes && parsed.Session != 0 && parsed.Session < minUntunedSession {
		return Options{}, fmt.Errorf("session=%q is not possible with timeouts=default: want %v to %v", parsed.Session, minUntunedSession, maxSession)
	}
	return parsed, err
}

// String is what ParseOptions reads, without the defaults.
func (o Options) String() string { return o.list().String() }

func (o *Options) list() options.List {
	return options.List{
		options.Switch("reads", &o.PlainReads, "sync", "plain"),
		options.Switch("timeouts", &o.DefaultTimes, "tuned", "default"),
		options.Duration("session", &o.Session, DefaultSession, minSession, maxSession, time.Millisecond),
		options.Image(&o.Image),
	}
}

// Target returns the target. Its World is nil.
func Target(options Options) harness.Target {
	// A lock that ends with its holder's session may always have two holders.
	claim := history.Claim{CAP: "CP", Expect: []string{string(anomaly.HeldTwice)}}
	if options.PlainReads {
		claim.Expect = append(claim.Expect, string(anomaly.StaleRead))
		// A server has applied what it acknowledges, and one that starts again has replayed
		// its log before it serves.
		claim.Guarantees = []string{history.Sequential, history.LinearizableWrites}
	}
	return harness.Target{
		Name:        "zookeeper",
		Options:     options.String(),
		Claim:       claim,
		Ports:       []string{peerPort, electionPort},
		Program:     options.program,
		Ready:       ready,
		Open:        options.open,
		Leader:      leader,
		LogPatterns: []*regexp.Regexp{corruption},
	}
}

// corruption is what a server logs whose data are not those of its leader, or that
// cannot write them. A severe unrecoverable error "from thread : FollowerRequestProcessor"
// is only a leader that was lost.
var corruption = regexp.MustCompile(`First digest mismatch on txn|Digests are not matching|Severe unrecoverable error, exiting`)

// configuration is a server's zoo.cfg. In its own entry a server must find where
// to listen, in the others' where to reach them.
func (o Options) configuration(place cluster.Place, data string) (text string, id int) {
	host, port, _ := net.SplitHostPort(place.Listen)
	tick := 200 * time.Millisecond
	if o.DefaultTimes {
		tick = 2 * time.Second
	}
	session := strconv.FormatInt(cmp.Or(o.Session, DefaultSession).Milliseconds(), 10)
	lines := []string{
		"minSessionTimeout=" + session, "maxSessionTimeout=" + session, // else 2 to 20 ticks
		"tickTime=" + strconv.FormatInt(tick.Milliseconds(), 10),
		"initLimit=10", "syncLimit=5", // ticks; those of the sample configuration
		"dataDir=" + data,
		"clientPortAddress=" + host, "clientPort=" + port,
		"maxClientCnxns=0", "admin.enableServer=false", "4lw.commands.whitelist=srvr",
		"standaloneEnabled=false", "preAllocSize=1024",
	}
	for i, node := range slices.Sorted(maps.Keys(place.Public)) {
		peer, election := place.Public[node][peerPort], place.Public[node][electionPort]
		if node == place.Node {
			id = i + 1
			peer, election = place.Ports[peerPort].Listen, place.Ports[electionPort].Listen
		}
		_, port, _ := net.SplitHostPort(election)
		lines = append(lines, fmt.Sprintf("server.%d=%s:%s", i+1, peer, port))
	}
	return strings.Join(lines, "\n") + "\n", id
}

// start writes a server's configuration and becomes it: in the official image, in
// Debian's layout, or in one that CLASSPATH names. Its arguments are the data
// directory, zoo.cfg, the server's number and options of the Java runtime. Releases
// log by Logback, and Debian by Log4j; Logback, left alone, would log each request.
const start = `
mkdir -p "$1" && printf %s "$2" >"$1/zoo.cfg" && printf %s "$3" >"$1/myid" && printf '
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%%d %%p %%c{1}: %%m%%n
' >"$1/log4j.properties" && printf %s '
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%d %p %logger{0}: %m%n</pattern></encoder></appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
' >"$1/logback.xml" || exit 1
jars=$CLASSPATH
for jar in /apache-zookeeper-*/lib/*.jar; do [ -e "$jar" ] && jars=$jars:$jar; done
if [ -z "$jars" ]; then
	for name in zookeeper zookeeper-jute log4j-1.2 slf4j-api slf4j-log4j12 commons-cli commons-io metrics-core snappy-java \
		netty-buffer netty-codec netty-common netty-handler netty-resolver netty-transport netty-transport-native-epoll netty-transport-native-unix-common; do
		jars=$jars:/usr/share/java/$name.jar
	done
fi
exec java -cp "$jars" -Dlog4j.configuration="file:$1/log4j.properties" -Dlogback.configurationFile="$1/logback.xml" $4 org.apache.zookeeper.server.quorum.QuorumPeerMain "$1/zoo.cfg"
`

// runtime is for small servers that elect soon: as they come, they wait up to a
// minute between two rounds of an election, and 5 s for a connection.
const (
	runtime = "-Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true " +
		"-Dzookeeper.learner.closeSocketAsync=true -Dzookeeper.leader.closeSocketAsync=true"
	tunedRuntime = runtime + " -Dzookeeper.cnxTimeout=500 -Dzookeeper.fastleader.minNotificationInterval=100 -Dzookeeper.fastleader.maxNotificationInterval=400"
)

func (o Options) program(place cluster.Place) cluster.Program {
	data := filepath.Join(place.Data, "zookeeper")
	configuration, id := o.configuration(place, data)
	java := tunedRuntime
	if o.DefaultTimes {
		java = runtime
	}
	return cluster.Program{
		Path:      "sh",
		Args:      []string{"-c", start, "zookeeper", data, configuration, strconv.Itoa(id), java},
		Container: images.Container(image, o.Image),
	}
}

// Parents of the workloads' nodes.
const (
	registers = "/register"
	elements  = "/set"
	counter   = "/counter"
	queues    = "/queue"
	locks     = "/lock"
	ids       = "/id"
)

// ready is Target.Ready: one server leads, all others follow, and all have the
// nodes that workloads need.
func ready(ctx context.Context, c cluster.Cluster) error {
	statuses := ask(ctx, c)
	leaders := 0
	for _, node := range c.Nodes() {
		switch s := statuses[node]; {
		case s.err != nil:
			return fmt.Errorf("ask %s who leads: %w", node, s.err)
		case s.mode == "leader":
			leaders++
		case s.mode != "follower":
			return fmt.Errorf("%s says that it is %q, neither leader nor follower", node, s.mode)
		}
	}
	if leaders != 1 {
		return fmt.Errorf("%d servers lead", leaders)
	}
	if err := prepare(ctx, c.Address(c.Nodes()[0])); err != nil {
		return fmt.Errorf("prepare %s: %w", c.Nodes()[0], err)
	}
	// A session begins with a transaction, so who opens one knows those before.
	var sessions errgroup.Group
	for _, node := range c.Nodes()[1:] {
		sessions.Go(func() error {
			s, err := begin(ctx, c.Address(node), DefaultSession)
			if err == nil {
				defer s.close()
				err = s.await(ctx)
			}
			if err != nil {
				return fmt.Errorf("open a session with %s: %w", node, err)
			}
			return nil
		})
	}
	return sessions.Wait()
}

// prepare creates the workloads' parents, all or none.
func prepare(ctx context.Context, address string) error {
	s, err := begin(ctx, address, DefaultSession)
	if err != nil {
		return err
	}
	defer s.close()
	var parents []any
	for _, path := range []string{registers, elements, counter, queues, locks, ids} {
		parents = append(parents, &zk.CreateRequest{Path: path, Data: []byte("0"), Acl: open})
	}
	err = s.do(ctx, func(conn *zk.Conn) error { _, err := conn.Multi(parents...); return err })
	if errors.Is(err, zk.ErrNodeExists) {
		return nil
	}
	return err
}

// leader is Target.Leader. A leader that is cut off may believe in itself for
// another while, so the highest epoch decides.
func leader(ctx context.Context, c cluster.Cluster) (cluster.Node, error) {
	var best cluster.Node
	statuses := ask(ctx, c)
	for node, s := range statuses {
		if s.err == nil && s.mode == "leader" && (best == "" || s.epoch > statuses[best].epoch) {
			best = node
		}
	}
	if best == "" {
		return "", errors.New("no server says that it leads")
	}
	return best, nil
}

// A status is what a server says of itself.
type status struct {
	mode  string // "leader", "follower", or nothing
	epoch int64  // of the last transaction that it knows
	err   error
}

// ask asks all servers at once for their status.
func ask(ctx context.Context, c cluster.Cluster) map[cluster.Node]status {
	ctx, cancel := context.WithTimeout(ctx, statusBudget)
	defer cancel()
	type answer struct {
		node cluster.Node
		status
	}
	answers := make(chan answer)
	for _, node := range c.Nodes() {
		go func() {
			s, err := statusOf(ctx, c.Address(node))
			s.err = err
			answers <- answer{node, s}
		}()
	}
	statuses := map[cluster.Node]status{}
	for range c.Nodes() {
		a := <-answers
		statuses[a.node] = a.status
	}
	return statuses
}

// statusOf sends the four letters "srvr". The library's parser of the answer does
// not know how Debian writes versions.
func statusOf(ctx context.Context, address string) (status, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return status{}, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return status{}, err
	}
	if _, err := conn.Write([]byte("srvr")); err != nil {
		return status{}, err
	}
	text, err := io.ReadAll(io.LimitReader(conn, 16<<10))
	if err != nil {
		return status{}, err
	}
	var s status
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "Mode":
			s.mode = value
		case "Zxid":
			number, err := strconv.ParseInt(value, 0, 64)
			if err != nil {
				return status{}, err
			}
			s.epoch = number >> 32
		}
	}
	return s, nil
}
