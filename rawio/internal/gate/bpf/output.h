/* A server's output, whole packets, for the engine to compare. */
#ifndef FTNET_OUTPUT_H
#define FTNET_OUTPUT_H

#include "parse.h"

enum output_kind {
	OUTPUT_SENT = 1, /* leaves */
	OUTPUT_ROLL,     /* held */
};

struct output_head {
	__u32 kind, slot, gen, seq;
	__u32 length; /* of the packet */
	__u32 pad;
	__u64 ktime;
};

_Static_assert(sizeof(struct output_head) == 32, "see kernel/outputs_linux.go");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 12); /* set at load time */
} outputs SEC(".maps");

/* capture_as writes a record of a constant size that the packet fits in. */
static __always_inline int capture_as(struct __sk_buff *skb, const struct output_head *head,
				      __u32 l3, const __u32 size)
{
	const __u32 room = size - sizeof(*head);
	struct output_head *o = bpf_ringbuf_reserve(&outputs, size, 0);
	__u32 len = head->length;

	if (!o)
		return 0;
	*o = *head;
	/* Bounds for the verifier; capture has checked them. */
	asm volatile("" : "+r"(len));
	if (len < 1 || len > room || bpf_skb_load_bytes(skb, l3, o + 1, len) < 0) {
		bpf_ringbuf_discard(o, 0);
		return 0;
	}
	bpf_ringbuf_submit(o, 0);
	return 1;
}

#define CAPTURE_AS(size)                                      \
	do {                                                  \
		if (head->length <= (size) - sizeof(*head))   \
			return capture_as(skb, head, l3, size); \
	} while (0)

/* capture copies the packet from its IP header on to the ring, as it is now; 0
 * if there is no room. */
__noinline int capture(struct __sk_buff *skb, struct output_head *head, __u32 l3)
{
	if (!head)
		return 0;
	head->pad = 0;
	head->ktime = bpf_ktime_get_ns();
	/* What is reserved must be a constant. One takes every packet whose IP header
	 * can say how long it is, the largest every one that Linux makes (BIG TCP). */
	CAPTURE_AS(256);
	CAPTURE_AS(1 << 10);
	CAPTURE_AS(2 << 10);
	CAPTURE_AS(4 << 10);
	CAPTURE_AS(8 << 10);
	CAPTURE_AS(16 << 10);
	CAPTURE_AS(32 << 10);
	CAPTURE_AS(66 << 10);
	CAPTURE_AS(130 << 10);
	CAPTURE_AS(260 << 10);
	CAPTURE_AS(516 << 10);
	return 0;
}

#endif
