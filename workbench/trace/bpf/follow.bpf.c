// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * follow: keeps the set of traced processes: the one asked for, the children it has, the children it gets.
 *
 * WHAT    adopt (run once) puts the wanted process and its living descendants into `targets`; the handlers add forked
 *         children and forget ended processes. Fork and exec are also sent as records, so that user space knows whose
 *         memory to read names from.
 * ATTACH  iter/task; tp_btf/sched_process_fork, tp_btf/sched_process_exec, tp_btf/sched_process_exit
 * COST    one map lookup a fork, exec or exit.
 * LOSS    more than 4,096 processes: the child is not followed and counted in lost[LOST_TARGETS].
 */
#include "common.bpf.h"

struct wanted {
	struct target target;
	u32 pid;		/* as the collector sees it */
	u32 skip_tid;		/* as the collector sees it; 0: none */
	u32 adopted;		/* how many processes were added */
	u32 client;		/* as the collector sees it: whose namespace numbers are given in */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct wanted);
} request SEC(".maps");

static __always_inline void add_target(u32 tgid, struct target *target)
{
	if (bpf_map_update_elem(&targets, &tgid, target, BPF_ANY))
		count_lost(LOST_TARGETS);
}

static __always_inline void send_event(u8 kind, u32 pid, u32 weight)
{
	struct record record = { .kind = kind, .pid = pid, .tid = pid, .weight = weight, .size = sizeof(record) };

	record.time_ns = bpf_ktime_get_ns();
	if (bpf_ringbuf_output(&ring, &record, sizeof(record), BPF_RB_NO_WAKEUP))
		count_lost(LOST_RING);
}

/* The number the collector (who runs the iterator) knows the task by. */
static __always_inline u32 callers_number(struct task_struct *task)
{
	struct task_struct *reader = (struct task_struct *)bpf_get_current_task();

	return tid_at(task, BPF_CORE_READ(reader, thread_pid, level));
}

static __always_inline void adopt_leader(struct task_struct *task, struct wanted *wanted)
{
	u32 parent = BPF_CORE_READ(task, real_parent, tgid), tgid = task->tgid;
	struct target child = {}, *known;

	if (bpf_map_lookup_elem(&targets, &tgid))
		return;
	if (wanted->pid && callers_number(task) == wanted->pid) {
		wanted->target.pid = seen_tid(task, &wanted->target);
		add_target(tgid, &wanted->target);
		wanted->adopted++;
		return;
	}
	known = bpf_map_lookup_elem(&targets, &parent);
	if (!known)
		return;
	/* A child that was there before may have executed another program: no Python layout. */
	child.level = wanted->target.level;
	child.pid = seen_tid(task, &child);
	add_target(tgid, &child);
	wanted->adopted++;
}

SEC("iter/task")
int adopt(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct wanted *wanted;
	struct target *known;
	u32 zero = 0, tgid;

	wanted = bpf_map_lookup_elem(&request, &zero);
	if (!task || !wanted)
		return 0;
	tgid = task->tgid;
	/* The collector may be a child of the process it traces; its own work is nobody's cell. */
	if (tgid == bpf_get_current_pid_tgid() >> 32)
		return 0;
	if (task->pid == tgid && callers_number(task) == wanted->client)
		wanted->target.level = BPF_CORE_READ(task, thread_pid, level);
	if (task->pid == tgid && wanted->pid)
		adopt_leader(task, wanted);
	known = bpf_map_lookup_elem(&targets, &tgid);
	if (known && wanted->skip_tid && callers_number(task) == wanted->skip_tid)
		known->skip_tid = task->pid;
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(handle_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 parent_tgid = parent->tgid, child_tgid = child->tgid;
	struct target *known = bpf_map_lookup_elem(&targets, &parent_tgid), target;

	if (!known || parent_tgid == child_tgid)
		return 0;
	target = *known;
	target.skip_tid = 0;
	target.pid = seen_tid(child, &target);
	add_target(child_tgid, &target);
	send_event(RECORD_FORK, known->pid, target.pid);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(handle_exec, struct task_struct *task, int old_pid, struct linux_binprm *program)
{
	u32 tgid = task->tgid;
	struct target *known = bpf_map_lookup_elem(&targets, &tgid);

	if (!known)
		return 0;
	/* Another program: the interpreter we knew is gone. */
	known->python.runtime = 0;
	known->ruled = 0;
	send_event(RECORD_EXEC, known->pid, 1);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(handle_process_exit, struct task_struct *task)
{
	u32 tgid = task->tgid;

	/* The last thread: the number may be given to a stranger from now on. */
	if (BPF_CORE_READ(task, signal, live.counter) == 0)
		bpf_map_delete_elem(&targets, &tgid);
	return 0;
}
