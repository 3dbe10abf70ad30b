/* The tap's socket filter: client-to-server segments of the services. */
#ifndef FTNET_TAP_H
#define FTNET_TAP_H

#include "own.h"

#define PACKET_OUTGOING 4
#define WHOLE 0xffffffff

#define load_net(skb, at, to, len) \
	bpf_skb_load_bytes_relative(skb, at, to, len, BPF_HDR_START_NET)

/* Hosts that have sent the first fragment of a segment for a service. Other fragments have no
 * ports: the tap gets those that are from the same host to the same address. */
struct pair {
	__be32 client[4], server[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct pair);
	__type(value, __u8);
} fragmenting SEC(".maps");

/* What the tap's filter has read of a packet. */
struct tapped {
	struct pair pair;
	__u32 l4;      /* offset of the TCP header from the IP header */
	bool fragment; /* the first of several */
	bool later;    /* another one */
};

static __always_inline bool tap_v4(struct __sk_buff *skb, struct tapped *t)
{
	struct ipv4_hdr v4;

	if (load_net(skb, 0, &v4, sizeof(v4)) < 0 || v4.protocol != IP_TCP)
		return false;
	t->l4 = (v4.version_ihl & 15) * 4;
	t->fragment = v4.fragment & bpf_htons(V4_MORE);
	t->later = v4.fragment & bpf_htons(V4_OFFSET);
	map_v4(t->pair.client, v4.src);
	map_v4(t->pair.server, v4.dst);
	return true;
}

static __always_inline bool tap_v6(struct __sk_buff *skb, struct tapped *t)
{
	struct ipv6_hdr v6;
	__u8 head[4], next;
	__u32 field;

	if (load_net(skb, 0, &v6, sizeof(v6)) < 0)
		return false;
	copy_v6(t->pair.client, v6.src);
	copy_v6(t->pair.server, v6.dst);
	t->l4 = sizeof(v6);
	next = v6.next;
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		if (next != IP_HOPOPTS && next != IP_ROUTING && next != IP_DSTOPTS &&
		    next != IP_FRAGMENT)
			break;
		if (load_net(skb, t->l4, head, sizeof(head)) < 0)
			return false;
		if (next == IP_FRAGMENT) {
			field = (__u32)head[2] << 8 | head[3];
			if (field & V6_OFFSET) {
				t->later = true;
				return head[0] == IP_TCP || head[0] == IP_DSTOPTS;
			}
			t->fragment |= field & V6_MORE;
			t->l4 += 8;
		} else {
			t->l4 += ((__u32)head[1] + 1) * 8;
		}
		next = head[0];
	}
	return next == IP_TCP;
}

static __always_inline __u32 tap_filter(struct __sk_buff *skb)
{
	struct tapped t = {};
	__be16 ports[2];
	__u8 one = 1;
	bool tcp;

	if (sealed(skb) || skb->tc_index == JUDGED_IN || skb->pkt_type == PACKET_OTHERHOST ||
	    skb->pkt_type == PACKET_OUTGOING)
		return 0;
	if (skb->protocol == bpf_htons(PROTO_IPV4))
		tcp = tap_v4(skb, &t);
	else if (skb->protocol == bpf_htons(PROTO_IPV6))
		tcp = tap_v6(skb, &t);
	else
		return 0;
	if (!tcp)
		return 0;
	if (t.later)
		return bpf_map_lookup_elem(&fragmenting, &t.pair) ? WHOLE : 0;
	if (load_net(skb, t.l4, ports, sizeof(ports)) < 0 || !service_of(ports[1]))
		return 0;
	if (t.fragment)
		bpf_map_update_elem(&fragmenting, &t.pair, &one, BPF_ANY);
	return WHOLE;
}

#endif
