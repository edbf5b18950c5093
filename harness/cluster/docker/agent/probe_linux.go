package agent

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// probe asks the kernel by doing it, in a table of its own and for a peer that
// does not exist (RFC 5737).
func (l *links) probe() {
	l.means, l.lacks = make(map[cluster.Fault]string), make(map[cluster.Fault]string)
	nobody := netip.MustParseAddr("192.0.2.1")
	try := func(c cluster.Condition, queue rule) error {
		return errors.Join(l.nft.install(tableName+"-probe", rulesFor(nobody, c, queue)), l.nft.remove(tableName+"-probe"))
	}

	cut := try(cluster.Condition{Cut: cluster.Reset}, nil)
	if cut == nil {
		cut = try(cluster.Condition{Cut: cluster.Silent}, nil)
	}
	queue := cut
	if queue == nil {
		for _, make := range []func(uint16) rule{nativeQueue, compatQueue} {
			if queue = try(cluster.Condition{}, make(0)); queue == nil {
				l.queue = make
				break
			}
		}
	}
	if queue == nil {
		opened, err := l.openQueue(cluster.Condition{Delay: 1})
		if queue = err; err == nil {
			opened.close(true)
		} else {
			l.queue = nil
		}
	}
	loss := queue
	if loss == nil {
		loss = try(cluster.Condition{Loss: 0.5, Duplicate: 0.5}, nil)
	}

	note := func(fault cluster.Fault, means string, err error, modules string) {
		switch {
		case err == nil:
			l.means[fault] = means
		case errors.Is(err, unix.EPERM):
			l.lacks[fault] = fmt.Sprintf("%v (grant the agent CAP_NET_ADMIN)", err)
		default:
			l.lacks[fault] = fmt.Sprintf("%v (load %s, or take a kernel that has them)", err, modules)
		}
	}
	const queues = "nfnetlink_queue with nft_queue, or nft_compat with xt_NFQUEUE"
	note(cluster.CutFault, "nft", cut, "nf_tables and nft_reject_ipv4")
	note(cluster.DelayFault, "nfqueue", queue, queues)
	note(cluster.RateFault, "nfqueue", queue, queues)
	note(cluster.LossFault, "nft, nfqueue", loss, "nft_numgen, nft_dup_ipv4, and "+queues)
}
