/* The engine's own packets, and how the gate recognises them. */
#ifndef FTNET_OWN_H
#define FTNET_OWN_H

#include "parse.h"

#define LOOPBACK 1 /* the loopback device's index, in every network namespace */

#define TCP_CLOSE 7
#define TCP_SYN_SENT 2

/* What a socket of the engine sends; see gate.Sender. */
enum own { OWN_NO, OWN_TO_CLIENT, OWN_TO_SERVER, OWN_TURNS };

/* The Ethernet source address of a packet that turns from egress to ingress: these two bytes, and the
 * index of the device by which it is to arrive, in network order. */
#define TURN_0 0x02
#define TURN_1 0x66

/* The engine's sockets by their cookies: a rule set can copy a mark, but not this. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, __u32);
} own SEC(".maps");

/* sent_by returns the kind of the engine's socket that has sent the packet, if one has. Raw
 * and packet sockets are in CLOSE, and of a TCP socket that probes only
 * the SYN matters: other TCP packets cost no look-up. */
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

/* On its way from egress to ingress, on the loopback device or where it turns, a packet
 * has no socket, but a secret mark: there is no hook of a rule set
 * in between. */
static __always_inline const struct engine *sealed(const struct __sk_buff *skb)
{
	__u32 key = 0, mark = skb->mark;
	const struct engine *e;

	if (!mark)
		return NULL;
	e = bpf_map_lookup_elem(&engine, &key);
	return e && e->secret == mark ? e : NULL;
}

static __always_inline void seal(struct __sk_buff *skb)
{
	__u32 key = 0;
	const struct engine *e = bpf_map_lookup_elem(&engine, &key);

	if (e)
		skb->mark = e->secret;
}

/* carries says whether this is loopback and has the gate only for the engine's packets. */
static __always_inline bool carries(const struct __sk_buff *skb)
{
	__u32 key = 0;
	const struct engine *e;

	if (skb->ifindex != LOOPBACK)
		return false;
	e = bpf_map_lookup_elem(&engine, &key);
	return e && e->carrier;
}

/* arrives says whether the packet is the engine's, and replaces the secret mark.
 * Stacked devices, and the tap there, ignore it by its tc_index. */
static __always_inline bool arrives(struct __sk_buff *skb)
{
	const struct engine *e = sealed(skb);

	if (!e)
		return false;
	skb->mark = e->mark;
	skb->tc_index = JUDGED_IN;
	return true;
}

/* The Ethernet header that the engine has given a packet, as far as the gate reads it. */
struct sent_frame {
	__u8 to[6], from[2];
	__be32 device;
};

/* turn makes a packet to the server arrive by a device as if it had come from there. */
static __always_inline int turn(struct __sk_buff *skb, __u32 device)
{
	seal(skb);
	return bpf_redirect(device, BPF_F_INGRESS);
}

/* own_turns returns the device by which a packet is to arrive; 0: none. On a device without Ethernet
 * headers it is that device. */
static __always_inline __u32 own_turns(struct __sk_buff *skb, __u32 l3)
{
	struct sent_frame f;

	if (!l3)
		return skb->ifindex;
	if (!load_header(skb, 0, &f) || f.from[0] != TURN_0 || f.from[1] != TURN_1)
		return 0;
	return bpf_ntohl(f.device);
}

/* addressed says whether a frame has a source address: frames from the network layer have one, those
 * of the engine's packet sockets have none. */
static __always_inline bool addressed(struct __sk_buff *skb)
{
	struct sent_frame f;

	return !load_header(skb, 0, &f) || f.from[0] || f.from[1] || f.device;
}

#endif
