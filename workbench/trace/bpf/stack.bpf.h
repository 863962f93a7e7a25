/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Takes the current thread's stack: native return addresses and the frames of CPython 3.11, 3.12 and 3.13.
 *
 * The Python walk needs no help from the target: _PyRuntime -> interpreter -> the thread state whose native id is this
 * thread's -> current frame -> previous ... All reads are of user memory that may be paged out or changing under us; a
 * failed read gives 0 and ends the walk, a torn one gives a frame that user space refuses (its type does not match).
 */
#ifndef WORKBENCH_STACK_BPF_H
#define WORKBENCH_STACK_BPF_H

#include "common.bpf.h"

#define THREADS_SEARCHED 1024
#define OWNED_BY_C_STACK 3	/* _PyInterpreterFrame.owner of a shim frame (3.12 and later), which has no code */

/* Thread states found before, by global tid; checked at each use. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, u64);
} thread_states SEC(".maps");

/* A stack record is too big for the BPF stack. Each object has its own: a sample may interrupt a fault. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct stack_record);
} scratch SEC(".maps");

struct walk {
	struct python_layout *layout;
	struct stack_record *record;
	u64 cursor;		/* the thread state or frame to look at next */
	u32 tid;
	u32 count;
};

static __always_inline u64 read_word(u64 address)
{
	u64 word = 0;

	bpf_probe_read_user(&word, sizeof(word), (void *)address);
	return word;
}

static long visit_thread(u32 index, struct walk *walk)
{
	if (!walk->cursor || (u32)read_word(walk->cursor + walk->layout->thread_native_id) == walk->tid)
		return 1;
	walk->cursor = read_word(walk->cursor + walk->layout->thread_next);
	return 0;
}

static __always_inline u64 find_thread_state(struct walk *walk, u32 global_tid)
{
	struct python_layout *layout = walk->layout;
	u64 *known = bpf_map_lookup_elem(&thread_states, &global_tid);
	u64 interpreter;

	if (known && (u32)read_word(*known + layout->thread_native_id) == walk->tid)
		return *known;
	interpreter = read_word(layout->runtime + layout->interpreters_head);
	if (!interpreter)
		return 0;
	walk->cursor = read_word(interpreter + layout->threads_head);
	bpf_loop(THREADS_SEARCHED, visit_thread, walk, 0);
	if (!walk->cursor || (u32)read_word(walk->cursor + layout->thread_native_id) != walk->tid)
		return 0;
	bpf_map_update_elem(&thread_states, &global_tid, &walk->cursor, BPF_ANY);
	return walk->cursor;
}

static long visit_frame(u32 index, struct walk *walk)
{
	struct python_layout *layout = walk->layout;
	u64 frame = walk->cursor;
	struct python_frame *slot;
	u8 owner = 0;

	if (!frame || walk->count >= PYTHON_FRAMES)
		return 1;
	walk->cursor = read_word(frame + layout->frame_previous);
	bpf_probe_read_user(&owner, sizeof(owner), (void *)(frame + layout->frame_owner));
	if (owner == OWNED_BY_C_STACK)
		return 0;
	slot = &walk->record->python[walk->count & (PYTHON_FRAMES - 1)];
	slot->code = read_word(frame + layout->frame_code);
	slot->offset = read_word(frame + layout->frame_instruction) - slot->code - layout->code_bytes;
	slot->owner = owner;
	walk->count++;
	return 0;
}

static __always_inline void walk_python(struct stack_record *record, struct target *target, u32 global_tid)
{
	struct walk walk = { .layout = &target->python, .record = record, .tid = record->head.tid };
	u64 state;

	if (!target->python.runtime)
		return;
	state = find_thread_state(&walk, global_tid);
	if (!state)
		return;
	walk.cursor = read_word(state + target->python.thread_frame);
	if (target->python.cframe_indirect)
		walk.cursor = read_word(walk.cursor + target->python.cframe_frame);
	/* Twice the frames: shim frames take an iteration and no slot. */
	bpf_loop(2 * PYTHON_FRAMES, visit_frame, &walk, 0);
	record->python_count = walk.count;
	if (walk.cursor && walk.count >= PYTHON_FRAMES)
		record->head.flags |= FLAG_TRUNCATED;
}

/* Send one stack record of the current thread. */
static __always_inline void send_stack(void *ctx, struct target *target, u8 kind, u8 flags, u32 weight)
{
	u32 zero = 0, tid = bpf_get_current_pid_tgid();
	struct stack_record *record = bpf_map_lookup_elem(&scratch, &zero);
	u64 size;
	long bytes;

	if (!record)
		return;
	record->head.time_ns = bpf_ktime_get_ns();
	record->head.pid = target->pid;
	record->head.tid = own_tid((struct task_struct *)bpf_get_current_task());
	record->head.weight = weight;
	record->head.kind = kind;
	record->head.flags = flags;
	record->python_count = 0;
	bytes = bpf_get_stack(ctx, record->native, sizeof(record->native), BPF_F_USER_STACK);
	record->native_count = bytes > 0 ? bytes / sizeof(u64) : 0;
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
