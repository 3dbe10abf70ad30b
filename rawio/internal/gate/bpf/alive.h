/* Whether there is still an engine, and what happens without one. */
#ifndef FTNET_ALIVE_H
#define FTNET_ALIVE_H

#include "maps.h"

/* An engine that is started after this one was killed takes the maps over if their layout is the one
 * that it knows. Raise LAYOUT with any change to what a map holds: see layout.go. */
#define LAYOUT 9

struct engine {
	__u32 layout;
	__u32 secret; /* mark of the engine's packets on their way from egress to ingress */
	__u8 id[8];
	__u64 beat;       /* time of the last heartbeat, bpf_ktime_get_ns() */
	__u64 dead_after; /* the engine is dead after this time without a heartbeat, ns; 0: never */
	__u32 mark;       /* skb->mark of what it sends to the server, behind the gate */
	__u32 carrier;    /* loopback does not carry the services: only the engine's packets use it */
	__u64 epoch;      /* of the engine: one that takes the gate over later has a greater one */
};

_Static_assert(sizeof(struct engine) == 48, "see kernel/beat_linux.go");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct engine);
} engine SEC(".maps");

/* engine_dead says whether the engine's last heartbeat is longer ago than dead_after. Call it
 * only where a packet would be held: then other packets cost nothing. */
__noinline int engine_dead(void)
{
	__u32 key = 0;
	const struct engine *e = bpf_map_lookup_elem(&engine, &key);
	__u64 dead_after = e ? READ_ONCE(e->dead_after) : 0;

	if (!dead_after)
		return 0;
	/* The heartbeat may be later than the time that was read here. */
	return (__s64)(bpf_ktime_get_ns() - READ_ONCE(e->beat)) > (__s64)dead_after;
}

/* Why a connection can't be protected any more. The first reason stays. */
enum opened {
	OPENED_NO = 0,
	OPENED_STALL = 1,    /* the engine was dead */
	OPENED_URGENT = 2,   /* the server has sent urgent data */
	OPENED_FRAGMENT = 3, /* it sends fragments */
};

/* is_open says whether packets of a connection pass that would otherwise be held. Once one
 * has passed, all do: no engine can protect the connection any more. */
static __always_inline bool is_open(const struct slot *slot)
{
	return READ_ONCE(slot->opened) || engine_dead();
}

/* open_slot is is_open for a packet that ends the protection when it passes. */
static __always_inline bool open_slot(struct slot *slot)
{
	if (!is_open(slot))
		return false;
	if (!slot->opened)
		slot->opened = OPENED_STALL;
	count(STAT_OPENED);
	return true;
}

#endif
