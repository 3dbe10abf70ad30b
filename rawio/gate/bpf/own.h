/* What the engine itself sends, and how the gate knows it. */
#ifndef FTNET_OWN_H
#define FTNET_OWN_H

#include "parse.h"

#define LOOPBACK 1 /* the loopback device's index, in every network namespace */

#define TCP_CLOSE 7
#define TCP_SYN_SENT 2

/* Whom a socket of the engine's talks to; see Sender in own.go. */
enum own { OWN_NO, OWN_TO_CLIENT, OWN_TO_SERVER };

/* The engine's sockets by their cookies: a rule set can copy a mark, but not this. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, __u32);
} own SEC(".maps");

/* sent_by says which of the engine's sockets has sent the packet, if one has. Raw
 * and packet sockets are in CLOSE, and a TCP socket that probes has to be known by
 * its SYN only: TCP's other packets pay no look-up. */
static __always_inline __u32 sent_by(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	__u64 cookie;
	__u32 *to;

	if (!sk || (sk->state != TCP_CLOSE && sk->state != TCP_SYN_SENT))
		return OWN_NO;
	cookie = bpf_get_socket_cookie(skb);
	to = bpf_map_lookup_elem(&own, &cookie);
	return to ? *to : OWN_NO;
}

/* The way from egress to ingress of the loopback device, on which a packet has no
 * socket, it goes under a mark that nobody knows: no hook of a rule set lies in
 * between. */
static __always_inline const struct engine *marked(const struct __sk_buff *skb)
{
	__u32 key = 0, mark = skb->mark;
	const struct engine *e;

	if (!mark)
		return NULL;
	e = bpf_map_lookup_elem(&engine, &key);
	return e && e->secret == mark ? e : NULL;
}

static __always_inline void mark(struct __sk_buff *skb)
{
	__u32 key = 0;
	const struct engine *e = bpf_map_lookup_elem(&engine, &key);

	if (e)
		skb->mark = e->secret;
}

/* arrives says whether the packet comes from the engine, and takes the mark away. */
static __always_inline bool arrives(struct __sk_buff *skb)
{
	if (!marked(skb))
		return false;
	skb->mark = 0;
	return true;
}

#endif
