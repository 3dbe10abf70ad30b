/* TCP options: where timestamps and SACK are, and what must not be on a SYN. */
#ifndef FTNET_OPTIONS_H
#define FTNET_OPTIONS_H

#include "translate.h"

#define OPT_EOL 0
#define OPT_NOP 1
#define OPT_SACK 5
#define OPT_TS 8
#define OPT_MD5 19
#define OPT_AO 29
#define OPT_MPTCP 30
#define OPT_TFO 34
#define OPT_TFO_EXP 254

#define MAX_OPTIONS 40
#define MAX_BLOCKS 4

struct options {
	__u32 ts;     /* offsets from skb->data of TSval */
	__u32 sack;   /* and of the SACK option's kind; 0: absent */
	__u32 blocks; /* SACK blocks, at most MAX_BLOCKS */
	__be32 tsval, tsecr;
};

/* load_option_bytes reads the len (1..40) option bytes at offset at. */
static __always_inline bool load_option_bytes(struct __sk_buff *skb, __u32 at, __u8 *buf, __u32 len)
{
	/* Bounds for the verifier; the callers have checked them. */
	asm volatile("" : "+r"(len));
	if (len < 1 || len > MAX_OPTIONS)
		return false;
	return bpf_skb_load_bytes(skb, at, buf, len) == 0;
}

static __always_inline __u32 count_blocks(__u32 option_len)
{
	__u32 n = (option_len - 2) / 8;

	return n > MAX_BLOCKS ? MAX_BLOCKS : n;
}

/* walk_options finds timestamps and SACK in any arrangement. */
__noinline int walk_options(struct __sk_buff *skb, __u32 at, __u32 len, struct options *o)
{
	__u8 opt[MAX_OPTIONS + 1] = {};
	__u32 next = 0;

	if (!o || !load_option_bytes(skb, at, opt, len))
		return 0;
#pragma unroll
	for (__u32 i = 0; i < MAX_OPTIONS; i++) {
		__u32 n;

		if (i < next)
			continue;
		if (i >= len || opt[i] == OPT_EOL)
			break;
		if (opt[i] == OPT_NOP)
			continue;
		n = opt[i + 1];
		if (n < 2 || i + n > len)
			break;
		if (opt[i] == OPT_TS && n == 10)
			o->ts = at + i + 2;
		if (opt[i] == OPT_SACK && n >= 10) {
			o->sack = at + i;
			o->blocks = count_blocks(n);
		}
		next = i + n;
	}
	if (o->ts && bpf_skb_load_bytes(skb, o->ts, &o->tsval, 8) < 0)
		o->ts = 0;
	return 0;
}

/* find_options fills o. Nearly every segment has the layout that RFC 7323,
 * appendix A recommends: NOP NOP TS, then perhaps NOP NOP SACK. */
static __always_inline void find_options(struct __sk_buff *skb, const struct packet *p,
					 struct options *o)
{
	__u32 at = p->l4 + sizeof(struct tcp_hdr);
	__u32 len = tcp_header_len(p) - sizeof(struct tcp_hdr);

	o->ts = 0;
	o->sack = 0;
	o->blocks = 0;
	o->tsval = 0;
	o->tsecr = 0;
	if (!len)
		return;
	if (len == 12) {
		struct {
			__be32 head, tsval, tsecr;
		} opt;

		if (!load_header(skb, at, &opt))
			return;
		if (opt.head == bpf_htonl(0x0101080a)) {
			o->ts = at + 4;
			o->tsval = opt.tsval;
			o->tsecr = opt.tsecr;
			return;
		}
	}
	walk_options(skb, at, len, o);
}

#define SYN_REFUSED 1
#define SYN_STRIPPED 2

struct option_bytes {
	__u8 at[MAX_OPTIONS + 4];
};

/* replace_options puts new in the place of old. Negative if that failed. It is global for
 * the reason that skip_extensions is. */
__noinline int replace_options(struct __sk_buff *skb, __u32 l4, __u32 len,
			       const struct option_bytes *old, const struct option_bytes *new)
{
	__s64 sum;

	asm volatile("" : "+r"(len));
	if (len < 1 || len > MAX_OPTIONS || !old || !new)
		return -1;
	sum = bpf_csum_diff((void *)old, sizeof(*old), (void *)new, sizeof(*new), 0);
	if (bpf_skb_store_bytes(skb, l4 + sizeof(struct tcp_hdr), new, len, 0) < 0 ||
	    !update_csum(skb, l4 + TCP_CSUM, sum))
		return -1;
	return 0;
}

/* screen_syn looks for options that a protected connection cannot have: it
 * refuses those that sign sequence numbers (RFC 2385, RFC 5925) and overwrites
 * Fast Open (RFC 7413) and MPTCP (RFC 8684) by NOPs. Negative if that failed. */
__noinline int screen_syn(struct __sk_buff *skb, __u32 l4, __u32 len)
{
	struct option_bytes opt = {}, was;
	__u32 next = 0;
	int found = 0;
	bool strip = false;

	if (!load_option_bytes(skb, l4 + sizeof(struct tcp_hdr), opt.at, len))
		return 0;
	was = opt;
#pragma unroll
	for (__u32 i = 0; i < MAX_OPTIONS; i++) {
		if (i >= next) {
			__u32 n;

			strip = false;
			if (i >= len || opt.at[i] == OPT_EOL)
				break;
			if (opt.at[i] == OPT_NOP)
				continue;
			n = opt.at[i + 1];
			if (n < 2 || i + n > len)
				break;
			if (opt.at[i] == OPT_MD5 || opt.at[i] == OPT_AO)
				return SYN_REFUSED;
			if (opt.at[i] == OPT_MPTCP || opt.at[i] == OPT_TFO || opt.at[i] == OPT_TFO_EXP) {
				strip = true;
				found = SYN_STRIPPED;
			}
			next = i + n;
		}
		if (strip)
			opt.at[i] = OPT_NOP;
	}
	return found && replace_options(skb, l4, len, &was, &opt) < 0 ? -1 : found;
}

#endif
