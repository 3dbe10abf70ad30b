//go:build ignore

/* The gate: BPF programs at tc ingress and egress, and the tap's filter. Each
 * tc program comes in two variants, for devices whose packets have an Ethernet
 * header at tc and for those that carry bare IP packets. And the program that runs
 * when a process releases a socket, for servers that announce nothing.
 *
 * What passes gets TC_ACT_UNSPEC, so that the filters of others run. What is
 * held gets TC_ACT_STOLEN: the sending TCP believes that it left. (TC_ACT_SHOT
 * reports a drop to TCP, which then does not count the bytes as sent and refuses
 * every later ACK for them.)
 *
 * Functions marked __noinline that are not static are verified once, by
 * themselves, rather than anew for each state that a caller may be in: loading
 * takes a sixth of the time. Their pointer arguments may be NULL to the verifier. */
#include "egress.h"
#include "ingress.h"
#include "release.h"
#include "tap.h"

SEC("tc")
int egress_eth(struct __sk_buff *skb)
{
	__u32 l3;

	l3 = network_offset(skb);
	return l3 ? egress(skb, l3) : PASS;
}

SEC("tc")
int egress_l3(struct __sk_buff *skb)
{
	return egress(skb, 0);
}

/* incoming returns the offset of the IP header of a frame that is to be judged, or 0. A frame for
 * another address than the device's may be for a stacked device (macvlan),
 * where it passes the gate once more. */
static __always_inline __u32 incoming(struct __sk_buff *skb)
{
	if (arrives(skb) || skb->pkt_type == PACKET_OTHERHOST)
		return 0;
	return network_offset(skb);
}

SEC("tc")
int ingress_eth(struct __sk_buff *skb)
{
	__u32 l3 = incoming(skb);

	return l3 ? ingress(skb, l3) : PASS;
}

SEC("tc")
int ingress_l3(struct __sk_buff *skb)
{
	return arrives(skb) ? PASS : ingress(skb, 0);
}

/* The same for tcx, where there is no TC_ACT_STOLEN: all verdicts but pass, drop and
 * redirect continue with the next program. A redirect to an interface that does not exist
 * frees the packet, and unlike after a drop the sender gets a success. */
static __always_inline int tcx(int verdict) { return verdict == HELD ? bpf_redirect(0, 0) : verdict; }

__noinline int tcx_egress(struct __sk_buff *skb, __u32 l3) { return skb ? egress(skb, l3) : PASS; }
__noinline int tcx_ingress(struct __sk_buff *skb, __u32 l3) { return skb ? ingress(skb, l3) : PASS; }

SEC("tc")
int tcx_out_eth(struct __sk_buff *skb)
{
	__u32 l3 = network_offset(skb);

	return l3 ? tcx(tcx_egress(skb, l3)) : PASS;
}

SEC("tc")
int tcx_out_l3(struct __sk_buff *skb)
{
	return tcx(tcx_egress(skb, 0));
}

SEC("tc")
int tcx_in_eth(struct __sk_buff *skb)
{
	__u32 l3 = incoming(skb);

	return l3 ? tcx(tcx_ingress(skb, l3)) : PASS;
}

SEC("tc")
int tcx_in_l3(struct __sk_buff *skb)
{
	return arrives(skb) ? PASS : tcx(tcx_ingress(skb, 0));
}

SEC("socket")
int tap(struct __sk_buff *skb)
{
	return tap_filter(skb);
}

SEC("cgroup/sock_release")
int sock_release(struct bpf_sock *ctx)
{
	released(ctx);
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
