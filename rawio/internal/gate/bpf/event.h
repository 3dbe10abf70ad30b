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
	EVENT_CRASHED,
	EVENT_COOKIE,
	EVENT_UNFOLLOWED,
	EVENT_PROOF_OUT = 16,
	EVENT_PROOF_IN,
};

/* Every record begins like this. */
struct event_head {
	__u32 kind, slot, ifindex;
	__u32 length; /* of the packet, of which an event has up to CAPTURE bytes */
	__u64 ktime;
	__u32 mark; /* skb->mark */
	__u32 pad;
};

struct event {
	struct event_head head;
	__u8 packet[CAPTURE]; /* from the IP header */
};

_Static_assert(sizeof(struct event) == 232, "see kernel/events_linux.go");

/* EVENT_CRASHED: the process whose end has released a connection's socket, and how it ended. */
struct crash {
	struct event_head head;
	__u32 tgid; /* in the engine's PID namespace; see pid_of */
	__s32 code; /* as wait(2) reports it */
};

_Static_assert(sizeof(struct crash) == 40, "see kernel/events_linux.go");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20); /* set at load time */
} events SEC(".maps");

/* report returns whether the ring buffer had room. */
__noinline int report(struct __sk_buff *skb, enum event_kind kind, __u32 slot, __u32 l3,
			     __u32 end)
{
	struct event *e;
	__u32 len = end - l3;

	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count(STAT_EVENTS_LOST);
		return 0;
	}
	e->head.kind = kind;
	e->head.slot = slot;
	e->head.ifindex = skb->ifindex;
	e->head.length = len;
	e->head.ktime = bpf_ktime_get_ns();
	e->head.mark = skb->mark;
	e->head.pad = 0;
	if (len > CAPTURE)
		len = CAPTURE;
	asm volatile("" : "+r"(len));
	if (len < 1 || len > CAPTURE || bpf_skb_load_bytes(skb, l3, e->packet, len) < 0)
		e->head.length = 0;
	bpf_ringbuf_submit(e, 0);
	return 1;
}

static __always_inline void report_crash(__u32 slot, __u32 tgid, __s32 code)
{
	struct crash *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count(STAT_EVENTS_LOST);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->head.kind = EVENT_CRASHED;
	e->head.slot = slot;
	e->head.ktime = bpf_ktime_get_ns();
	e->tgid = tgid;
	e->code = code;
	bpf_ringbuf_submit(e, 0);
}

#endif
