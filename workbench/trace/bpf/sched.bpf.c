// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * sched: how long ready threads wait for a CPU (run-queue latency), the sign of a noisy neighbour.
 *
 * WHAT    log2 histogram by thread of the time between becoming runnable (woken, created or preempted) and running; a
 *         record of each wait of 0.1 ms and more, for the time axis.
 * ATTACH  tp_btf/sched_wakeup, tp_btf/sched_wakeup_new, tp_btf/sched_switch
 * COST    about 0.2 us a wake-up and 0.3 us a switch of a traced thread; one map lookup for any other.
 * LOSS    more than 8,192 threads: the wait is dropped and counted in lost[LOST_SCHED]. Ring buffer full: the record is
 *         dropped (lost[LOST_RING]), the histogram stays exact.
 */
#include "common.bpf.h"

#define TASK_RUNNING 0
#define SHOWN_NS 100000

/* When a waiting thread became runnable, by global tid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, u64);
} runnable SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct latency);
} waits SEC(".maps");

static __always_inline void start_wait(struct task_struct *task)
{
	u64 now = bpf_ktime_get_ns();
	u32 tid = task->pid;

	if (task_target(task) && bpf_map_update_elem(&runnable, &tid, &now, BPF_ANY))
		count_lost(LOST_SCHED);
}

static __always_inline struct latency *wait_of(struct task_struct *task, struct target *target)
{
	struct latency fresh = { .pid = target->pid };
	u32 tid = task->pid;
	struct latency *entry = bpf_map_lookup_elem(&waits, &tid);

	if (entry)
		return entry;
	fresh.tid = seen_tid(task, target);
	bpf_map_update_elem(&waits, &tid, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&waits, &tid);
}

static __always_inline void send_delay(struct latency *entry, u64 since, u64 waited)
{
	struct record delay = {
		.time_ns = since,
		.pid = entry->pid,
		.tid = entry->tid,
		.weight = waited / 1000 < 0xffffffff ? waited / 1000 : 0xffffffff,
		.size = sizeof(delay),
		.kind = RECORD_DELAY,
	};

	if (bpf_ringbuf_output(&ring, &delay, sizeof(delay), BPF_RB_NO_WAKEUP))
		count_lost(LOST_RING);
}

static __always_inline void end_wait(struct task_struct *task)
{
	struct target *target = task_target(task);
	u32 tid = task->pid;
	struct latency *entry;
	u64 *known, since, waited;

	if (!target)
		return;
	known = bpf_map_lookup_elem(&runnable, &tid);
	if (!known)
		return;
	since = *known;
	waited = bpf_ktime_get_ns() - since;
	bpf_map_delete_elem(&runnable, &tid);
	entry = wait_of(task, target);
	if (!entry) {
		count_lost(LOST_SCHED);
		return;
	}
	/* No atomics: a thread starts to run on one CPU at a time. */
	entry->count++;
	entry->total_ns += waited;
	if (waited > entry->max_ns)
		entry->max_ns = waited;
	entry->slots[latency_slot(waited)]++;
	if (waited >= SHOWN_NS)
		send_delay(entry, since, waited);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(handle_wakeup, struct task_struct *task)
{
	start_wait(task);
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(handle_wakeup_new, struct task_struct *task)
{
	start_wait(task);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(handle_switch, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int state)
{
	/* Not prev->__state: another CPU may have woken it by now. */
	if (preempt || state == TASK_RUNNING)
		start_wait(prev);
	end_wait(next);
	return 0;
}
