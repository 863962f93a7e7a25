/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Walks the current thread's native frames, in user memory: by the rules compilers write for exceptions where user space
 * has sent those of a function, else by frame pointers.
 *
 * bpf_get_stack follows frame pointers for 2 us, whatever the depth; this takes 50 ns and 40 ns a frame, which is what a
 * probe on every allocation can pay. A function without a frame pointer leaves anything in that register: only what points
 * up this thread's stack, and not far, is followed. A rule takes 100 ns to find; a probe on every allocation does without.
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
	u32 ruled;	/* rules apply */
	u32 depth;	/* frames left behind */
};

/* Where the current thread is, or entered the kernel. */
static __always_inline void thread_position(struct position *at, struct target *target)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());

	at->ip = PT_REGS_IP(regs);
	at->sp = PT_REGS_SP(regs);
	at->fp = PT_REGS_FP(regs);
	at->caller = 0;
	at->ruled = target->ruled;
	at->depth = 0;
}

/* Where a probe at the first instruction of a function is. */
static __always_inline void entry_position(struct pt_regs *ctx, struct position *at, u32 ruled)
{
	at->ip = PT_REGS_IP(ctx);
	at->sp = PT_REGS_SP(ctx);
	at->fp = PT_REGS_FP(ctx);
	at->caller = 0;
	at->ruled = ruled;
	at->depth = 0;
#if defined(__TARGET_ARCH_x86)
	bpf_probe_read_user(&at->caller, sizeof(at->caller), (void *)at->sp);
#endif
}

/* The rule of an instruction; 0 when there is none. Global functions are verified once, not at each frame. */
__noinline int find_rule(u64 address, struct frame_rule *found)
{
	u32 zero = 0, low, high, middle, turn;
	struct rules_in_use *in_use = bpf_map_lookup_elem(&rules_in_use, &zero);
	struct frame_rule *rule;

	if (!found || !in_use || !in_use->count)
		return 0;
	low = in_use->first;
	high = low + in_use->count;
	for (turn = 0; turn < 16 && high - low > 1; turn++) {
		middle = low + (high - low) / 2;
		rule = bpf_map_lookup_elem(&frame_rules, &middle);
		if (rule && rule->address <= address)
			low = middle;
		else
			high = middle;
	}
	rule = bpf_map_lookup_elem(&frame_rules, &low);
	if (!rule || rule->address > address)
		return 0;
	*found = *rule;
	return rule->kind;
}

static __always_inline u64 read_slot(u64 address)
{
	u64 word = 0;

	bpf_probe_read_user(&word, sizeof(word), (void *)address);
	return word;
}

static __always_inline bool leave_by_rule(struct position *at)
{
	struct frame_rule rule = {};
	/* A return address may be the first of the next function: a call that never returns. */
	int kind = find_rule(at->depth ? at->ip - 1 : at->ip, &rule);
	u64 end;

	if (kind == RULE_NONE)
		return 0;
	at->ip = 0;
	end = (kind == RULE_BASE ? at->fp : at->sp) + rule.offset;
	if (kind == RULE_OUTERMOST || end <= at->sp || end - at->sp > LARGEST_FRAME)
		return 1;
	at->ip = read_slot(end - sizeof(u64));
	if (at->ip >= USER_END)
		at->ip = 0;
	if (rule.saved)
		at->fp = read_slot(end + rule.saved);
	at->sp = end;
	return 1;
}

/* Go to the caller. */
__noinline int leave_frame(struct position *at)
{
	struct {
		u64 fp;
		u64 ip;
	} saved = {};

	if (!at)
		return 0;
	if (at->caller) {
		at->ip = at->caller;
		at->sp += sizeof(u64);
		at->caller = 0;
		at->depth++;
		return 0;
	}
	if (at->ruled && leave_by_rule(at)) {
		at->depth++;
		return 0;
	}
	at->depth++;
	at->ip = 0;
	if (at->fp < at->sp || at->fp - at->sp > LARGEST_FRAME || at->fp % sizeof(u64))
		return 0;
	if (bpf_probe_read_user(&saved, sizeof(saved), (void *)at->fp) || saved.ip >= USER_END)
		return 0;
	at->sp = at->fp + sizeof(saved);
	at->fp = saved.fp;
	at->ip = saved.ip;
	return 0;
}

#endif
