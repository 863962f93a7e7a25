// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * cpu: where the traced processes spend CPU time.
 *
 * WHAT    A stack (Python frames and native leaf) of each traced thread found on a CPU, `hz` times a second a CPU.
 *         CPU seconds = samples / hz.
 * ATTACH  perf_event, software CPU clock, one event a CPU.
 * COST    about 2 us a sample of a traced thread, 0.1 us of another: 0.02 % of a core at 99 Hz.
 * LOSS    ring buffer full: the sample is dropped and counted in lost[LOST_RING].
 */
#include "stack.bpf.h"
#include <linux/bpf_perf_event.h>

SEC("perf_event")
int handle_cpu(struct bpf_perf_event_data *ctx)
{
	struct target *target = current_target(bpf_get_current_pid_tgid());
	/* Kernel addresses have the top bit set, on every 64-bit architecture we build for. */
	u8 flags = (s32)((u64)PT_REGS_IP(&ctx->regs) >> 32) < 0 ? FLAG_KERNEL : 0;

	if (target)
		send_stack(target, RECORD_CPU, flags, 1);
	return 0;
}
