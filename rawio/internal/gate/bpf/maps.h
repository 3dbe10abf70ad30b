/* Maps and the records in them: the interface to the Go side. */
#ifndef FTNET_MAPS_H
#define FTNET_MAPS_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))

/* Socket priorities by which the application announces that its FIN or RST is meant. */
#define PRIO_CLOSE 3
#define PRIO_SHUT 5

/* A service's value: its state, and flags above. */
enum service_state { SERVICE_LISTEN = 1, SERVICE_OUTAGE = 2, SERVICE_HOLD = 3 };

#define SERVICE_STATE 0xff
#define SERVICE_UNMODIFIED 0x100 /* the server does not announce its FINs and RSTs */
#define SERVICE_TRANSPARENT 0x200 /* its listener accepts connections to other hosts' addresses, see forwarded */

struct service_key {
	__u16 port;  /* host order */
	__u8 family; /* 0: any, 4, 6 */
	__u8 pad;
};

/* A connection. IPv4 addresses are mapped (::ffff:a.b.c.d); network order. */
struct flow_key {
	__be32 client[4];
	__be32 server[4];
	__be16 cport;
	__be16 sport;
};

enum mode { MODE_FREE, MODE_LIVE, MODE_OUTAGE, MODE_SPOOF, MODE_OPEN, MODE_ROLL };

#define XLATE 1       /* delta, ts_delta and the scales are no identity */
#define LIMIT 2       /* limit is valid */
#define TS 4          /* timestamps were negotiated */
#define SACK 8        /* SACK was negotiated */
#define RECORD 16     /* data is captured before it leaves */
#define UNMODIFIED 32 /* of a service with that flag */
#define COOKIE 128    /* the kernel's socket was made of a SYN cookie */
#define LASTING 64    /* every ACK waits for the log, also when nobody will read any more */

/* What became of the kernel's socket, of an unmodified server. */
enum released { RELEASED_NO, RELEASED_CLOSED, RELEASED_CRASHED };

/* One connection, mapped into the engine; see gate.Slot. The engine
 * writes the first cache line, the gate the second. */
struct slot {
	__u32 stable;   /* highest ACK number that may leave */
	__u32 mode;
	__u32 delta;    /* client-visible minus kernel sequence numbers */
	__u32 ts_delta; /* client-visible minus kernel TSval */
	__u32 limit;    /* highest right window edge that may be advertised */
	__u32 flags;
	__u32 high;     /* the tap has seen every byte below that may be SACKed */
	__u32 irs;      /* the client's ISN */
	__u8 kscale;    /* window shift of the kernel's present socket */
	__u8 cscale;    /* window shift of the client's handshake */
	__u8 pad[2];
	__u32 gen;
	__u32 base; /* client-visible number of the kernel socket's first byte */
	__u32 mark; /* mark of the kernel's newest packet; the gate writes it when it changes */
	__u32 reserved[4];

	__u32 held;     /* an ACK was lowered or held back; both sides clear it */
	__u32 ack;      /* newest ACK number that the kernel wanted to send */
	__u32 edge;     /* newest right window edge, before the limit */
	__u32 snd_nxt;  /* highest client-visible sequence end sent */
	__u32 tsval;    /* newest TSval as the client sees it */
	__u32 tsecr;
	__u32 hflags;   /* bits 0 to 7: ECN of the newest held ACK; above: how many without data were held, but for probes */
	__u32 fin;      /* bit 0: a meant FIN has passed, bit 1: a meant RST, bit 2: the engine has noted a meant release */
	__u32 fin_end;  /* its sequence end, client-visible */
	__u32 egress;   /* packets seen */
	__u32 held_in;
	__u32 released; /* enum released */
	__u32 opened;   /* enum opened: why packets passed that had to be held */
	__u32 priority; /* skb->priority of the newest segment that meant no end */
	__u32 iif; /* device by which the client's packets arrive, and */
	__u32 oif; /* the first one by which the kernel's leave; 0: not known */
};

#define BARE_ACK 0x100 /* one in hflags */

_Static_assert(sizeof(struct slot) == 128, "slot is two cache lines");
_Static_assert(__builtin_offsetof(struct slot, held) == 64, "the gate owns the second line");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct service_key);
	__type(value, __u32);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536); /* set at load time, as that of slots */
	__type(key, struct flow_key);
	__type(value, __u32);
} conns SEC(".maps");

/* The entry in conns of a flow that is no connection: the engine sends packets of it
 * to prove that the gate is in the way; see proof.h. */
#define PROOF 0xfffffffe

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

/* What the release program and the rules for FINs and RSTs read of the kernel; in the
 * only entry, which is zero while nobody has watched releases. */
struct watch {
	__u64 netns;                         /* cookie of the engine's network namespace */
	__u32 flags, exit_code, tgid;        /* offsets in struct task_struct */
	__u32 sk_flags, sk_owned, sk_socket; /* offsets in struct sock */
	__u32 pidns;                         /* inode of the engine's PID namespace; 0: IDs are the initial one's */
	__u32 signal;                        /* offset in struct task_struct */
	__u32 group_flags, group_exit_code;  /* offsets in struct signal_struct, as is */
	__u32 process;                       /* that of pids[PIDTYPE_TGID] */
	__u32 level, numbers;                /* offsets in struct pid */
	__u32 inum;                          /* offset in struct pid_namespace */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct watch);
} watches SEC(".maps");

/* The task that has released a listener last, in the only entry: right after that it aborts the
 * connections that were not accepted. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} closings SEC(".maps");

static __always_inline const struct watch *watching(void)
{
	__u32 key = 0;
	const struct watch *w = bpf_map_lookup_elem(&watches, &key);

	return w && w->netns ? w : NULL;
}

static __always_inline __u32 *service_of(__be16 port)
{
	struct service_key key = { .port = bpf_ntohs(port) };

	return bpf_map_lookup_elem(&services, &key);
}

/* Ports that are no service's and at which a service's listener has accepted connections (TPROXY),
 * with the listener's port; host order. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u16);
	__type(value, __u16);
} aliases SEC(".maps");

/* Counters; the order is that of gate.Stats. */
enum stat {
	STAT_ACK_HELD,
	STAT_ACK_LOWERED,
	STAT_SACK_HELD,
	STAT_SACK_REMOVED,
	STAT_LIMITED,
	STAT_SYNACK_HELD,
	STAT_FIN_HELD,
	STAT_RST_HELD,
	STAT_OUTAGE_OUT,
	STAT_OUTAGE_IN,
	STAT_SYN_HELD,
	STAT_SYN_REFUSED,
	STAT_SYN_STRIPPED,
	STAT_ICMP_HELD,
	STAT_ICMP_FIXED,
	STAT_ACK_CLAMPED,
	STAT_MALFORMED,
	STAT_EVENTS_LOST,
	STAT_REWRITE_FAILS,
	STAT_RECORDED,
	STAT_ROLLED,
	STAT_UNRECORDED,
	STAT_CRASHED,
	STAT_OPENED,
	STAT_MISROUTED,
	STAT_UNFOLLOWED,
	STAT_SHORT_FRAGMENT,
	STAT_COUNT,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STAT_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} stats SEC(".maps");

static __always_inline void count(enum stat stat)
{
	__u32 key = stat;
	__u64 *n = bpf_map_lookup_elem(&stats, &key);

	if (n)
		(*n)++;
}

#endif
