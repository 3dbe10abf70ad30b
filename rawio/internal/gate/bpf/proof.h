/* Packets by which the engine proves that the gate is in the way, in both directions.
 *
 * The engine sends one through a packet socket on the interface. Its two ends are the
 * same, a loopback address and a service's port, so that it is of the same flow in both directions, and
 * no host accepts it should it escape. Egress reports it and redirects it to ingress of the same
 * interface, ingress reports and consumes it. The flow has an entry in conns but no slot:
 * other packets cost nothing more. */
#ifndef FTNET_PROOF_H
#define FTNET_PROOF_H

#include "event.h"

static __always_inline bool proves(const __u32 *index) { return index && *index == PROOF; }

static __always_inline int proof_out(struct __sk_buff *skb, const struct packet *p)
{
	report(skb, EVENT_PROOF_OUT, PROOF, p->l3, p->end);
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

static __always_inline int proof_in(struct __sk_buff *skb, const struct packet *p)
{
	report(skb, EVENT_PROOF_IN, PROOF, p->l3, p->end);
	return HELD;
}

#endif
