/* Reports to the engine. */
#ifndef FTNET_EVENT_H
#define FTNET_EVENT_H

#include "parse.h"

#define NO_SLOT 0xffffffff
#define CAPTURE 200

enum event_kind {
	EVENT_SYNACK = 1,
	EVENT_FIN_HELD,
	EVENT_RST_HELD,
	EVENT_RST_SENT,
	EVENT_REFUSED,
};

struct event {
	__u32 kind, slot, ifindex;
	__u16 captured, packet_len;
	__u64 ktime;
	__u8 packet[CAPTURE]; /* from the IP header */
};

_Static_assert(sizeof(struct event) == 224, "see event.go");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20); /* set at load time */
} events SEC(".maps");

static __noinline int report(struct __sk_buff *skb, enum event_kind kind, __u32 slot, __u32 l3,
			     __u32 end)
{
	struct event *e;
	__u32 len = end - l3;

	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count(STAT_EVENTS_LOST);
		return 0;
	}
	e->kind = kind;
	e->slot = slot;
	e->ifindex = skb->ifindex;
	e->packet_len = len;
	e->ktime = bpf_ktime_get_ns();
	if (len > CAPTURE)
		len = CAPTURE;
	asm volatile("" : "+r"(len));
	if (len < 1 || len > CAPTURE || bpf_skb_load_bytes(skb, l3, e->packet, len) < 0)
		len = 0;
	e->captured = len;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

#endif
