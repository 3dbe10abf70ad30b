/* From a packet to its addresses, ports and TCP header. Reading never makes the
 * kernel linearize or unclone the packet. */
#ifndef FTNET_PARSE_H
#define FTNET_PARSE_H

#include "alive.h"

#define HELD TC_ACT_STOLEN
#define PASS TC_ACT_UNSPEC

#define ETH_LEN 14
#define VLAN_LEN 4
#define PROTO_IPV4 0x0800
#define PROTO_IPV6 0x86dd
#define PROTO_8021Q 0x8100
#define PROTO_8021AD 0x88a8

#define VLAN_ID 0x0fff

#define PACKET_OTHERHOST 3 /* skb->pkt_type */

#define IP_TCP 6
#define IP_ICMP 1
#define IP_ICMPV6 58
#define IP_HOPOPTS 0
#define IP_ROUTING 43
#define IP_FRAGMENT 44
#define IP_DSTOPTS 60
#define MAX_EXTENSIONS 8

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10
#define URG 0x20
#define ECE 0x40
#define CWR 0x80

struct ipv4_hdr {
	__u8 version_ihl, tos;
	__be16 total_len, id, fragment;
	__u8 ttl, protocol;
	__be16 check;
	__be32 src, dst;
};

struct ipv6_hdr {
	__be32 version_class_flow;
	__be16 payload_len;
	__u8 next, hops;
	__be32 src[4], dst[4];
};

struct tcp_hdr {
	__be16 sport, dport;
	__be32 seq, ack;
	__u8 doff, flags;
	__be16 window, check, urgent;
};

struct packet {
	__u32 l3;  /* offsets from skb->data: IP header, */
	__u32 l4;  /* transport header, */
	__u32 end; /* and the packet's end, without link-layer padding */
	__u32 protocol;
	bool fragment; /* the first of several: the datagram goes on elsewhere */
	struct flow_key key;
	struct tcp_hdr tcp;
};

#define MAX_DIRECT 512

/* load_header copies a header at offset at to the stack: from packet memory if
 * it lies in the linear part, as it nearly always does, which is several times
 * faster than by helper. */
#define load_header(skb, at, to)                                                         \
	({                                                                               \
		void *end_ = (void *)(long)(skb)->data_end;                              \
		typeof(to) from_ = (void *)(long)(skb)->data + ((at) & (MAX_DIRECT - 1)); \
		bool loaded_ = (at) < MAX_DIRECT && (void *)(from_ + 1) <= end_;         \
		if (loaded_)                                                             \
			*(to) = *from_;                                                  \
		else                                                                     \
			loaded_ = bpf_skb_load_bytes(skb, at, to, sizeof(*(to))) == 0;   \
		loaded_;                                                                 \
	})

enum direction { TO_CLIENT, TO_SERVER };

/* after says whether a is greater than b, compared serially. Of numbers that are 2^31 apart each is
 * after the other, here and in the model: an ACK that far ahead is held. */
static __always_inline bool after(__u32 a, __u32 b) { return (__s32)(b - a) < 0; }

static __always_inline void copy_v6(__be32 *to, const __be32 *from)
{
	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	to[3] = from[3];
}

static __always_inline void map_v4(__be32 *to, __be32 from)
{
	to[0] = 0;
	to[1] = 0;
	to[2] = bpf_htonl(0xffff);
	to[3] = from;
}

/* What lies in an IPv4 header's or an IPv6 fragment header's field. */
#define V4_OFFSET 0x1fff
#define V4_MORE 0x2000
#define V6_OFFSET 0xfff8
#define V6_MORE 1

/* skip_extensions skips the IPv6 extension headers that may precede TCP, at most
 * MAX_EXTENSIONS of them, from the offset at on, where one of type next is. It returns
 * where what follows begins, in the lower half, and above it what that is and whether the
 * packet is a fragment. It fails, with 0, for all fragments of a datagram but the first:
 * they have no ports.
 *
 * It is global, so that the kernel verifies it once, by itself, and what comes after it
 * once, rather than for every way through it: that halves the time in which a gate loads. */
#define EXTENSIONS_NEXT 32
#define EXTENSIONS_FRAGMENT (1ull << 40)
__noinline __u64 skip_extensions(struct __sk_buff *skb, __u32 at, __u8 next)
{
	__u64 fragment = 0;
	__u8 head[4];

	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		if (next != IP_HOPOPTS && next != IP_ROUTING && next != IP_DSTOPTS &&
		    next != IP_FRAGMENT)
			break;
		if (bpf_skb_load_bytes(skb, at, head, sizeof(head)) < 0)
			return 0;
		if (next == IP_FRAGMENT) {
			__u32 field = (__u32)head[2] << 8 | head[3];

			if (field & V6_OFFSET)
				return 0;
			if (field & V6_MORE)
				fragment = EXTENSIONS_FRAGMENT;
			at += 8;
		} else {
			at += ((__u32)head[1] + 1) * 8;
		}
		next = head[0];
	}
	return fragment | (__u64)next << EXTENSIONS_NEXT | at;
}

/* parse_ip reads the IP header at offset l3 and fills in everything but the
 * ports and the TCP header. It fails for what is not IP and for all fragments of a
 * datagram but the first. */
static __always_inline bool parse_ip(struct __sk_buff *skb, __u32 l3, enum direction dir,
				     struct packet *p)
{
	struct flow_key *key = &p->key;
	struct ipv4_hdr v4;

	if (!load_header(skb, l3, &v4))
		return false;
	p->l3 = l3;
	if (v4.version_ihl >> 4 == 4) {
		__u32 header = (v4.version_ihl & 15) * 4, total = bpf_ntohs(v4.total_len);

		if (header < sizeof(v4) || v4.fragment & bpf_htons(V4_OFFSET))
			return false;
		p->fragment = v4.fragment & bpf_htons(V4_MORE);
		p->protocol = v4.protocol;
		p->l4 = l3 + header;
		p->end = total ? l3 + total : skb->len; /* 0: a super-packet above 64 KiB */
		map_v4(key->client, dir == TO_CLIENT ? v4.dst : v4.src);
		map_v4(key->server, dir == TO_CLIENT ? v4.src : v4.dst);
		return true;
	}
	if (v4.version_ihl >> 4 == 6) {
		struct ipv6_hdr v6;
		__u32 total;
		__u8 next;

		if (!load_header(skb, l3, &v6))
			return false;
		p->l4 = l3 + sizeof(v6);
		total = bpf_ntohs(v6.payload_len);
		p->end = total ? p->l4 + total : skb->len;
		next = v6.next;
		p->fragment = false;
		if (next != IP_TCP && next != IP_ICMPV6) {
			__u64 skipped = skip_extensions(skb, p->l4, next);

			if (!skipped)
				return false;
			p->l4 = (__u32)skipped;
			next = skipped >> EXTENSIONS_NEXT;
			p->fragment = skipped & EXTENSIONS_FRAGMENT;
		}
		p->protocol = next;
		copy_v6(key->client, dir == TO_CLIENT ? v6.dst : v6.src);
		copy_v6(key->server, dir == TO_CLIENT ? v6.src : v6.dst);
		return true;
	}
	return false;
}

/* On stacked devices (a macvlan or ipvlan and its parent) a packet
 * passes the gate on each of them, and must be translated once: a packet that was judged by a slot
 * has an skb->tc_index, which no rule set of netfilter can copy or change. */
#define JUDGED_OUT 0x6674
#define JUDGED_IN 0x6675

/* network_offset returns where the IP header of an Ethernet frame is, or 0 if there is
 * none, or if it is a VLAN's frame: that passes the VLAN's own device as well. A
 * priority tag (ID 0) may be inline; a VLAN tag usually is in the skb's metadata. */
static __always_inline __u32 network_offset(struct __sk_buff *skb)
{
	__be16 proto = skb->protocol, tag[2];
	__u32 at = ETH_LEN;

	if (skb->vlan_present && skb->vlan_tci & VLAN_ID)
		return 0;
	if (proto == bpf_htons(PROTO_8021Q) || proto == bpf_htons(PROTO_8021AD)) {
		if (bpf_skb_load_bytes(skb, ETH_LEN, tag, sizeof(tag)) < 0 || tag[0] & bpf_htons(VLAN_ID))
			return 0;
		proto = tag[1];
		at += VLAN_LEN;
	}
	if (proto != bpf_htons(PROTO_IPV4) && proto != bpf_htons(PROTO_IPV6))
		return 0;
	return at;
}

static __always_inline bool load_tcp(struct __sk_buff *skb, enum direction dir, struct packet *p)
{
	if (!load_header(skb, p->l4, &p->tcp))
		return false;
	p->key.cport = dir == TO_CLIENT ? p->tcp.dport : p->tcp.sport;
	p->key.sport = dir == TO_CLIENT ? p->tcp.sport : p->tcp.dport;
	return true;
}

static __always_inline __u32 tcp_header_len(const struct packet *p)
{
	return (p->tcp.doff >> 4) * 4;
}

/* A TCP header must be whole and lie inside the packet. */
static __always_inline bool tcp_valid(struct __sk_buff *skb, const struct packet *p)
{
	__u32 len = tcp_header_len(p);

	return len >= sizeof(struct tcp_hdr) && p->l4 + len <= p->end && p->end <= skb->len;
}

#endif
