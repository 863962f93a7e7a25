// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * operators: calls of torch operators, our own kernels and TVM functions, without touching their returns.
 *
 * WHAT    Exact number of calls of each function. Time: a call is over, at the latest, when its thread enters another probed
 *         function with the stack pointer above (or at) the call's own; marker functions that run right after an operator
 *         (its result becoming a Python object) make that tight for what Python calls. The first 20,000 calls are also
 *         sent one by one.
 *         A return probe would be exact and fatal: it replaces the return address, a C++ exception that passes finds no
 *         way on, and the process ends ("terminate called"), where torch would have raised RuntimeError.
 * ATTACH  uprobe_multi, cookie: number of the function, bit 32 set for a marker
 * COST    about 0.9 us a call whose first instruction the kernel can emulate (push, nop), 13 us where it must single-step.
 * LOSS    more than 2,048 threads or 16 operators deep: the call is counted, not timed. More than 8,192 functions:
 *         lost[LOST_CALLS].
 */
#include "calls.bpf.h"

#define DEEPEST 16
#define MARKER (1ULL << 32)

struct open_call {
	u64 stack_pointer;
	u64 since;
	u64 number;
};

struct open_calls {
	u32 depth;
	u32 pad;
	struct open_call calls[DEEPEST];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, u32);
	__type(value, struct open_calls);
} threads SEC(".maps");

/* Too big for the BPF stack. */
static const struct open_calls nothing_open;

static __always_inline void close_call(struct target *target, struct open_call *call, u64 now)
{
	struct latency *entry = function_entry(target->pid, call->number);
	u64 elapsed = now - call->since;

	if (!entry)
		return;
	add_latency(entry, elapsed);
	if (take_event())
		send_call(target, call->number, call->since, elapsed, 0, 0);
}

static __always_inline void close_finished(struct target *target, struct open_calls *open, u64 stack_pointer, u64 now)
{
	u32 turn, top;

	for (turn = 0; turn < DEEPEST; turn++) {
		top = open->depth - 1;
		if (top >= DEEPEST || open->calls[top & (DEEPEST - 1)].stack_pointer > stack_pointer)
			break;
		close_call(target, &open->calls[top & (DEEPEST - 1)], now);
		open->depth = top;
	}
}

SEC("uprobe")
int handle_operator(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), cookie = bpf_get_attach_cookie(ctx), now = bpf_ktime_get_ns();
	u64 stack_pointer = PT_REGS_SP(ctx);
	struct target *target = current_target(id);
	struct open_calls *open;
	struct latency *entry;
	struct open_call *call;
	u32 tid = id;

	if (!target)
		return 0;
	open = bpf_map_lookup_elem(&threads, &tid);
	if (!open) {
		bpf_map_update_elem(&threads, &tid, &nothing_open, BPF_NOEXIST);
		open = bpf_map_lookup_elem(&threads, &tid);
	}
	if (open)
		close_finished(target, open, stack_pointer, now);
	if (cookie & MARKER)
		return 0;
	entry = function_entry(target->pid, cookie);
	if (entry)
		__sync_fetch_and_add(&entry->count, 1);
	if (!open || open->depth >= DEEPEST)
		return 0;
	call = &open->calls[open->depth & (DEEPEST - 1)];
	call->stack_pointer = stack_pointer;
	call->since = bpf_ktime_get_ns();
	call->number = (u32)cookie;
	open->depth++;
	return 0;
}
