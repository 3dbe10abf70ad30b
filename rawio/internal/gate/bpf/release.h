/* Whether an unmodified server meant to end a connection: that follows from the task that
 * releases its socket. */
#ifndef FTNET_RELEASE_H
#define FTNET_RELEASE_H

#include "event.h"
#include "own.h"
#include <bpf/bpf_core_read.h>

#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000
#define SIGNAL_GROUP_EXIT 0x00000004

#define AF_INET 2
#define AF_INET6 10

#define TCP_LISTEN 10

struct death {
	__u32 tgid;
	__s32 code;
};

static __always_inline __u32 task_flags(const struct watch *w, const char *task)
{
	__u32 flags = 0;

	bpf_probe_read_kernel(&flags, sizeof(flags), task + w->flags);
	return flags;
}

/* orphaned says whether the kernel itself releases the socket, for a process that
 * has ended already, as it does with the registered files of an
 * io_uring. */
static __always_inline bool orphaned(const struct watch *w)
{
	return task_flags(w, (void *)bpf_get_current_task()) & PF_KTHREAD;
}

#define PID_NS_LEVELS 33 /* MAX_PID_NS_LEVEL, and the initial one */

struct upid {
	__s32 nr;
	const char *ns;
};

/* pid_of returns the ID of the current task's process in the engine's PID namespace, or in the
 * initial one if it has none there. IDs of processes in containers differ.
 * bpf_get_ns_current_pid_tgid() may not be called here before Linux 6.10. */
__noinline __u32 pid_of(void)
{
	const struct watch *w = watching();
	const char *at = (void *)bpf_get_current_task();
	__u32 tgid = 0, level = 0, i;

	if (!w)
		return 0;
	bpf_probe_read_kernel(&tgid, sizeof(tgid), at + w->tgid);
	if (!w->pidns)
		return tgid;
	bpf_probe_read_kernel(&at, sizeof(at), at + w->signal);
	bpf_probe_read_kernel(&at, sizeof(at), at + w->process);
	bpf_probe_read_kernel(&level, sizeof(level), at + w->level);
	for (i = 0; i < PID_NS_LEVELS && i <= level; i++) {
		struct upid id = {};
		__u32 inum = 0;

		bpf_probe_read_kernel(&id, sizeof(id), at + w->numbers + i * sizeof(id));
		bpf_probe_read_kernel(&inum, sizeof(inum), id.ns + w->inum);
		if (inum == w->pidns)
			return id.nr;
	}
	return tgid;
}

/* crashing says whether the current task is of a process that is ending, and not
 * by exit(0). The kernel sets the exit code before it releases the files. The process's
 * exit code is not its last thread's: a thread that ends by itself when
 * the process is killed, or one of io_uring's, has 0, and may be the last to release them. */
static __always_inline bool crashing(const struct watch *w, struct death *d)
{
	const char *task = (void *)bpf_get_current_task(), *process = NULL;
	__u32 flags = 0;

	d->tgid = 0;
	d->code = 0;
	if (!(task_flags(w, task) & PF_EXITING))
		return false;
	bpf_probe_read_kernel(&process, sizeof(process), task + w->signal);
	bpf_probe_read_kernel(&flags, sizeof(flags), process + w->group_flags);
	if (flags & SIGNAL_GROUP_EXIT)
		bpf_probe_read_kernel(&d->code, sizeof(d->code), process + w->group_exit_code);
	else
		bpf_probe_read_kernel(&d->code, sizeof(d->code), task + w->exit_code);
	if (!d->code)
		return false;
	d->tgid = pid_of();
	return true;
}

/* Who holds the socket that sends a packet. */
enum holder {
	HOLDER_TASK,  /* the current task has locked it */
	HOLDER_QUEUE, /* it was not accepted yet, see unnoted_end */
	HOLDER_OTHER, /* some process; the current task may be unrelated */
	HOLDER_NONE,  /* no process any more: it is orphaned */
};

#define SOCK_DEAD 1 /* in sk_flags: bit 0 of enum sock_flags */

/* holder returns that for a socket that sends a FIN or a RST with an ACK, which no
 * request and no TIME-WAIT socket does. Packets that are sent while the socket is locked are
 * sent by the task that has locked it: all others wait, or defer their work to it. Packets that a
 * queueing discipline before the gate has kept come later, when the socket is orphaned. */
static __always_inline enum holder holder(struct __sk_buff *skb, const struct watch *w)
{
	struct bpf_sock *sk = skb->sk;
	const char *at = NULL; /* the kernel's socket, which the verifier does not let be read by sk itself */
	const void *file = NULL;
	__u64 flags = 0;
	__s32 owned = 0;

	if (!sk)
		return HOLDER_OTHER;
	bpf_probe_read_kernel(&at, sizeof(at), &sk);
	bpf_probe_read_kernel(&flags, sizeof(flags), at + w->sk_flags);
	if (flags & SOCK_DEAD)
		return HOLDER_NONE;
	bpf_probe_read_kernel(&owned, sizeof(owned), at + w->sk_owned);
	bpf_probe_read_kernel(&file, sizeof(file), at + w->sk_socket);
	if (owned)
		return HOLDER_TASK;
	return file ? HOLDER_OTHER : HOLDER_QUEUE;
}

struct in6_addr {
	__be32 words[4];
};

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	__u16 skc_family;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
} __attribute__((preserve_access_index));

/* flow_of reads the connection's addresses: the context lacks some of them. */
static __always_inline bool flow_of(struct sock *sk, struct flow_key *key)
{
	__be32 client, server;

	switch (BPF_CORE_READ(sk, __sk_common.skc_family)) {
	case AF_INET:
		client = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		server = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		map_v4(key->client, client);
		map_v4(key->server, server);
		break;
	case AF_INET6: /* mapped, if the connection is over IPv4 */
		BPF_CORE_READ_INTO(&key->client, sk, __sk_common.skc_v6_daddr);
		BPF_CORE_READ_INTO(&key->server, sk, __sk_common.skc_v6_rcv_saddr);
		break;
	default:
		return false;
	}
	key->cport = BPF_CORE_READ(sk, __sk_common.skc_dport);
	return true;
}

static __always_inline void crashed(struct slot *slot, __u32 index, const struct death *d)
{
	slot->released = RELEASED_CRASHED;
	count(STAT_CRASHED);
	report_crash(index, d->tgid, d->code);
}

enum end { END_STRAY, END_MEANT, END_CRASH };

/* closes_listener says whether the current task has released a listener, and no other task since. */
static __always_inline bool closes_listener(void)
{
	__u32 key = 0;
	const __u64 *task = bpf_map_lookup_elem(&closings, &key);

	return task && *task == bpf_get_current_task();
}

static __always_inline void note_closing(void)
{
	__u64 task = bpf_get_current_task();
	__u32 key = 0;

	bpf_map_update_elem(&closings, &key, &task, BPF_ANY);
}

/* unnoted_end judges a FIN or RST of a connection whose release was not noted: there
 * was none (a half-close, or the connection was not accepted, so that there is no file to
 * release), or the program that notes releases was gone, with its engine for instance.
 * Then it depends on the task that releases the socket, which is known only while that
 * task is running. Connections that were not accepted are aborted in the task that closes the
 * listener, except one that the kernel was about to queue at that moment: that one is aborted in
 * whatever task the client's packet has interrupted, or was sent by. */
__noinline int unnoted_end(struct __sk_buff *skb, struct slot *slot, __u32 index)
{
	const struct watch *w = watching();
	struct death d;

	if (!skb || !slot || !w)
		return END_MEANT;
	switch (holder(skb, w)) {
	case HOLDER_NONE:
		return END_STRAY;
	case HOLDER_OTHER:
		return END_MEANT;
	case HOLDER_QUEUE:
		if (!closes_listener() && !crashing(w, &d))
			return END_STRAY;
		break;
	case HOLDER_TASK:
		break;
	}
	if (!crashing(w, &d) && !orphaned(w))
		return END_MEANT;
	crashed(slot, index, &d);
	return END_CRASH;
}

/* released runs in the task that releases a socket, before the FIN or RST of that socket is
 * made, or of those that a listener has queued. A listener may be one of
 * MPTCP. */
static __always_inline void released(struct bpf_sock *ctx)
{
	const struct watch *w = watching();
	struct sock *sk = (struct sock *)ctx; /* which it really is */
	struct flow_key key = {};
	struct slot *slot;
	struct death d;
	__u32 *service, *index, mode;

	if (!w)
		return;
	if (ctx->state == TCP_LISTEN) {
		note_closing();
		return;
	}
	if (ctx->protocol != IP_TCP || ctx->state == TCP_CLOSE || ctx->state == TCP_SYN_SENT)
		return;
	key.sport = bpf_htons(BPF_CORE_READ(sk, __sk_common.skc_num));
	service = service_of(key.sport);
	if (!service || !(*service & SERVICE_UNMODIFIED) || bpf_get_netns_cookie(ctx) != w->netns ||
	    !flow_of(sk, &key))
		return;
	index = bpf_map_lookup_elem(&conns, &key);
	slot = index ? bpf_map_lookup_elem(&slots, index) : NULL;
	if (!slot)
		return;
	mode = READ_ONCE(slot->mode);
	if (mode == MODE_FREE || mode == MODE_OPEN)
		return;
	if (!crashing(w, &d) && !orphaned(w)) {
		slot->released = RELEASED_CLOSED;
		return;
	}
	crashed(slot, *index, &d);
}

#endif
