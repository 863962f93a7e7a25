// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * offcpu: where traced threads block (locks, sleeps, reads), for how long, and who wakes them.
 *
 * WHAT    One record each time a thread that gave up its CPU runs again: its stack, the time between, the thread that
 *         woke it and what that one was doing. A preempted thread is not blocked; its delay is `sched`'s.
 * ATTACH  tp_btf/sched_waking, tp_btf/sched_switch; entry and exit of hrtimer_expire, softirq, irq_handler
 * COST    about 1.5 us an interval of a traced thread; one map lookup for any other; 30 ns an interrupt.
 * LOSS    ring buffer full: lost[LOST_RING]. More than 8,192 blocked threads: lost[LOST_OFFCPU]. More than 16,384 distinct
 *         stacks: the interval is kept without (lost[LOST_STACKS]). An interval whose end was not shown is sent when its
 *         thread leaves the CPU again, with its end from the thread's run time; where another one hides behind it,
 *         lost[LOST_OFFCPU]. Threads blocked when tracing ends are not sent.
 */
#include "stack.bpf.h"
#include "switches.bpf.h"

#define TASK_RUNNING 0

struct blocked {
	u64 since;
	u64 stack;
	u64 waker_stack;
	u32 waker_pid;
	u32 waker_tid;
	char waker[16];
	struct turns before;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct blocked);
} blocked SEC(".maps");

/* How deep in interrupts this CPU is: what wakes there is a timer or a device, not the thread it interrupted. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, s32);
} interrupts SEC(".maps");

static __always_inline void enter_interrupt(s32 step)
{
	u32 zero = 0;
	s32 *depth = bpf_map_lookup_elem(&interrupts, &zero);

	/* Attached in the middle of one, we see its end only. */
	if (depth && (step > 0 || *depth > 0))
		*depth += step;
}

static __always_inline bool by_interrupt(void)
{
	u32 zero = 0;
	s32 *depth = bpf_map_lookup_elem(&interrupts, &zero);

	return depth && *depth > 0;
}

#define BRACKET(name, entry, exit)				\
	SEC("tp_btf/" #entry) int enter_##name(void *ctx)	\
	{							\
		enter_interrupt(1);				\
		return 0;					\
	}							\
	SEC("tp_btf/" #exit) int leave_##name(void *ctx)	\
	{							\
		enter_interrupt(-1);				\
		return 0;					\
	}

BRACKET(timer, hrtimer_expire_entry, hrtimer_expire_exit)
BRACKET(softirq, softirq_entry, softirq_exit)
BRACKET(device, irq_handler_entry, irq_handler_exit)

SEC("tp_btf/sched_waking")
int BPF_PROG(handle_waking, struct task_struct *task)
{
	u64 id = bpf_get_current_pid_tgid();
	struct target *target;
	struct blocked *entry;
	struct task_struct *waker;
	u32 tid = task->pid;

	target = task_target(task);
	if (!target)
		return 0;
	entry = bpf_map_lookup_elem(&blocked, &tid);
	if (!entry || by_interrupt() || !id)
		return 0;
	waker = (struct task_struct *)bpf_get_current_task();
	entry->waker_pid = seen_tid(BPF_CORE_READ(waker, group_leader), target);
	entry->waker_tid = seen_tid(waker, target);
	bpf_get_current_comm(entry->waker, sizeof(entry->waker));
	entry->waker_stack = current_stack(current_target(id));
	return 0;
}

static __always_inline void start_block(struct task_struct *task, struct target *target)
{
	struct blocked entry = {};
	u32 tid = task->pid;

	entry.since = bpf_ktime_get_ns();
	entry.stack = current_stack(target);
	count_turns(task, &entry.before);
	if (bpf_map_update_elem(&blocked, &tid, &entry, BPF_ANY))
		count_lost(LOST_OFFCPU);
}

static __always_inline void send_block(struct task_struct *task, struct target *target, struct blocked *entry, u64 end)
{
	struct offcpu_record record = {};
	u32 tid = task->pid;

	record.head.time_ns = entry->since;
	record.head.pid = target->pid;
	record.head.tid = seen_tid(task, target);
	record.head.weight = 1;
	record.head.kind = RECORD_OFFCPU;
	record.head.size = sizeof(record);
	record.duration = end - entry->since;
	record.stack = entry->stack;
	record.waker_stack = entry->waker_stack;
	record.waker_pid = entry->waker_pid;
	record.waker_tid = entry->waker_tid;
	__builtin_memcpy(record.waker, entry->waker, sizeof(record.waker));
	bpf_map_delete_elem(&blocked, &tid);
	if (bpf_ringbuf_output(&ring, &record, sizeof(record), BPF_RB_NO_WAKEUP))
		count_lost(LOST_RING);
}

static __always_inline void end_block(struct task_struct *task)
{
	struct target *target = task_target(task);
	struct blocked *entry;
	u32 tid = task->pid;

	if (!target)
		return;
	entry = bpf_map_lookup_elem(&blocked, &tid);
	if (entry)
		send_block(task, target, entry, bpf_ktime_get_ns());
}

/* A thread leaves that was not seen to come. */
static __always_inline void end_unseen(struct task_struct *task, struct target *target)
{
	struct turns now = {};
	struct blocked *entry;
	u32 tid = task->pid;

	entry = bpf_map_lookup_elem(&blocked, &tid);
	if (!entry)
		return;
	count_turns(task, &now);
	if (now.switches != entry->before.switches + 1)
		count_lost(LOST_OFFCPU);
	send_block(task, target, entry, arrival(&entry->before, &now));
}

SEC("tp_btf/sched_switch")
int BPF_PROG(handle_block, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int state)
{
	struct target *target = task_target(prev);

	if (target) {
		end_unseen(prev, target);
		/* Not prev->__state: another CPU may have woken it by now. */
		if (!preempt && state != TASK_RUNNING)
			start_block(prev, target);
	}
	end_block(next);
	return 0;
}
