/* Changes to a packet: every one goes through the checksum helper, which knows
 * that a partial checksum (offload) does not cover the header's fields yet.
 * Never write packet memory directly: a program that contains one such write
 * makes the kernel unclone every packet that passes it. */
#ifndef FTNET_TRANSLATE_H
#define FTNET_TRANSLATE_H

#include "parse.h"

#define TCP_SEQ 4 /* offsets in the TCP header */
#define TCP_ACK 8
#define TCP_FLAGS 12 /* with the length of the header and the reserved bits */
#define TCP_WINDOW 14
#define TCP_CSUM 16

/* A running one's-complement difference: new words minus old words (RFC 1624). */
struct diff {
	__u64 sum;
};

static __always_inline __u32 rotate8(__u32 v) { return v << 8 | v >> 24; }

/* change32 accounts for a word at offset at. A word at an odd offset weighs 256
 * times as much in a sum of 16-bit words; rotating it by a byte does just that. */
static __always_inline void change32(struct diff *d, __u32 at, __be32 from, __be32 to)
{
	if (at & 1) {
		from = rotate8(from);
		to = rotate8(to);
	}
	d->sum += (__u64)to + (__u32)~from;
}

static __always_inline void change16(struct diff *d, __u32 at, __be16 from, __be16 to)
{
	change32(d, at, from, to);
}

/* update_csum adds a 32-bit one's-complement difference to the checksum. */
static __always_inline bool update_csum(struct __sk_buff *skb, __u32 at, __u64 sum)
{
	return bpf_l4_csum_replace(skb, at, 0, (__u32)sum, 0) == 0;
}

static __always_inline bool apply(struct __sk_buff *skb, __u32 at, struct diff *d)
{
	__u64 sum = d->sum;

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return update_csum(skb, at, sum);
}

static __always_inline bool put32(struct __sk_buff *skb, __u32 at, __u32 value)
{
	__be32 v = bpf_htonl(value);

	return bpf_skb_store_bytes(skb, at, &v, sizeof(v), 0) == 0;
}

static __always_inline bool put16(struct __sk_buff *skb, __u32 at, __u16 value)
{
	__be16 v = bpf_htons(value);

	return bpf_skb_store_bytes(skb, at, &v, sizeof(v), 0) == 0;
}

#endif
