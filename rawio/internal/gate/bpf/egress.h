/* Server to client: which packets may leave, and how they are translated. */
#ifndef FTNET_EGRESS_H
#define FTNET_EGRESS_H

#include "event.h"
#include "icmp.h"
#include "options.h"
#include "output.h"
#include "own.h"
#include "proof.h"
#include "release.h"
#include "translate.h"

/* A judged segment's fields, and their new values. */
struct segment {
	__u32 seq, end; /* client-visible */
	__u32 ack, edge;
	__u32 out_ack;
	__u16 window, out_window;
	__u32 payload;
	bool carries; /* payload, FIN or RST: it cannot be held for its ACK alone */
	bool strip;   /* remove SACK */
	struct options opt;
};

static __always_inline void read_segment(const struct packet *p, const struct slot *slot,
					 struct segment *s)
{
	__u32 flags = p->tcp.flags;

	s->payload = p->end - p->l4 - tcp_header_len(p);
	s->seq = bpf_ntohl(p->tcp.seq);
	if (slot->flags & XLATE)
		s->seq += slot->delta;
	s->end = s->seq + s->payload + !!(flags & SYN) + !!(flags & FIN);
	s->ack = s->out_ack = bpf_ntohl(p->tcp.ack);
	s->window = s->out_window = bpf_ntohs(p->tcp.window);
	s->edge = s->ack + ((__u32)s->window << (slot->kscale & 15));
	s->carries = s->payload || flags & (FIN | RST);
	s->strip = false;
}

/* hold notes that an ACK is about to be held. Exchange and compare-and-exchange
 * are full barriers: the engine writes stable and then reads held, the gate
 * writes held and then reads stable again, so at least one of the two sees the other's write. */
static __always_inline void hold(struct slot *slot) { __sync_lock_test_and_set(&slot->held, 1); }

static __always_inline bool take_held(struct slot *slot)
{
	return __sync_val_compare_and_swap(&slot->held, 1, 0) == 1;
}

/* judge_ack decides about the ACK number; false: hold the segment. */
static __always_inline bool judge_ack(const struct packet *p, struct slot *slot, struct segment *s,
				      __u32 previous)
{
	__u32 stable = READ_ONCE(slot->stable);

	if (!after(s->ack, stable)) {
		/* This segment carries the ACK number that was held, unless it was
		 * overtaken on its way here. */
		if (READ_ONCE(slot->held) && !after(previous, s->ack))
			take_held(slot);
		return true;
	}
	if (open_slot(slot)) {
		take_held(slot);
		return true;
	}
	slot->hflags = (slot->hflags & ~0xff) | (p->tcp.flags & (ECE | CWR));
	hold(slot);
	stable = READ_ONCE(slot->stable);
	if (!after(s->ack, stable)) {
		if (take_held(slot))
			return true;
	} else if (s->carries) {
		s->out_ack = stable;
	}
	return s->carries;
}

/* judge_sack ensures that no SACK block that leaves covers bytes that the tap has not seen;
 * false: hold the segment. */
static __always_inline bool judge_sack(struct __sk_buff *skb, const struct packet *p,
				       struct slot *slot, struct segment *s)
{
	__u32 high = READ_ONCE(slot->high), top = high;
	__be32 right;

	for (__u32 i = 0; i < MAX_BLOCKS && i < s->opt.blocks; i++) {
		if (bpf_skb_load_bytes(skb, s->opt.sack + 6 + 8 * i, &right, sizeof(right)) < 0)
			break;
		if (after(bpf_ntohl(right), top))
			top = bpf_ntohl(right);
	}
	if (top == high || is_open(slot))
		return true;
	if (s->carries) {
		s->strip = true;
		return true;
	}
	slot->hflags = (slot->hflags & ~0xff) | (p->tcp.flags & (ECE | CWR));
	hold(slot);
	return !after(top, READ_ONCE(slot->high)) && take_held(slot);
}

/* fit_window sets the window so that its right edge stays where the kernel has put it although
 * the ACK number was lowered, or is at the limit, in the scale of the
 * client's handshake. */
static __always_inline void fit_window(const struct slot *slot, struct segment *s, bool limited)
{
	__u32 edge = s->edge, room;

	if (limited && slot->flags & LIMIT && after(edge, slot->limit) && !is_open(slot)) {
		edge = slot->limit;
		count(STAT_LIMITED);
	} else if (s->out_ack == s->ack && slot->kscale == slot->cscale) {
		return;
	}
	room = after(edge, s->out_ack) ? (edge - s->out_ack) >> (slot->cscale & 15) : 0;
	s->out_window = room > 65535 ? 65535 : room;
}

/* strip_sack overwrites the SACK option by NOPs. */
__noinline int strip_sack(struct __sk_buff *skb, __u32 at, __u32 blocks, struct diff *d)
{
	const __u8 nops[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
	__be32 was[2];
	__be16 head;

	if (!d || bpf_skb_load_bytes(skb, at, &head, 2) < 0 ||
	    bpf_skb_store_bytes(skb, at, nops, 2, 0) < 0)
		return 0;
	change16(d, at, head, 0x0101);
	at += 2;
	for (__u32 i = 0; i < MAX_BLOCKS && i < blocks; i++, at += 8) {
		if (bpf_skb_load_bytes(skb, at, was, 8) < 0 ||
		    bpf_skb_store_bytes(skb, at, nops, 8, 0) < 0)
			return 0;
		change32(d, at, was[0], 0x01010101);
		change32(d, at, was[1], 0x01010101);
	}
	return 1;
}

/* rewrite_out stores the new values of s in the packet. Helpers are called only for fields that
 * differ; for an untranslated connection there usually are none. */
static __always_inline int rewrite_out(struct __sk_buff *skb, const struct packet *p,
				       const struct slot *slot, const struct segment *s)
{
	__u32 l4 = p->l4, seq = bpf_ntohl(p->tcp.seq);
	struct diff d = {};
	bool ok = true;

	if (s->seq != seq) {
		change32(&d, 0, p->tcp.seq, bpf_htonl(s->seq));
		ok &= put32(skb, l4 + TCP_SEQ, s->seq);
	}
	if (s->out_ack != s->ack) {
		change32(&d, 0, p->tcp.ack, bpf_htonl(s->out_ack));
		ok &= put32(skb, l4 + TCP_ACK, s->out_ack);
	}
	if (s->out_window != s->window) {
		change16(&d, 0, p->tcp.window, bpf_htons(s->out_window));
		ok &= put16(skb, l4 + TCP_WINDOW, s->out_window);
	}
	if (s->opt.ts && slot->flags & XLATE && slot->ts_delta) {
		__u32 tsval = bpf_ntohl(s->opt.tsval) + slot->ts_delta;

		change32(&d, s->opt.ts - l4, s->opt.tsval, bpf_htonl(tsval));
		ok &= put32(skb, s->opt.ts, tsval);
	}
	if (s->strip) {
		count(STAT_SACK_REMOVED);
		ok &= strip_sack(skb, s->opt.sack, s->opt.blocks, &d);
	}
	if (d.sum)
		ok &= apply(skb, l4 + TCP_CSUM, &d);
	if (ok)
		return PASS;
	count(STAT_REWRITE_FAILS);
	return HELD;
}

/* is_probe says whether a segment without data is a window probe or a keepalive of the kernel rather
 * than an answer: its number is SND.NXT - 1 (tcp_xmit_probe_skb). After a FIN that a
 * predecessor has sent, so is the number of every segment of a socket that has yet to send the FIN. */
static __always_inline bool is_probe(const struct slot *slot, const struct segment *s)
{
	return s->seq + 1 == slot->snd_nxt && !(slot->fin & 1);
}

/* record notes the fields of the kernel's newest segment. One that was overtaken on its way
 * here by a later ACK (veth reorders, and two CPUs may send on one connection) is ignored:
 * with its ACK number the engine would not acknowledge to the client what is stable already. */
static __always_inline void record(const struct packet *p, struct slot *slot,
				   const struct segment *s)
{
	if (after(s->end, slot->snd_nxt))
		slot->snd_nxt = s->end;
	if (p->tcp.flags & ACK) {
		if (after(slot->ack, s->ack))
			return;
		slot->ack = s->ack;
		slot->edge = s->edge;
	}
	if (s->opt.ts) {
		slot->tsval = bpf_ntohl(s->opt.tsval) + (slot->flags & XLATE ? slot->ts_delta : 0);
		slot->tsecr = bpf_ntohl(s->opt.tsecr);
	}
}

#define FIN_RST 2    /* in slot.fin: a meant RST has passed */
#define FIN_CLOSED 4 /* the engine has noted a meant release, and has cleared slot.released */

/* meant_fin says whether the FIN of s is meant: the application has announced it, or announces
 * nothing and did not crash; or the FIN is a retransmission of
 * one that was meant. */
static __always_inline bool meant_fin(struct __sk_buff *skb, struct slot *slot,
				      const struct segment *s, __u32 index)
{
	if (slot->fin & 1 && slot->fin_end == s->end)
		return true;
	if (slot->flags & UNMODIFIED && !slot->released)
		return slot->fin & FIN_CLOSED || unnoted_end(skb, slot, index) == END_MEANT;
	if (slot->flags & UNMODIFIED)
		return slot->released == RELEASED_CLOSED;
	return skb->priority == PRIO_CLOSE || skb->priority == PRIO_SHUT;
}

/* unmodified_rst judges an RST of a server that announces nothing. */
static __always_inline enum end unmodified_rst(struct __sk_buff *skb, struct slot *slot,
					       __u32 index, __u32 flags)
{
	/* Without an ACK it answers a segment, perhaps one that the client retransmits
	 * because the ACK of it was held. */
	if (!(flags & ACK))
		return END_STRAY;
	if (slot->released)
		return slot->released == RELEASED_CLOSED ? END_MEANT : END_STRAY;
	return slot->fin & FIN_CLOSED ? END_MEANT : unnoted_end(skb, slot, index);
}

static __always_inline enum end judge_rst(struct __sk_buff *skb, const struct packet *p,
					  struct slot *slot, __u32 index)
{
	if (slot->fin & FIN_RST) /* the client may have missed that one */
		return END_MEANT;
	if (slot->flags & UNMODIFIED)
		return unmodified_rst(skb, slot, index, p->tcp.flags);
	return skb->priority == PRIO_CLOSE ? END_MEANT : END_STRAY;
}

/* record_output captures a segment, so that no output leaves that the engine cannot compare;
 * false: hold the segment, TCP retransmits it. The segment is captured as the
 * kernel made it: later changes do not concern the payload. */
static __always_inline bool record_output(struct __sk_buff *skb, const struct packet *p,
					  const struct slot *slot, __u32 index, __u32 seq)
{
	struct output_head head = {
		.kind = OUTPUT_SENT,
		.slot = index,
		.gen = slot->gen,
		.seq = seq,
		.length = p->end - p->l3,
	};

	if (capture(skb, &head, p->l3)) {
		count(STAT_RECORDED);
		return true;
	}
	count(STAT_UNRECORDED);
	return false;
}

/* ended says whether the process has closed the connection on purpose: the client's further data will
 * never be read, so it need not be logged. */
static __always_inline bool ended(const struct slot *slot)
{
	return slot->flags & UNMODIFIED && slot->released == RELEASED_CLOSED;
}

/* new_synack says whether a SYN-ACK is of a connection that the client has begun
 * in place of the slot's, or of a half-open one that the kernel has forgotten, rather
 * than a retransmission of the slot's own socket. */
static __always_inline bool new_synack(const struct packet *p, const struct slot *slot, __u32 mode)
{
	if (mode == MODE_SPOOF || mode == MODE_ROLL)
		return true; /* or it answers the engine's SYN, and there is no engine */
	if (slot->flags & XLATE)
		return bpf_ntohl(p->tcp.seq) + slot->delta + 1 != slot->base;
	return bpf_ntohl(p->tcp.ack) != slot->irs + 1 || bpf_ntohl(p->tcp.seq) + 1 != slot->snd_nxt;
}

/* hold_synack reports and holds a SYN-ACK. The kernel sends a SYN cookie without a socket:
 * there is none before the client's ACK. If the ring buffer is full, because so many connections begin
 * that the engine does not keep up, SYN cookies pass: the engine finds the connection later, and no
 * client is kept out. */
static __always_inline int hold_synack(struct __sk_buff *skb, const struct packet *p, __u32 index)
{
	bool cookie = !skb->sk;

	if (!report(skb, cookie ? EVENT_COOKIE : EVENT_SYNACK, index, p->l3, p->end) && cookie &&
	    index == NO_SLOT)
		return PASS;
	count(STAT_SYNACK_HELD);
	return HELD;
}

static __always_inline int egress_live(struct __sk_buff *skb, const struct packet *p,
				       struct slot *slot, __u32 index)
{
	__u32 flags = p->tcp.flags, previous = slot->ack;
	struct segment s;

	read_segment(p, slot, &s);
	if (flags & SYN) {
		/* A retransmission may pass, but not one of a translated
		 * connection's socket, whose number is not the client's. */
		if (flags & ACK && (slot->flags & XLATE || new_synack(p, slot, MODE_LIVE)))
			return hold_synack(skb, p, index);
		return PASS;
	}
	if (flags & RST) {
		enum end end = judge_rst(skb, p, slot, index);

		if (end != END_MEANT && !open_slot(slot)) {
			if (end == END_STRAY)
				report(skb, EVENT_RST_HELD, index, p->l3, p->end);
			count(STAT_RST_HELD);
			return HELD;
		}
		if (end == END_MEANT)
			slot->fin |= FIN_RST;
		report(skb, EVENT_RST_SENT, index, p->l3, p->end);
	} else if (flags & FIN) {
		if (!meant_fin(skb, slot, &s, index) && !open_slot(slot)) {
			report(skb, EVENT_FIN_HELD, index, p->l3, p->end);
			count(STAT_FIN_HELD);
			return HELD;
		}
	}
	/* From here on a segment with payload leaves. */
	if (slot->flags & RECORD && s.payload && !ended(slot) &&
	    !record_output(skb, p, slot, index, s.seq) && !open_slot(slot))
		return HELD;
	if ((flags & (FIN | RST)) == FIN && !(slot->fin & 1)) {
		slot->fin_end = s.end;
		slot->fin |= 1;
	}
	if (slot->flags & (TS | SACK))
		find_options(skb, p, &s.opt);
	else
		__builtin_memset(&s.opt, 0, sizeof(s.opt));
	record(p, slot, &s);
	if (flags & ACK && ended(slot) && !(slot->flags & LASTING)) {
		take_held(slot);
		fit_window(slot, &s, false);
	} else if (flags & ACK) {
		if (!judge_ack(p, slot, &s, previous)) {
			if (!is_probe(slot, &s))
				slot->hflags += BARE_ACK;
			count(STAT_ACK_HELD);
			return HELD;
		}
		if (s.opt.sack && !judge_sack(skb, p, slot, &s)) {
			count(STAT_SACK_HELD);
			return HELD;
		}
		if (s.out_ack != s.ack)
			count(STAT_ACK_LOWERED);
		fit_window(slot, &s, true);
	}
	return rewrite_out(skb, p, slot, &s);
}

/* egress_open translates without judging: the connection is no longer protected,
 * but its client still uses the original numbers. */
static __always_inline int egress_open(struct __sk_buff *skb, const struct packet *p,
				       struct slot *slot)
{
	struct segment s;

	if (!(slot->flags & XLATE))
		return PASS;
	read_segment(p, slot, &s);
	find_options(skb, p, &s.opt);
	record(p, slot, &s);
	if (!(p->tcp.flags & SYN) && p->tcp.flags & ACK)
		fit_window(slot, &s, false);
	return rewrite_out(skb, p, slot, &s);
}

/* egress_roll captures and holds everything: the engine plays the client. */
static __always_inline int egress_roll(struct __sk_buff *skb, const struct packet *p,
				       const struct slot *slot, __u32 index)
{
	struct output_head head = {
		.kind = OUTPUT_ROLL,
		.slot = index,
		.gen = slot->gen,
		.seq = bpf_ntohl(p->tcp.seq),
		.length = p->end - p->l3,
	};

	count(capture(skb, &head, p->l3) ? STAT_ROLLED : STAT_UNRECORDED);
	return HELD;
}

/* refuses_syn says whether this is the kernel's answer to a SYN for a port without a
 * listener (RFC 9293, section 3.10.7.1): the listener is gone, perhaps
 * in a crash that was not reported yet. */
static __always_inline bool refuses_syn(const struct packet *p)
{
	return (p->tcp.flags & (SYN | ACK | RST)) == (ACK | RST) && p->tcp.seq == 0;
}

/* refuses_again says the same where there is a connection of the same endpoints:
 * its client has not got the SYN-ACK and has retransmitted its SYN, or has begun another
 * connection. A RST of the connection's own socket has that socket's SND.NXT as its number;
 * if that is 0, the ACK number shows whether it is of a new connection. In an outage
 * everything is held anyway. */
static __always_inline bool refuses_again(const struct packet *p, const struct slot *slot, __u32 mode)
{
	__u32 zero = slot->flags & XLATE ? slot->delta : 0;

	if (mode != MODE_LIVE && mode != MODE_OPEN && mode != MODE_FREE)
		return false;
	if (READ_ONCE(slot->snd_nxt) != zero)
		return true;
	return mode == MODE_LIVE && slot->fin & 1 && bpf_ntohl(p->tcp.ack) != slot->ack;
}

/* passes is the verdict on a packet that leaves because the engine is dead. */
static __always_inline int passes(void)
{
	count(STAT_OPENED);
	return PASS;
}

/* answers says whether an RST answers a segment for which there is no socket: its numbers are from
 * that segment, not from a socket. */
static __always_inline bool answers(const struct packet *p)
{
	return (p->tcp.flags & (SYN | ACK | RST)) == RST;
}

/* unfollowed deals with output that the engine can't send again or translate:
 * urgent data, which a roll-forward would put into the stream, or fragments, whose
 * segment's length is not known here. The connection continues unprotected, if it can. */
static __always_inline int unfollowed(struct __sk_buff *skb, const struct packet *p,
				      struct slot *slot, __u32 index)
{
	count(STAT_UNFOLLOWED);
	report(skb, EVENT_UNFOLLOWED, index, p->l3, p->end);
	if (p->fragment && slot->flags & XLATE)
		return HELD;
	if (!slot->opened) /* the report may be lost */
		slot->opened = p->fragment ? OPENED_FRAGMENT : OPENED_URGENT;
	return PASS;
}

/* judge_egress judges a segment that has a service's port as its source. */
static __always_inline int judge_egress(struct __sk_buff *skb, const struct packet *p, __u32 state,
					struct slot *slot, const __u32 *index)
{
	bool synack = (p->tcp.flags & (SYN | ACK)) == (SYN | ACK);
	__u32 mode = slot ? READ_ONCE(slot->mode) : MODE_FREE;

	/* Packets that this host only forwards are not of its service, and have no slot. */
	if (!slot && skb->ingress_ifindex)
		return PASS;
	if (!slot && (state & SERVICE_STATE) == SERVICE_HOLD) {
		count(STAT_OUTAGE_OUT);
		return HELD;
	}
	if (refuses_syn(p) && (!slot || refuses_again(p, slot, mode))) {
		if (engine_dead())
			return passes();
		report(skb, EVENT_RST_HELD, NO_SLOT, p->l3, p->end);
		count(STAT_RST_HELD);
		return HELD;
	}
	if (!slot) {
		if (!synack)
			return PASS;
		if (engine_dead())
			return passes();
		return hold_synack(skb, p, NO_SLOT);
	}
	if (mode == MODE_FREE)
		return PASS;
	slot->egress++;
	if (synack && new_synack(p, slot, mode) && engine_dead()) {
		/* Otherwise it would be judged by the slot of the old connection. */
		bpf_map_delete_elem(&conns, &p->key);
		return passes();
	}
	if ((p->fragment && (mode == MODE_LIVE || mode == MODE_OPEN)) ||
	    (p->tcp.flags & URG && mode == MODE_LIVE && !slot->opened)) {
		int verdict = unfollowed(skb, p, slot, index ? *index : NO_SLOT);

		if (p->fragment)
			return verdict;
	}
	if (mode == MODE_LIVE)
		return egress_live(skb, p, slot, index ? *index : NO_SLOT);
	if (mode == MODE_OPEN || (mode == MODE_OUTAGE && open_slot(slot)))
		return egress_open(skb, p, slot);
	/* Otherwise the socket's numbers are not yet the client's. */
	if (mode != MODE_OUTAGE && answers(p) && open_slot(slot))
		return PASS;
	if (mode == MODE_ROLL)
		return egress_roll(skb, p, slot, index ? *index : NO_SLOT);
	if (mode == MODE_SPOOF && synack)
		return hold_synack(skb, p, index ? *index : NO_SLOT);
	count(STAT_OUTAGE_OUT);
	return HELD;
}

/* egress_own passes the engine's packets. Those to the server must not
 * leave the host, whatever the routes are. */
static __always_inline int egress_own(struct __sk_buff *skb, __u32 to, __u32 l3)
{
	if (to == OWN_TO_CLIENT) {
		skb->tc_index = JUDGED_OUT;
		if (!l3 || skb->ifindex == LOOPBACK || addressed(skb))
			return PASS;
		/* It leaves by this device, otherwise as the kernel's routes and neighbours
		 * say, and comes here again with link-layer addresses. */
		return bpf_redirect_neigh(skb->ifindex, NULL, 0, 0);
	}
	if (to == OWN_TURNS) {
		__u32 device = own_turns(skb, l3);

		if (device)
			return turn(skb, device);
	} else if (skb->ifindex == LOOPBACK) {
		seal(skb);
		return PASS;
	}
	count(STAT_MISROUTED);
	return HELD;
}

/* unmark restores the priority that a server which calls ftnet.Listen has changed to announce
 * the end of a connection: its remaining data is sent with that priority too, and
 * the queueing discipline behind the gate would give it another class than before. */
static __always_inline void unmark(struct __sk_buff *skb, struct slot *slot, __u32 state)
{
	__u32 priority = skb->priority;

	if (state & SERVICE_UNMODIFIED)
		return;
	if (priority == PRIO_CLOSE || priority == PRIO_SHUT)
		skb->priority = slot ? slot->priority : 0;
	else if (slot && slot->priority != priority)
		slot->priority = priority;
}

/* note_way_out notes the device and mark with which the kernel's packets leave, behind all hooks of
 * rule sets: the engine's packets use the same. */
static __always_inline void note_way_out(const struct __sk_buff *skb, struct slot *slot)
{
	if (slot->oif != skb->ifindex)
		slot->oif = skb->ifindex;
	if (slot->mark != skb->mark)
		slot->mark = skb->mark;
}

/* note_alias notes a port that is not a service's, but whose SYN-ACK the kernel sends for a
 * service's listener. */
static __always_inline void note_alias(struct __sk_buff *skb, __be16 sport)
{
	struct bpf_sock *sk = skb->sk, *listener = sk ? bpf_get_listener_sock(sk) : NULL;
	__u16 port = bpf_ntohs(sport), at, *known;

	if (!listener)
		return;
	at = listener->src_port;
	if (at == port || !service_of(bpf_htons(at)))
		return;
	known = bpf_map_lookup_elem(&aliases, &port);
	if (!known || *known != at)
		bpf_map_update_elem(&aliases, &port, &at, BPF_ANY);
}

static __always_inline int egress_tcp(struct __sk_buff *skb, struct packet *p)
{
	struct slot *slot;
	__u32 *state, *index;
	int verdict;

	if (!load_tcp(skb, TO_CLIENT, p))
		return PASS;
	state = service_of(p->tcp.sport);
	if (!state) {
		if ((p->tcp.flags & (SYN | ACK)) == (SYN | ACK))
			note_alias(skb, p->tcp.sport);
		return PASS;
	}
	if (!tcp_valid(skb, p)) {
		count(STAT_MALFORMED);
		return PASS;
	}
	index = bpf_map_lookup_elem(&conns, &p->key);
	slot = index ? bpf_map_lookup_elem(&slots, index) : NULL;
	if (!slot && proves(index))
		return proof_out(skb, p);
	if (slot)
		note_way_out(skb, slot);
	verdict = judge_egress(skb, p, *state, slot, index);
	if (verdict == PASS) {
		unmark(skb, slot, *state);
		if (slot)
			skb->tc_index = JUDGED_OUT;
	}
	return verdict;
}

static __always_inline int egress(struct __sk_buff *skb, __u32 l3)
{
	struct packet p;

	if (skb->tc_index == JUDGED_OUT || !parse_ip(skb, l3, TO_CLIENT, &p))
		return PASS;
	if (p.protocol == IP_TCP) {
		__u32 to = sent_by(skb);

		if (to)
			return egress_own(skb, to, l3);
		return carries(skb) ? PASS : egress_tcp(skb, &p);
	}
	if (p.fragment)
		return PASS;
	if (p.protocol == IP_ICMP || p.protocol == IP_ICMPV6)
		return icmp_out(skb, p.l4, p.protocol) ? HELD : PASS;
	return PASS;
}

#endif
