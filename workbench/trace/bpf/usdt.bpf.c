// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * usdt: static probe points programs and libraries carry (.note.stapsdt), such as python:gc__start.
 *
 * WHAT    How often each is passed, by process; the first 20,000 also one by one with their stack.
 * ATTACH  uprobe_multi at the point's nop, with its semaphore where it has one; cookie: number of the point.
 * COST    about 0.6 us a hit, 1.5 us with its stack.
 * LOSS    more than 8,192 points: lost[LOST_CALLS].
 */
#include "calls.bpf.h"

SEC("uprobe")
int handle_point(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), now = bpf_ktime_get_ns();
	struct target *target = current_target(bpf_get_current_pid_tgid());
	struct latency *entry;

	if (!target)
		return 0;
	entry = function_entry(target->pid, cookie);
	if (entry)
		__sync_fetch_and_add(&entry->count, 1);
	if (take_event())
		send_call(target, cookie, now, 0, 0, current_stack(target));
	return 0;
}
