// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * syscalls: which system calls the traced processes make, how often and how long they take.
 *
 * WHAT    By process and number: finished calls, failed ones, total, longest, log2 histogram of the time inside.
 * ATTACH  tp_btf/sys_enter, tp_btf/sys_exit
 * COST    about 0.17 us a call of a traced thread; one map lookup for any other.
 * LOSS    more than 4,096 (process, number) pairs or 8,192 threads inside calls: lost[LOST_SYSCALLS]. A call that has not
 *         returned when tracing ends (or never does, like exit_group) is not counted.
 */
#include "common.bpf.h"

struct pending {
	u64 since;
	u64 number;
};

struct call {
	u32 pid;
	u32 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct pending);
} entered SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct call);
	__type(value, struct latency);
} calls SEC(".maps");

static __always_inline struct latency *latency_of(struct call *call)
{
	struct latency *entry = bpf_map_lookup_elem(&calls, call), fresh = { .pid = call->pid };

	if (entry)
		return entry;
	bpf_map_update_elem(&calls, call, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&calls, call);
}

static __always_inline void add_call(struct latency *entry, u64 elapsed, bool failed)
{
	__sync_fetch_and_add(&entry->count, 1);
	add_latency(entry, elapsed);
	if (failed)
		__sync_fetch_and_add(&entry->errors, 1);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(handle_enter, struct pt_regs *regs, long number)
{
	u64 id = bpf_get_current_pid_tgid();
	struct pending pending = { .number = number };
	u32 tid = id;

	if (!current_target(id))
		return 0;
	pending.since = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&entered, &tid, &pending, BPF_ANY))
		count_lost(LOST_SYSCALLS);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(handle_exit, struct pt_regs *regs, long result)
{
	u64 id = bpf_get_current_pid_tgid();
	struct target *target = current_target(id);
	struct pending *pending;
	struct latency *entry;
	struct call call;
	u32 tid = id;

	if (!target)
		return 0;
	pending = bpf_map_lookup_elem(&entered, &tid);
	if (!pending)
		return 0;
	call.pid = target->pid;
	call.number = pending->number;
	entry = latency_of(&call);
	if (entry)
		add_call(entry, bpf_ktime_get_ns() - pending->since, result < 0 && result >= -4095);
	else
		count_lost(LOST_SYSCALLS);
	bpf_map_delete_elem(&entered, &tid);
	return 0;
}
