package agent

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// tableName is the agent's own table, the only one that it touches.
const tableName = "rashomon"

// A rule is a list of expressions that nft evaluates from left to right.
type rule = []expr.Any

// A firewall changes nft tables. It keeps its connection to the kernel, because
// closing one waits until the rules that it replaced are freed: ten milliseconds
// under load.
type firewall struct {
	conn *nftables.Conn // nil: not open
}

// install makes these the rules of the table, in one transaction: a packet sees
// the old rules or the new ones.
func (f *firewall) install(table string, rules []rule) error {
	return f.transact(func(conn *nftables.Conn) {
		t := conn.AddTable(ours(table))
		chain := conn.AddChain(&nftables.Chain{
			Name:     "input",
			Table:    t,
			Type:     nftables.ChainTypeFilter,
			Hooknum:  nftables.ChainHookInput,
			Priority: nftables.ChainPriorityFilter,
		})
		conn.FlushChain(chain)
		for _, r := range rules {
			conn.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: r})
		}
	})
}

// remove deletes the table, if there is one. The kernel then drops what any
// queue holds, because the chains that are behind the queue have changed.
func (f *firewall) remove(table string) error {
	return f.transact(func(conn *nftables.Conn) {
		conn.DelTable(conn.AddTable(ours(table))) // adding makes that there is one
	})
}

func ours(table string) *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyIPv4, Name: table}
}

func (f *firewall) transact(change func(*nftables.Conn)) (err error) {
	defer func() {
		if err != nil {
			f.close() // answers may be left unread
			err = fmt.Errorf("nft: %w", err)
		}
	}()
	if f.conn == nil {
		if f.conn, err = nftables.New(nftables.AsLasting()); err != nil {
			return err
		}
	}
	change(f.conn)
	return f.conn.Flush()
}

func (f *firewall) close() {
	if f.conn != nil {
		_ = f.conn.CloseLasting() // nothing that was done depends on it
		f.conn = nil
	}
}

// rulesFor returns what gives packets from peer that condition, as far as nft
// does it itself; the rest is done by who listens to the queue.
func rulesFor(peer netip.Addr, c cluster.Condition, queue rule) []rule {
	from := join(load(expr.PayloadBaseNetworkHeader, 12, 4), rule{&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: peer.AsSlice()}})
	drop := verdict(expr.VerdictDrop)
	switch c.Cut {
	case cluster.Silent:
		return []rule{join(from, drop)}
	case cluster.Reset:
		// The reject resets the sender's end. What our end sends later is then
		// answered with a reset by the sender's kernel, which must come in.
		return []rule{
			join(from, protocol(expr.CmpOpNeq, tcp), drop),
			join(from, protocol(expr.CmpOpEq, tcp), isReset(), verdict(expr.VerdictAccept)),
			join(from, protocol(expr.CmpOpEq, tcp), rule{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}}),
		}
	}
	var rules []rule
	if c.Loss > 0 {
		rules = append(rules, join(from, drawn(c.Loss), drop))
	}
	if c.Duplicate > 0 {
		// The copy is sent to the packet's own destination, and so comes in
		// again through lo: that tells it from an original.
		rules = append(rules, join(from, fromOutside(), drawn(c.Duplicate), load(expr.PayloadBaseNetworkHeader, 16, 4), rule{&expr.Dup{RegAddr: 1}}))
	}
	if queue != nil {
		rules = append(rules, join(from, queue))
	}
	return rules
}

func join(parts ...rule) rule {
	var all rule
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

func load(base expr.PayloadBase, offset, length uint32) rule {
	return rule{&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: length}}
}

func verdict(kind expr.VerdictKind) rule { return rule{&expr.Verdict{Kind: kind}} }

func protocol(op expr.CmpOp, number byte) rule {
	return rule{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: []byte{number}},
	}
}

// isReset matches the RST bit of TCP's flags.
func isReset() rule {
	return join(load(expr.PayloadBaseTransportHeader, 13, 1), rule{
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{1 << 2}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0}},
	})
}

func fromOutside() rule {
	lo := make([]byte, unix.IFNAMSIZ)
	copy(lo, "lo")
	return rule{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: lo},
	}
}

// drawn matches that share of packets, at random.
func drawn(share float64) rule {
	const all = 1_000_000
	return rule{
		&expr.Numgen{Register: 1, Modulus: all, Type: unix.NFT_NG_RANDOM},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binaryutil.BigEndian.PutUint32(uint32(share * all))},
	}
}

// nativeQueue hands packets to a queue. They pass if nobody listens to it.
func nativeQueue(number uint16) rule {
	return rule{&expr.Queue{Num: number, Total: 1, Flag: expr.QueueFlagBypass}}
}

// compatQueue is nativeQueue for kernels without nft's own queue expression:
// the xtables target of the same purpose, with its struct xt_NFQ_info_v3.
func compatQueue(number uint16) rule {
	info := binary.NativeEndian.AppendUint16(nil, number)
	info = binary.NativeEndian.AppendUint16(info, 1) // queues
	info = binary.NativeEndian.AppendUint16(info, 1) // bypass
	info = binary.NativeEndian.AppendUint16(info, 0) // padding
	unknown := xt.Unknown(info)
	return rule{&expr.Target{Name: "NFQUEUE", Rev: 3, Info: &unknown}}
}
