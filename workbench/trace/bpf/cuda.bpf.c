// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * cuda: calls of the CUDA driver and runtime libraries: launches, allocations, releases, copies, synchronisation.
 *
 * WHAT    Calls, time inside and bytes of each function by process; the first 20,000 also one by one with their stack. Time
 *         is what the caller spends in the call: a launch only puts work into a queue.
 * ATTACH  uprobe_multi, entry and return (C functions: no exception passes them). Cookie: number of the function, bits 32 to
 *         35: which argument says how many bytes, 0: none.
 * COST    about 2 us a call.
 * LOSS    more than 8,192 calls under way: lost[LOST_CALLS].
 */
#include "calls.bpf.h"

/* Entry and return of one call share thread and stack pointer, however deep calls nest. */
#if defined(__TARGET_ARCH_x86)
#define RETURN_SHIFT 8		/* the return address has been taken off */
#else
#define RETURN_SHIFT 0
#endif

struct call {
	u64 stack_pointer;
	u32 tid;
	u32 pad;
};

struct begun {
	u64 since;
	u64 bytes;
	u64 stack;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct call);
	__type(value, struct begun);
} under_way SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct function);
	__type(value, u64);
} moved SEC(".maps");

static __always_inline u64 argument(struct pt_regs *ctx, u32 index)
{
	u64 values[5] = { 0, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx), PT_REGS_PARM4(ctx) };

	return index < 5 ? values[index] : 0;
}

static __always_inline void add_bytes(u32 pid, u32 number, u64 bytes)
{
	struct function key = { .pid = pid, .number = number };
	u64 *sum = bpf_map_lookup_elem(&moved, &key), zero = 0;

	if (!bytes)
		return;
	if (!sum) {
		bpf_map_update_elem(&moved, &key, &zero, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&moved, &key);
	}
	if (sum)
		__sync_fetch_and_add(sum, bytes);
}

SEC("uprobe")
int handle_cuda(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), cookie = bpf_get_attach_cookie(ctx);
	struct call call = { .stack_pointer = PT_REGS_SP(ctx) + RETURN_SHIFT, .tid = id };
	struct target *target = current_target(id);
	struct begun begun = {};
	struct latency *entry;

	if (!target)
		return 0;
	entry = function_entry(target->pid, cookie);
	if (!entry)
		return 0;
	__sync_fetch_and_add(&entry->count, 1);
	begun.bytes = argument(ctx, cookie >> 32 & 15);
	add_bytes(target->pid, cookie, begun.bytes);
	if (entry->count < EVENTS)
		begun.stack = function_stack(ctx, target, 1);
	begun.since = bpf_ktime_get_ns();
	bpf_map_update_elem(&under_way, &call, &begun, BPF_ANY);
	return 0;
}

SEC("uprobe")
int handle_cuda_return(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns(), cookie = bpf_get_attach_cookie(ctx);
	struct call call = { .stack_pointer = PT_REGS_SP(ctx), .tid = id };
	struct target *target = current_target(id);
	struct begun *begun;
	struct latency *entry;

	if (!target)
		return 0;
	begun = bpf_map_lookup_elem(&under_way, &call);
	if (!begun)
		return 0;
	entry = function_entry(target->pid, cookie);
	if (entry)
		add_latency(entry, now - begun->since);
	if (take_event())
		send_call(target, cookie, begun->since, now - begun->since, begun->bytes, begun->stack);
	bpf_map_delete_elem(&under_way, &call);
	return 0;
}
