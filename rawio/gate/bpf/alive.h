/* Whether there is still an engine, and what happens without one. */
#ifndef FTNET_ALIVE_H
#define FTNET_ALIVE_H

#include "maps.h"

/* An engine that is started after this one was killed takes the maps over if it
 * understands them. Whoever changes what a map holds raises LAYOUT: see layout.go. */
#define LAYOUT 9

struct engine {
	__u32 layout;
	__u32 secret; /* by which what the engine sends is known on its way over loopback */
	__u8 id[8];
	__u64 beat;     /* when the engine lived last, bpf_ktime_get_ns() */
	__u64 patience; /* after this time without a beat it is dead; 0: nobody asks */
	__u32 mark;     /* skb->mark of what it sends to the server, behind the gate */
	__u32 carrier;  /* loopback is none of the services' devices: nothing but that passes */
	__u64 epoch;    /* of the engine: one that takes the gate over later has a greater one */
};

_Static_assert(sizeof(struct engine) == 48, "see kernel/beat_linux.go");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct engine);
} engine SEC(".maps");

/* engine_dead says whether the engine has died and is not to be waited for. Ask
 * only where something would be held: then what is not held pays nothing. */
__noinline int engine_dead(void)
{
	__u32 key = 0;
	const struct engine *e = bpf_map_lookup_elem(&engine, &key);
	__u64 patience = e ? READ_ONCE(e->patience) : 0;

	if (!patience)
		return 0;
	/* The beat may be later than the time here. */
	return (__s64)(bpf_ktime_get_ns() - READ_ONCE(e->beat)) > (__s64)patience;
}

/* Why a connection can't be protected any more. The first that was found stays. */
enum opened {
	OPENED_NO = 0,
	OPENED_LATE = 1,     /* the engine was dead */
	OPENED_URGENT = 2,   /* the server has sent urgent data */
	OPENED_FRAGMENT = 3, /* it sends fragments */
};

/* opens says whether a connection's packets pass that would be held. Once one
 * has passed all do: no engine can protect the connection any more. */
static __always_inline bool opens(const struct slot *slot)
{
	return READ_ONCE(slot->opened) || engine_dead();
}

/* let_go is opens for a packet after which the connection cannot be protected. */
static __always_inline bool let_go(struct slot *slot)
{
	if (!opens(slot))
		return false;
	if (!slot->opened)
		slot->opened = OPENED_LATE;
	count(STAT_OPENED);
	return true;
}

#endif
