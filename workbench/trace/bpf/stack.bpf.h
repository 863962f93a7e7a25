/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Takes the current thread's stack, native and Python frames; sends each distinct one once and names it by its hash.
 */
#ifndef WORKBENCH_STACK_BPF_H
#define WORKBENCH_STACK_BPF_H

#include "native.bpf.h"
#include "python.bpf.h"

/* A stack record is too big for the BPF stack. Each object has its own: a sample may interrupt a fault. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct stack_record);
} scratch SEC(".maps");

static __always_inline void fill_head(struct stack_record *record, struct target *target, u8 kind, u8 flags, u32 weight)
{
	record->head.time_ns = bpf_ktime_get_ns();
	record->head.pid = target->pid;
	record->head.tid = seen_tid((struct task_struct *)bpf_get_current_task(), target);
	record->head.weight = weight;
	record->head.kind = kind;
	record->head.flags = flags;
	record->python_count = 0;
	record->id = 0;
}

/* Functions of their own, because three walks on one BPF stack are more than its 512 bytes. */
#define OWN_STACK static __noinline __attribute__((unused))

OWN_STACK u64 hash_native(struct position *from, u64 hash)
{
	struct position at;
	u32 index;

	if (!from)
		return hash;
	at = *from;
	for (index = 0; index < NATIVE_FRAMES && at.ip; index++) {
		hash = mix(hash, at.ip);
		leave_frame(&at);
	}
	return hash;
}

OWN_STACK u64 hash_python(struct target *target, u64 hash)
{
	struct walk walk = { .hash = hash };

	if (!target)
		return hash;
	if (start_walk(&walk, target, bpf_get_current_pid_tgid()))
		bpf_loop(2 * PYTHON_FRAMES, hash_frame, &walk, 0);
	end_walk();
	return walk.hash;
}

OWN_STACK int fill_native(struct stack_record *record, struct position *from)
{
	struct position at;
	u32 index;

	if (!record || !from)
		return 0;
	at = *from;
	for (index = 0; index < NATIVE_FRAMES && at.ip; index++) {
		record->native[index] = at.ip;
		leave_frame(&at);
	}
	record->native_count = index;
	record->sp = from->sp;
	return 0;
}

/* Send the stack an id stands for; 0 when there is no room. */
OWN_STACK u64 send_known(struct position *from, struct target *target, u64 id)
{
	struct stack_record *record;

	if (!target)
		return 0;
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count_lost(LOST_RING);
		return 0;
	}
	fill_head(record, target, RECORD_STACK, 0, 1);
	record->head.size = sizeof(*record);
	record->id = id;
	fill_native(record, from);
	walk_python(record, target, bpf_get_current_pid_tgid());
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return id;
}

/*
 * What the current thread's stack is called; 0 for none.
 *
 * This and the next are global, so that the verifier looks at them once: of a static function it follows each call, from
 * each state before it.
 */
__noinline u64 name_stack(struct position *from, struct target *target)
{
	if (!target)
		return 0;
	return hash_python(target, hash_native(from, mix(0, target->pid)));
}

/*
 * The id of the current thread's stack, by its name; 0 where it cannot be known. The first of its kind is also sent; after
 * that a stack costs its walk and a lookup. Nothing is kept between the two walks of a new stack, so no preemption can mix
 * two threads' frames.
 */
__noinline u64 know_stack(struct position *from, struct target *target, u64 id)
{
	u32 seen = 1;
	u64 sent;

	if (!id || bpf_map_lookup_elem(&known_stacks, &id))
		return id;
	if (bpf_map_update_elem(&known_stacks, &id, &seen, BPF_ANY)) {
		count_lost(LOST_STACKS);
		return 0;
	}
	sent = send_known(from, target, id);
	if (!sent)
		bpf_map_delete_elem(&known_stacks, &id);
	return sent;
}

/* From where the current thread is, or entered the kernel. */
static __always_inline u64 current_stack(struct target *target)
{
	struct position at;

	if (!target)
		return 0;
	thread_position(&at, target);
	return know_stack(&at, target, name_stack(&at, target));
}

/* From the first instruction of a function; by rules where they are had, or by frame pointers alone. */
static __always_inline u64 function_stack(struct pt_regs *ctx, struct target *target, bool by_rules)
{
	struct position at;

	entry_position(ctx, &at, by_rules ? target->ruled : 0);
	return know_stack(&at, target, name_stack(&at, target));
}

/* Send one stack record of the current thread. */
static __always_inline void send_stack(struct target *target, u8 kind, u8 flags, u32 weight)
{
	struct position at;
	u32 zero = 0, tid = bpf_get_current_pid_tgid();
	struct stack_record *record = bpf_map_lookup_elem(&scratch, &zero);
	u64 size;

	if (!record)
		return;
	fill_head(record, target, kind, flags, weight);
	thread_position(&at, target);
	fill_native(record, &at);
	walk_python(record, target, tid);
	size = record->python_count;
	/* Keeps the compiler from folding the bound away: the verifier must see it on this register. */
	barrier_var(size);
	if (size > PYTHON_FRAMES)
		return;
	size = __builtin_offsetof(struct stack_record, python) + size * sizeof(struct python_frame);
	record->head.size = size;
	/* The collector polls: waking it for each record would cost more than the sample. */
	if (bpf_ringbuf_output(&ring, record, size, BPF_RB_NO_WAKEUP))
		count_lost(LOST_RING);
}

#endif
