/* ICMP errors that quote a protected connection. */
#ifndef FTNET_ICMP_H
#define FTNET_ICMP_H

#include "event.h"
#include "parse.h"
#include "translate.h"

#define ICMP_UNREACHABLE 3
#define ICMP_FRAG_NEEDED 4 /* code */
#define ICMP_TIME_EXCEEDED 11
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_TOO_BIG 2
#define ICMPV6_TIME_EXCEEDED 3

#define ICMP_CSUM 2 /* offset in the ICMP header, both families */
#define ICMP_LEN 8

/* The first bytes of a TCP header: an ICMP error quotes at least these. */
struct quoted_tcp {
	__be16 sport, dport;
	__be32 seq;
};

/* quoted looks up the connection whose packet, travelling in direction dir, is
 * quoted in the ICMP error at offset icmp; *at becomes the TCP header's offset. */
static __always_inline struct slot *quoted(struct __sk_buff *skb, __u32 icmp, enum direction dir,
					   struct quoted_tcp *tcp, __u32 *at)
{
	struct packet p;
	__u32 *index;

	if (!parse_ip(skb, icmp + ICMP_LEN, dir, &p) || p.protocol != IP_TCP)
		return NULL;
	if (bpf_skb_load_bytes(skb, p.l4, tcp, sizeof(*tcp)) < 0)
		return NULL;
	p.key.cport = dir == TO_CLIENT ? tcp->dport : tcp->sport;
	p.key.sport = dir == TO_CLIENT ? tcp->sport : tcp->dport;
	if (!service_of(p.key.sport))
		return NULL;
	*at = p.l4;
	index = bpf_map_lookup_elem(&conns, &p.key);
	return index ? bpf_map_lookup_elem(&slots, index) : NULL;
}

/* icmp_out says whether to hold an ICMP error: one that a closed socket causes
 * would show the client the crash. So would one about a packet of the engine that
 * this host would have forwarded but for its hop limit. */
__noinline int icmp_out(struct __sk_buff *skb, __u32 at, __u32 protocol)
{
	struct quoted_tcp tcp;
	struct slot *slot;
	__u32 tcp_at;
	__u8 type;

	if (bpf_skb_load_bytes(skb, at, &type, 1) < 0)
		return 0;
	if (type != (protocol == IP_ICMP ? ICMP_UNREACHABLE : ICMPV6_UNREACHABLE) &&
	    type != (protocol == IP_ICMP ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEEDED))
		return 0;
	slot = quoted(skb, at, TO_SERVER, &tcp, &tcp_at);
	if (!slot || slot->mode == MODE_FREE || is_open(slot))
		return 0;
	count(STAT_ICMP_HELD);
	return 1;
}

/* icmp_in translates the sequence number quoted in a path-MTU report, without
 * which the kernel takes the report for a forgery (RFC 5927). */
__noinline int icmp_in(struct __sk_buff *skb, __u32 at, __u32 protocol)
{
	struct quoted_tcp tcp;
	struct diff d = {};
	struct slot *slot;
	__u32 tcp_at, seq, mode;
	__u8 head[2];

	if (bpf_skb_load_bytes(skb, at, head, 2) < 0)
		return 1;
	if (protocol == IP_ICMP) {
		if (head[0] != ICMP_UNREACHABLE || head[1] != ICMP_FRAG_NEEDED)
			return 1;
	} else if (head[0] != ICMPV6_TOO_BIG) {
		return 1;
	}
	slot = quoted(skb, at, TO_CLIENT, &tcp, &tcp_at);
	if (!slot || !(slot->flags & XLATE) || !slot->delta)
		return 1;
	mode = slot->mode;
	if (mode != MODE_LIVE && mode != MODE_OPEN)
		return 1;
	seq = bpf_ntohl(tcp.seq) - slot->delta;
	change32(&d, tcp_at - at, tcp.seq, bpf_htonl(seq));
	if (!put32(skb, tcp_at + TCP_SEQ, seq) || !apply(skb, at + ICMP_CSUM, &d)) {
		count(STAT_REWRITE_FAILS);
		return 0;
	}
	count(STAT_ICMP_FIXED);
	return 1;
}

#endif
