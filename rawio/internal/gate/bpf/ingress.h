/* Client to server: what the kernel's socket sees of the client. */
#ifndef FTNET_INGRESS_H
#define FTNET_INGRESS_H

#include "egress.h"

/* translate_sack moves the client's SACK blocks into the kernel's space. */
__noinline int translate_sack(struct __sk_buff *skb, __u32 at, __u32 blocks, __u32 delta,
				     struct diff *d)
{
	__be32 was[2], now[2];

	if (!d)
		return 0;
	at += 2;
	for (__u32 i = 0; i < MAX_BLOCKS && i < blocks; i++, at += 8) {
		if (bpf_skb_load_bytes(skb, at, was, 8) < 0)
			return 0;
		now[0] = bpf_htonl(bpf_ntohl(was[0]) - delta);
		now[1] = bpf_htonl(bpf_ntohl(was[1]) - delta);
		change32(d, at, was[0], now[0]);
		change32(d, at, was[1], now[1]);
		if (bpf_skb_store_bytes(skb, at, now, 8, 0) < 0)
			return 0;
	}
	return 1;
}

static __always_inline int translate_in(struct __sk_buff *skb, const struct packet *p,
					struct slot *slot)
{
	__u32 seen = bpf_ntohl(p->tcp.ack), ack = seen, snd_nxt = READ_ONCE(slot->snd_nxt);
	__u32 l4 = p->l4;
	struct diff d = {};
	struct options opt;
	bool ok = true;

	/* The client may have got more bytes from the old socket than the new one
	 * has sent; the kernel would refuse an ACK of those. */
	if (after(ack, snd_nxt)) {
		ack = snd_nxt;
		count(STAT_ACK_CLAMPED);
	}
	/* Nor does the kernel accept an ACK below the new socket's first byte: it would
	 * drop the segment's data as well. */
	if (after(slot->base, ack)) {
		ack = slot->base;
		count(STAT_ACK_CLAMPED);
	}
	ack -= slot->delta;
	if (ack != seen) {
		change32(&d, 0, p->tcp.ack, bpf_htonl(ack));
		ok &= put32(skb, l4 + TCP_ACK, ack);
	}
	if (slot->flags & (TS | SACK)) {
		find_options(skb, p, &opt);
		/* TSecr 0 echoes nothing. */
		if (opt.ts && opt.tsecr && slot->ts_delta) {
			__u32 tsecr = bpf_ntohl(opt.tsecr) - slot->ts_delta;

			change32(&d, opt.ts + 4 - l4, opt.tsecr, bpf_htonl(tsecr));
			ok &= put32(skb, opt.ts + 4, tsecr);
		}
		if (opt.sack && slot->delta)
			ok &= translate_sack(skb, opt.sack, opt.blocks, slot->delta, &d);
	}
	if (d.sum)
		ok &= apply(skb, l4 + TCP_CSUM, &d);
	if (ok)
		return PASS;
	count(STAT_REWRITE_FAILS);
	return HELD;
}

/* forwarded says whether this host forwards a packet for a service's port rather than deliver
 * it locally. Packets that a rule set redirects to a transparent listener (TPROXY) have routes off this
 * host: the two cases cannot be distinguished here, so such a service has its port at all addresses. */
__noinline int forwarded(struct __sk_buff *skb, const struct flow_key *key, __u32 state)
{
	struct bpf_fib_lookup fib = {};

	if (!key || state & SERVICE_TRANSPARENT)
		return 0;
	fib.ifindex = skb->ingress_ifindex ? skb->ingress_ifindex : skb->ifindex;
	fib.l4_protocol = IP_TCP;
	fib.sport = key->cport;
	fib.dport = key->sport;
	if (key->server[0] || key->server[1] || key->server[2] != bpf_htonl(0xffff)) {
		fib.family = AF_INET6;
		copy_v6(fib.ipv6_src, key->client);
		copy_v6(fib.ipv6_dst, key->server);
	} else {
		fib.family = AF_INET;
		fib.ipv4_src = key->client[3];
		fib.ipv4_dst = key->server[3];
	}
	switch (bpf_fib_lookup(skb, &fib, sizeof(fib), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
	case BPF_FIB_LKUP_RET_UNSUPP_LWT:
		return 1;
	}
	return 0; /* local, or no route */
}

#define AE 0x100 /* in the word at TCP_FLAGS (RFC 9768) */

/* clear_ae removes the offer of Accurate ECN from a SYN: the rest offers ECN (RFC 3168), and
 * both ends then agree on that. With Accurate ECN every segment would count the marks
 * received, which neither the engine nor a socket that replaces another one knows. */
static __always_inline bool clear_ae(struct __sk_buff *skb, const struct packet *p)
{
	__u16 was = p->tcp.doff << 8 | p->tcp.flags, now = was & ~AE;
	struct diff d = {};

	change16(&d, TCP_FLAGS, bpf_htons(was), bpf_htons(now));
	return was == now ||
	       (put16(skb, p->l4 + TCP_FLAGS, now) && apply(skb, p->l4 + TCP_CSUM, &d));
}

/* ingress_syn judges a SYN. After PASS the connection's rules apply. */
static __always_inline int ingress_syn(struct __sk_buff *skb, const struct packet *p, __u32 state)
{
	__u32 len = tcp_header_len(p) - sizeof(struct tcp_hdr);
	int found;

	if (forwarded(skb, &p->key, state))
		return PASS;
	found = len ? screen_syn(skb, p->l4, len) : 0;
	if (found == SYN_REFUSED) {
		report(skb, EVENT_REFUSED, NO_SLOT, p->l3, p->end);
		count(STAT_SYN_REFUSED);
		return HELD;
	}
	if (found < 0 || !clear_ae(skb, p)) {
		count(STAT_REWRITE_FAILS);
		return HELD;
	}
	if (found == SYN_STRIPPED)
		count(STAT_SYN_STRIPPED);
	if ((state & SERVICE_STATE) == SERVICE_HOLD ||
	    ((state & SERVICE_STATE) == SERVICE_OUTAGE && !engine_dead())) {
		count(STAT_SYN_HELD);
		return HELD;
	}
	return PASS;
}

/* is_retransmission says whether the client retransmits, perhaps because its ACK waits for the log,
 * what the kernel has received in a connection that the server has closed. The socket may be
 * gone, and from the first segment after a SYN cookie, or from a late ACK, the listener
 * would make another connection. The kernel would only answer such a segment; the core does it instead.
 * If the process has crashed, any segment may be the first one; the
 * engine, which has it from the tap, will learn of the crash soon. */
static __always_inline bool is_retransmission(const struct packet *p, const struct slot *slot)
{
	__u32 seq = bpf_ntohl(p->tcp.seq), ack = READ_ONCE(slot->ack), end;

	if (p->fragment || !(slot->flags & COOKIE) || p->tcp.flags & (SYN | RST))
		return false;
	if (slot->released == RELEASED_CRASHED)
		return true;
	if (!(slot->fin & 1) || !after(ack, seq))
		return false;
	end = seq + (p->end - p->l4 - tcp_header_len(p)) + !!(p->tcp.flags & FIN);
	return !after(end, ack);
}

/* short_fragment judges a first fragment without a whole TCP header: it can't be
 * translated, and does not occur in practice (RFC 1858). */
__noinline int short_fragment(struct __sk_buff *skb, struct packet *p)
{
	__be16 ports[2];
	__u32 *state;

	if (!p || bpf_skb_load_bytes(skb, p->l4, ports, sizeof(ports)) < 0)
		return PASS;
	state = service_of(ports[1]);
	if (!state)
		return PASS;
	p->key.cport = ports[0];
	p->key.sport = ports[1];
	if (forwarded(skb, &p->key, *state))
		return PASS;
	count(STAT_SHORT_FRAGMENT);
	return HELD;
}

static __always_inline int ingress_tcp(struct __sk_buff *skb, struct packet *p)
{
	struct slot *slot;
	__u32 *state, *index, mode;

	if (!load_tcp(skb, TO_SERVER, p))
		return p->fragment ? short_fragment(skb, p) : PASS;
	state = service_of(p->tcp.dport);
	if (!state)
		return PASS;
	if (!tcp_valid(skb, p)) {
		if (p->fragment)
			return short_fragment(skb, p);
		count(STAT_MALFORMED);
		return PASS;
	}
	if ((p->tcp.flags & (SYN | ACK)) == SYN && ingress_syn(skb, p, *state) != PASS)
		return HELD;
	index = bpf_map_lookup_elem(&conns, &p->key);
	slot = index ? bpf_map_lookup_elem(&slots, index) : NULL;
	if (!slot && proves(index))
		return proof_in(skb, p);
	if (!slot) {
		if ((*state & SERVICE_STATE) != SERVICE_HOLD || forwarded(skb, &p->key, *state))
			return PASS;
		count(STAT_OUTAGE_IN);
		return HELD;
	}
	mode = READ_ONCE(slot->mode);
	if (mode == MODE_OUTAGE || mode == MODE_SPOOF || mode == MODE_ROLL) {
		if (!is_open(slot)) {
			slot->held_in++;
			if (!slot->iif)
				slot->iif = skb->ifindex;
			count(STAT_OUTAGE_IN);
			return HELD;
		}
		if (mode != MODE_OUTAGE)
			return PASS; /* there is no translation yet */
	}
	if (mode == MODE_LIVE && is_retransmission(p, slot) && !is_open(slot)) {
		count(STAT_OUTAGE_IN);
		return HELD;
	}
	/* Of stacked devices the last one that sees it counts. */
	if (slot->iif != skb->ifindex)
		slot->iif = skb->ifindex;
	if (mode == MODE_FREE || !(slot->flags & XLATE) || !(p->tcp.flags & ACK))
		return PASS;
	if (translate_in(skb, p, slot) != PASS)
		return HELD;
	skb->tc_index = JUDGED_IN;
	return PASS;
}

static __always_inline int ingress(struct __sk_buff *skb, __u32 l3)
{
	struct packet p;

	if (skb->tc_index == JUDGED_IN || !parse_ip(skb, l3, TO_SERVER, &p))
		return PASS;
	/* The first fragment of a segment has all that is judged and
	 * translated. The stack cannot reassemble the segment without it. */
	if (p.protocol == IP_TCP)
		return carries(skb) ? PASS : ingress_tcp(skb, &p);
	if (p.fragment)
		return PASS;
	if (p.protocol == IP_ICMP || p.protocol == IP_ICMPV6)
		return icmp_in(skb, p.l4, p.protocol) ? PASS : HELD;
	return PASS;
}

#endif
