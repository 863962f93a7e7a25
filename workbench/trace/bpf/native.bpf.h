/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Walks the current thread's native frames by their frame pointers, in user memory.
 *
 * bpf_get_stack does the same for 2 us, whatever the depth; this takes 50 ns and 40 ns a frame, which is what a probe on
 * every allocation can pay. A function without a frame pointer leaves anything in that register: only what points up this
 * thread's stack, and not far, is followed.
 */
#ifndef WORKBENCH_NATIVE_BPF_H
#define WORKBENCH_NATIVE_BPF_H

#include "common.bpf.h"
#include <asm/ptrace.h>

#define LARGEST_FRAME (1ULL << 20)
#define USER_END (1ULL << 56)	/* no architecture we build for gives a process addresses above */

/* Where a walk stands: in which function, and where its caller's frame is. ip 0: at the end. */
struct position {
	u64 ip;
	u64 sp;
	u64 fp;
	u64 caller;	/* return address of a function that has not pushed its frame pointer yet; 0: it has */
};

/* Where the current thread is, or entered the kernel. */
static __always_inline void thread_position(struct position *at)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());

	at->ip = PT_REGS_IP(regs);
	at->sp = PT_REGS_SP(regs);
	at->fp = PT_REGS_FP(regs);
	at->caller = 0;
}

/* Where a probe at the first instruction of a function is. */
static __always_inline void entry_position(struct pt_regs *ctx, struct position *at)
{
	at->ip = PT_REGS_IP(ctx);
	at->sp = PT_REGS_SP(ctx);
	at->fp = PT_REGS_FP(ctx);
	at->caller = 0;
#if defined(__TARGET_ARCH_x86)
	bpf_probe_read_user(&at->caller, sizeof(at->caller), (void *)at->sp);
#endif
}

/* Go to the caller. */
static __always_inline void leave_frame(struct position *at)
{
	struct {
		u64 fp;
		u64 ip;
	} saved = {};

	if (at->caller) {
		at->ip = at->caller;
		at->caller = 0;
		return;
	}
	at->ip = 0;
	if (at->fp < at->sp || at->fp - at->sp > LARGEST_FRAME || at->fp % sizeof(u64))
		return;
	if (bpf_probe_read_user(&saved, sizeof(saved), (void *)at->fp) || saved.ip >= USER_END)
		return;
	at->sp = at->fp + sizeof(saved);
	at->fp = saved.fp;
	at->ip = saved.ip;
}

#endif
