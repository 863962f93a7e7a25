// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * faults: page faults of the traced processes.
 *
 * WHAT    Exact number of user-mode page faults by process, and the stack of every 16th of each CPU, which says which
 *         Python line touched the new memory.
 * ATTACH  tp_btf/page_fault_user
 * COST    about 60 ns a fault, 1 us each 16th.
 * LOSS    ring buffer full: the stack is dropped (lost[LOST_RING]), the count stays exact. More than 4,096 processes:
 *         lost[LOST_FAULTS].
 */
#include "stack.bpf.h"

#define FAULTS_PER_STACK 16

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct latency);
} faults SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} turns SEC(".maps");

static __always_inline void count_fault(u32 pid)
{
	struct latency *entry = bpf_map_lookup_elem(&faults, &pid), fresh = { .pid = pid };

	if (!entry) {
		bpf_map_update_elem(&faults, &pid, &fresh, BPF_NOEXIST);
		entry = bpf_map_lookup_elem(&faults, &pid);
	}
	if (entry)
		__sync_fetch_and_add(&entry->count, 1);
	else
		count_lost(LOST_FAULTS);
}

SEC("tp_btf/page_fault_user")
int BPF_PROG(handle_fault, unsigned long address, struct pt_regs *regs, unsigned long error_code)
{
	struct target *target = current_target(bpf_get_current_pid_tgid());
	u32 zero = 0;
	u64 *turn;

	if (!target)
		return 0;
	count_fault(target->pid);
	turn = bpf_map_lookup_elem(&turns, &zero);
	if (turn && ++*turn % FAULTS_PER_STACK == 0)
		send_stack(target, RECORD_FAULT, 0, FAULTS_PER_STACK);
	return 0;
}
