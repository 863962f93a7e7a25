// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * WHAT    watches the replicas of both tracks and takes a bad canary's traffic away: error answers, service time,
 *         run-queue waits, memory growth, forbidden system calls, a process that dies, a process that hangs
 * ATTACH  tp_btf on sockets, the scheduler, memory counters, system calls, signals, forks and exits; one timer
 * COST    20-60 ns for each such event of a stranger; 0.4 us for a request, 0.2 us for a context switch of a replica
 * LOSS    a connection whose client was forgotten (16,384 remembered) is served but not judged
 */
#include "policy.h"
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#define TCP_ESTABLISHED 1
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8
#define AF_INET6 10
#define MM_ANONPAGES 1
#define CLOCK_MONOTONIC 1
#define SIGKILL 9
/* Signals whose default is not to end the process: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH. */
#define HARMLESS (1ull << 17 | 1ull << 18 | 1ull << 19 | 1ull << 20 | 1ull << 21 | 1ull << 22 | 1ull << 23 | 1ull << 28)
#define TICK_NS 1000000
#define IDLE_TICK_NS 50000000
#if defined(__TARGET_ARCH_x86)
#define SYS_WRITE 1
#define SYS_WRITEV 20
#define SYS_SENDTO 44
#define SYS_SENDMSG 46
#define SYS_PRCTL 157
#else
#define SYS_WRITE 64
#define SYS_WRITEV 66
#define SYS_SENDTO 206
#define SYS_SENDMSG 211
#define SYS_PRCTL 167
#endif
#define CALL_TOLD 0x4d4c4f50 /* "MLOP", no prctl option of any kernel; serve/telling.py */

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* A connection of a replica, and the request it has not answered yet. */
struct exchange {
	u64 ready_ns; /* its first bytes came; 0 between requests */
	u64 read_ns; /* it was last read from */
	u64 waited_ns; /* the replica's run-queue wait until then */
	u32 replica; /* index + 1; 0: closed */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct exchange);
} exchanges SEC(".maps");

/* Since when a replica's thread waits for a processor. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u64);
} waiting SEC(".maps");

/* The status of the answer a thread is about to send. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u32);
} statuses SEC(".maps");

/* Service times, as meters.Histogram counts them: [replica's track slot][bucket]. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TRACKS * BUCKETS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, u64);
} latencies SEC(".maps");

struct watchdog {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct watchdog);
} watchdogs SEC(".maps");

static __always_inline bool is_judged(struct control *c, u32 index)
{
	return index / PER_TRACK == c->stable || is_canary(c, index);
}

static __always_inline void count_latency(u32 slot, u64 ns)
{
	u64 us = ns / 1000 ?: 1, *count;
	u32 octave = 0, key;

#define HALVE(bits)                       \
	if (us >> octave >> bits)         \
		octave += bits;
	HALVE(16) HALVE(8) HALVE(4) HALVE(2) HALVE(1)
	key = octave * 4 + ((us << 2 >> octave) & 3);
	key = slot * BUCKETS + (key < BUCKETS ? key : BUCKETS - 1);
	count = bpf_map_lookup_elem(&latencies, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
}

static __always_inline void set_unread_since(struct replica *one, u64 now)
{
	one->unread_waited_ns = one->waited_ns;
	one->unread_since_ns = now;
}

static __always_inline void set_progress(struct replica *one, u64 now)
{
	one->progress_waited_ns = one->waited_ns;
	one->progress_ns = now;
}

static __always_inline struct exchange *exchange_of(const struct sock *sk)
{
	return bpf_sk_storage_get(&exchanges, (void *)sk, NULL, 0);
}

static __always_inline void opened(struct sock *sk)
{
	struct exchange fresh = {}, *x;
	struct replica *one;
	u32 address, *index;
	u64 key;

	if (sk->__sk_common.skc_family == AF_INET6)
		address = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[3];
	else
		address = sk->__sk_common.skc_daddr;
	key = client_key(address, sk->__sk_common.skc_dport);
	index = bpf_map_lookup_elem(&given, &key);
	if (!index)
		return;
	fresh.replica = *index + 1;
	x = bpf_sk_storage_get(&exchanges, sk, &fresh, BPF_SK_STORAGE_GET_F_CREATE);
	one = replica_at(*index);
	if (x && one)
		__sync_fetch_and_add(&one->connections, 1);
}

static __always_inline void closed(struct sock *sk)
{
	struct exchange *x = exchange_of(sk);
	struct replica *one;

	if (!x || !x->replica)
		return;
	one = replica_at(x->replica - 1);
	if (one) {
		__sync_fetch_and_add(&one->connections, -1);
		if (x->ready_ns) {
			__sync_fetch_and_add(&one->in_flight, -1);
			if (!x->read_ns)
				__sync_fetch_and_add(&one->unread, -1);
		}
	}
	x->replica = 0;
}

/* Count an answer, and judge it if its replica is of a track that has traffic. */
static __always_inline void judge(struct control *c, struct replica *one, u32 index, bool error, u64 service, u64 now)
{
	bool canary;

	__sync_fetch_and_add(&one->requests, 1);
	if (error)
		__sync_fetch_and_add(&one->errors, 1);
	count_latency(index / PER_TRACK, service);
	if (!is_judged(c, index))
		return;
	canary = is_canary(c, index);
	observe(BY_ERRORS, canary, error, index, now);
	observe(BY_LATENCY, canary, c->latency_ns && service > c->latency_ns, index, now);
}

/*
 * A replica tells how a call went whose connection carries many at once (gRPC): nothing outside it can see where one
 * ends. It could lie, as it could about its status lines; what it cannot hide is seen by the other programs.
 */
static __always_inline void hear(struct pt_regs *regs, u32 index)
{
	struct replica *one = replica_at(index);
	struct control *c = the_control();

	if (c && one && (u32)ARGUMENT_1(regs) == CALL_TOLD)
		judge(c, one, index, ARGUMENT_2(regs) >= 500, ARGUMENT_3(regs), bpf_ktime_get_ns());
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int old, int new)
{
	struct control *c = the_control();
	u16 port = sk->__sk_common.skc_num;

	/* A connection that is reset has given its port back before this is told; whose it was says its exchange. */
	if (!c || (port != c->port && (port || new != TCP_CLOSE)))
		return 0;
	if (old == TCP_SYN_RECV && new == TCP_ESTABLISHED)
		opened(sk);
	else if ((old == TCP_ESTABLISHED && new != TCP_CLOSE_WAIT) || old == TCP_CLOSE_WAIT)
		closed(sk);
	return 0;
}

SEC("tp_btf/sk_data_ready")
int BPF_PROG(on_ready, struct sock *sk)
{
	struct control *c = the_control();
	struct replica *one;
	struct exchange *x;
	u64 now;

	/* Established only: the end of a connection is readable too, and no request. */
	if (!c || sk->__sk_common.skc_num != c->port || sk->__sk_common.skc_state != TCP_ESTABLISHED)
		return 0;
	x = exchange_of(sk);
	if (!x || !x->replica || x->ready_ns)
		return 0;
	one = replica_at(x->replica - 1);
	if (!one)
		return 0;
	now = bpf_ktime_get_ns();
	x->read_ns = 0;
	x->ready_ns = now;
	if (!__sync_fetch_and_add(&one->unread, 1))
		set_unread_since(one, now);
	if (!__sync_fetch_and_add(&one->in_flight, 1))
		set_progress(one, now);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_read, struct sock *sk, int size)
{
	struct control *c = the_control();
	struct replica *one;
	struct exchange *x;

	if (size <= 0 || !c || sk->__sk_common.skc_num != c->port)
		return 0;
	x = exchange_of(sk);
	if (!x || !x->replica || !x->ready_ns)
		return 0;
	one = replica_at(x->replica - 1);
	if (!one)
		return 0;
	if (!x->read_ns) {
		__sync_fetch_and_add(&one->unread, -1);
		set_unread_since(one, bpf_ktime_get_ns());
	}
	x->waited_ns = one->waited_ns;
	x->read_ns = bpf_ktime_get_ns(); /* the last one counts: a slow client is not the replica's fault */
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_answer, struct sock *sk, int size)
{
	struct control *c = the_control();
	u64 now, service, waited;
	struct replica *one;
	struct exchange *x;
	u32 thread, *status, index;

	if (size <= 0 || !c || sk->__sk_common.skc_num != c->port)
		return 0;
	x = exchange_of(sk);
	if (!x || !x->replica || !x->ready_ns || !x->read_ns)
		return 0;
	index = x->replica - 1;
	one = replica_at(index);
	if (!one)
		return 0;
	thread = bpf_get_current_pid_tgid();
	status = bpf_map_lookup_elem(&statuses, &thread);
	if (status && *status < 200) /* 1xx only announces the answer */
		return 0;
	now = bpf_ktime_get_ns();
	service = now - x->read_ns;
	waited = one->waited_ns - x->waited_ns;
	service = service > waited ? service - waited : 0;
	x->ready_ns = 0;
	__sync_fetch_and_add(&one->in_flight, -1);
	set_progress(one, now);
	judge(c, one, index, status && *status >= 500, service, now);
	return 0;
}

static __always_inline void woken(struct task_struct *task)
{
	u32 tgid = task->tgid, thread = task->pid, *index;
	struct replica *one;
	u64 now;

	index = bpf_map_lookup_elem(&processes, &tgid);
	if (!index)
		return;
	now = bpf_ktime_get_ns();
	bpf_map_update_elem(&waiting, &thread, &now, BPF_ANY);
	one = replica_at(*index);
	if (one && !one->queued_since_ns)
		one->queued_since_ns = now;
}

/* A thread that goes to sleep was running just now: a wakeup that came while it ran left it in no queue. */
static __always_inline void went_to_sleep(struct task_struct *task)
{
	u32 tgid = task->tgid, thread = task->pid, *index;
	struct replica *one;

	index = bpf_map_lookup_elem(&processes, &tgid);
	if (!index)
		return;
	bpf_map_delete_elem(&waiting, &thread);
	one = replica_at(*index);
	if (one)
		one->queued_since_ns = 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task)
{
	woken(task);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *before, struct task_struct *next)
{
	u32 tgid = next->tgid, thread = next->pid, *index;
	struct replica *one;
	struct control *c;
	u64 *since, waited, now;

	if (before->__state == 0) /* it was taken off the processor and wants it back */
		woken(before);
	else
		went_to_sleep(before);
	index = bpf_map_lookup_elem(&processes, &tgid);
	if (!index)
		return 0;
	one = replica_at(*index);
	if (one)
		one->queued_since_ns = 0;
	since = bpf_map_lookup_elem(&waiting, &thread);
	if (!since || !*since)
		return 0;
	now = bpf_ktime_get_ns();
	waited = now - *since;
	*since = 0;
	if (one)
		__sync_fetch_and_add(&one->waited_ns, waited);
	c = the_control();
	if (c && c->jitter_ns && is_judged(c, *index))
		observe(BY_JITTER, is_canary(c, *index), waited > c->jitter_ns, *index, now);
	return 0;
}

SEC("tp_btf/rss_stat")
int BPF_PROG(on_memory, struct mm_struct *mm, int member)
{
	struct task_struct *task;
	struct replica *one;
	struct control *c;
	u32 *index;
	s64 pages;

	if (member != MM_ANONPAGES)
		return 0;
	index = current_replica();
	if (!index)
		return 0;
	task = bpf_get_current_task_btf();
	one = replica_at(*index);
	c = the_control();
	pages = mm->rss_stat[MM_ANONPAGES].count;
	if (!one || !c || task->mm != mm || pages <= 0)
		return 0;
	if (task->tgid == one->pid)
		one->memory_pages = pages;
	if (!is_judged(c, *index))
		return 0;
	if (!one->memory_base) /* of stable too: what it grows by is what a canary may */
		one->memory_base = pages;
	if (is_canary(c, *index) && c->memory_pages && (u64)pages > one->memory_base + c->memory_pages)
		flip(c, MEMORY, bpf_ktime_get_ns(), *index, pages - one->memory_base, 0, c->memory_pages);
	return 0;
}

/* Remember the status line of an answer on its way to the socket. */
static __always_inline void note_status(struct pt_regs *regs, long number)
{
	const void *buffer = (void *)ARGUMENT_2(regs), *first;
	u32 thread = bpf_get_current_pid_tgid(), status = 200;
	char head[12] = {};

	if (number == SYS_SENDMSG) { /* msghdr: name, its length, then the pieces */
		if (bpf_probe_read_user(&first, sizeof(first), buffer + 16))
			return;
		buffer = first;
	}
	if (number == SYS_SENDMSG || number == SYS_WRITEV) {
		if (bpf_probe_read_user(&first, sizeof(first), buffer))
			return;
		buffer = first;
	}
	if (bpf_probe_read_user(head, sizeof(head), buffer))
		return;
	if (head[0] == 'H' && head[1] == 'T' && head[2] == 'T' && head[3] == 'P' && head[8] == ' ')
		status = (head[9] - '0') * 100 + (head[10] - '0') * 10 + (head[11] - '0');
	bpf_map_update_elem(&statuses, &thread, &status, BPF_ANY);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_syscall, struct pt_regs *regs, long number)
{
	u32 *index = current_replica();
	struct control *c;

	if (!index)
		return 0;
	if (number == SYS_SENDTO || number == SYS_WRITE || number == SYS_SENDMSG || number == SYS_WRITEV)
		note_status(regs, number);
	else if (number == SYS_PRCTL)
		hear(regs, *index);
	c = the_control();
	if (!c || number < 0 || number > 511 || !is_canary(c, *index))
		return 0;
	if (c->syscalls[(number >> 6) & 7] >> (number & 63) & 1)
		flip(c, SYSCALL, bpf_ktime_get_ns(), *index, number, 0, 0);
	return 0;
}

/* A process of the canary ends, by a signal or by itself; one that it forked may. */
static __always_inline void dies(u32 tgid, u32 index, u32 status)
{
	struct replica *one = replica_at(index);
	struct control *c = the_control();

	if (c && one && one->pid == tgid && is_canary(c, index))
		flip(c, CRASH, bpf_ktime_get_ns(), index, status, 0, 0);
}

/* SIGKILL ends a process before it runs again, and its exit comes only when it does: milliseconds later if it waits. */
SEC("tp_btf/signal_generate")
int BPF_PROG(on_kill, int number, void *info, struct task_struct *task, int group, int result)
{
	u32 tgid, *index;

	if (number != SIGKILL || result)
		return 0;
	tgid = task->tgid;
	index = bpf_map_lookup_elem(&processes, &tgid);
	if (index) {
		dies(tgid, *index, number);
		bpf_map_delete_elem(&processes, &tgid); /* no connection more goes there */
	}
	return 0;
}

/* A fault that nobody handles: what follows, a core dump say, takes long. */
SEC("tp_btf/signal_deliver")
int BPF_PROG(on_signal, int number, void *info, struct k_sigaction *action)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32, *index;

	/* SIGKILL was seen when it was sent; threads of a process that exits by itself get it too, unsent. */
	if (number == SIGKILL || number < 1 || number > 31 || action->sa.sa_handler)
		return 0;
	index = bpf_map_lookup_elem(&processes, &tgid);
	if (index && !(HARMLESS >> (number & 63) & 1))
		dies(tgid, *index, number);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 tgid = parent->tgid, forked = child->tgid, *index, value;

	index = bpf_map_lookup_elem(&processes, &tgid);
	if (!index || forked == tgid) /* a stranger, or a thread */
		return 0;
	value = *index;
	bpf_map_update_elem(&processes, &forked, &value, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	u32 tgid = task->tgid, *index;

	if (task->pid != task->tgid)
		return 0;
	index = bpf_map_lookup_elem(&processes, &tgid);
	if (!index)
		return 0;
	dies(tgid, *index, task->exit_code & 0xffff);
	bpf_map_delete_elem(&processes, &tgid);
	return 0;
}

/*
 * A process that hangs reaches no tracepoint. It hangs when a request has waited for a first read longer than the
 * budget, or when two or more have been read and none was answered for as long. One alone may be a client that
 * stopped in the middle of its request. Time in which the process waits for a processor is the machine's, not its own.
 */
static long look(u64 n, u32 *first)
{
	u64 unread, silent, queued, now = bpf_ktime_get_ns();
	struct control *c = the_control();
	struct replica *one = replica_at(*first + n);
	u32 index = *first + n;

	if (!c || !one || !one->pid)
		return 0;
	queued = one->queued_since_ns;
	queued = queued && queued < now ? now - queued : 0;
	queued += one->waited_ns;
	unread = one->unread ? now - one->unread_since_ns - (queued - one->unread_waited_ns) : 0;
	silent = one->in_flight > 1 ? now - one->progress_ns - (queued - one->progress_waited_ns) : 0;
	if ((s64)unread > (s64)c->hang_ns)
		flip(c, HANG, now, index, unread, 0, c->hang_ns);
	else if ((s64)silent > (s64)c->hang_ns)
		flip(c, HANG, now, index, silent, 0, c->hang_ns);
	return 0;
}

static int on_tick(void *map, int *key, struct watchdog *dog)
{
	struct control *c = the_control();
	u64 next = IDLE_TICK_NS;
	u32 first;

	if (c && c->state == ACTIVE && c->hang_ns) {
		first = (c->canary & (TRACKS - 1)) * PER_TRACK;
		next = TICK_NS;
		bpf_loop(PER_TRACK, look, &first, 0);
	}
	bpf_timer_start(&dog->timer, next, 0);
	return 0;
}

SEC("syscall")
int start_watchdog(void *ctx)
{
	u32 first = 0;
	struct watchdog *dog = bpf_map_lookup_elem(&watchdogs, &first);

	if (!dog)
		return 1;
	bpf_timer_init(&dog->timer, &watchdogs, CLOCK_MONOTONIC); /* busy when it runs already */
	bpf_timer_set_callback(&dog->timer, on_tick);
	return bpf_timer_start(&dog->timer, TICK_NS, 0);
}
