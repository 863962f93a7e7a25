// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * sched: how long ready threads wait for a CPU (run-queue latency), the sign of a noisy neighbour.
 *
 * WHAT    log2 histogram by thread of the time between becoming runnable (woken, created or preempted) and running; a
 *         record of each wait of 0.1 ms and more, for the time axis.
 * ATTACH  tp_btf/sched_wakeup, tp_btf/sched_wakeup_new, tp_btf/sched_switch
 * COST    about 0.2 us a wake-up and 0.4 us a switch of a traced thread; one map lookup for any other.
 * LOSS    more than 8,192 threads: the wait is dropped and counted in lost[LOST_SCHED]. Ring buffer full: the record is
 *         dropped (lost[LOST_RING]), the histogram stays exact. A wait whose beginning or end was not shown is taken from
 *         the kernel's own account when its thread leaves the CPU; where there is none, lost[LOST_SCHED].
 */
#include "switches.bpf.h"

#define TASK_RUNNING 0
#define SHOWN_NS 100000

#define TASK_DEAD 0x80

struct turn {
	u64 since;	/* became ready; 0: not seen */
	u64 counted;	/* its wait was */
	struct turns before;
};

/* Of each thread, by global tid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct turn);
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
	struct turn fresh = { .since = bpf_ktime_get_ns() }, *turn;
	u32 tid = task->pid;

	if (!task_target(task))
		return;
	turn = bpf_map_lookup_elem(&runnable, &tid);
	if (turn) {
		turn->since = fresh.since;
		return;
	}
	count_turns(task, &fresh.before);
	if (bpf_map_update_elem(&runnable, &tid, &fresh, BPF_ANY))
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

static __always_inline void add_wait(struct task_struct *task, struct target *target, u64 since, u64 waited)
{
	struct latency *entry = wait_of(task, target);

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

static __always_inline void end_wait(struct task_struct *task)
{
	struct target *target = task_target(task);
	u32 tid = task->pid;
	struct turn *turn;

	if (!target)
		return;
	turn = bpf_map_lookup_elem(&runnable, &tid);
	if (!turn || !turn->since)
		return;
	add_wait(task, target, turn->since, bpf_ktime_get_ns() - turn->since);
	turn->since = 0;
	turn->counted = 1;
}

/* A thread leaves; whether it was seen to wait before it came. */
static __always_inline void end_turn(struct task_struct *task, bool ready, bool dead)
{
	struct target *target = task_target(task);
	struct turns now = {};
	struct turn *turn;
	u32 tid = task->pid;
	u64 waited;

	if (!target)
		return;
	turn = bpf_map_lookup_elem(&runnable, &tid);
	if (turn) {
		count_turns(task, &now);
		waited = now.delay - turn->before.delay;
		if (!turn->counted && now.delay != UNKNOWN && now.switches == turn->before.switches + 1)
			add_wait(task, target, arrival(&turn->before, &now) - waited, waited);
		else if (!turn->counted || now.switches != turn->before.switches + 1)
			count_lost(LOST_SCHED);
		turn->before = now;
		turn->counted = 0;
		turn->since = 0;
	}
	if (dead)
		bpf_map_delete_elem(&runnable, &tid);
	else if (ready)
		start_wait(task);
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
	end_turn(prev, preempt || state == TASK_RUNNING, state & TASK_DEAD);
	end_wait(next);
	return 0;
}
