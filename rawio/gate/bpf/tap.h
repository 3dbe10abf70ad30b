/* The tap's socket filter: client-to-server segments of the services. */
#ifndef FTNET_TAP_H
#define FTNET_TAP_H

#include "own.h"

#define PACKET_OUTGOING 4
#define WHOLE 0xffffffff

#define load_net(skb, at, to, len) \
	bpf_skb_load_bytes_relative(skb, at, to, len, BPF_HDR_START_NET)

static __always_inline __u32 tap_filter(struct __sk_buff *skb)
{
	struct ipv4_hdr v4;
	__be16 ports[2];
	__u32 l4;

	if (marked(skb) || skb->pkt_type == PACKET_OTHERHOST ||
	    skb->pkt_type == PACKET_OUTGOING)
		return 0;
	if (skb->protocol == bpf_htons(PROTO_IPV4)) {
		if (load_net(skb, 0, &v4, sizeof(v4)) < 0 || v4.protocol != IP_TCP ||
		    v4.fragment & bpf_htons(0x3fff))
			return 0;
		l4 = (v4.version_ihl & 15) * 4;
	} else if (skb->protocol == bpf_htons(PROTO_IPV6)) {
		__u8 head[2], next;

		if (load_net(skb, 6, &next, 1) < 0)
			return 0;
		l4 = sizeof(struct ipv6_hdr);
		for (int i = 0; i < MAX_EXTENSIONS; i++) {
			if (next != IP_HOPOPTS && next != IP_ROUTING && next != IP_DSTOPTS)
				break;
			if (load_net(skb, l4, head, sizeof(head)) < 0)
				return 0;
			next = head[0];
			l4 += ((__u32)head[1] + 1) * 8;
		}
		if (next != IP_TCP)
			return 0;
	} else {
		return 0;
	}
	if (load_net(skb, l4, ports, sizeof(ports)) < 0 || !service_of(ports[1]))
		return 0;
	return WHOLE;
}

#endif
