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

#define FRAME_BYTES 80		/* of every _PyInterpreterFrame: its fields and one local */
#define LAST_WORD (FRAME_BYTES - 8)

struct walk {
	struct python_layout *layout;
	struct stack_record *record;
	u64 cursor;		/* the thread state or frame to look at next */
	u64 hash;
	u32 tid;
	u32 count;
	u64 code;		/* of the frame read last */
	u32 offset;
	u8 owner;
	u8 frame[FRAME_BYTES];
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

/* A word of the frame read last; 0 when the layout points outside it. */
static __always_inline u64 frame_word(struct walk *walk, u32 offset)
{
	if (offset > LAST_WORD)
		return 0;
	return *(u64 *)&walk->frame[offset & 0x78];
}

/* Read the frame at the cursor and move on; 1: a frame with code, 0: a shim, -1: the end. One read a frame: it is most
 * of what a walk costs.
 */
static __always_inline int next_frame(struct walk *walk)
{
	struct python_layout *layout = walk->layout;
	u32 owner = layout->frame_owner;

	if (!walk->cursor || owner >= FRAME_BYTES)
		return -1;
	if (bpf_probe_read_user(walk->frame, sizeof(walk->frame), (void *)walk->cursor))
		return -1;
	walk->cursor = frame_word(walk, layout->frame_previous);
	walk->owner = walk->frame[owner];
	if (walk->owner == OWNED_BY_C_STACK)
		return 0;
	walk->code = frame_word(walk, layout->frame_code);
	walk->offset = frame_word(walk, layout->frame_instruction) - walk->code - layout->code_bytes;
	return 1;
}

static long visit_frame(u32 index, struct walk *walk)
{
	struct python_frame *slot;
	int found;

	if (walk->count >= PYTHON_FRAMES)
		return 1;
	found = next_frame(walk);
	if (found <= 0)
		return found < 0;
	slot = &walk->record->python[walk->count & (PYTHON_FRAMES - 1)];
	slot->code = walk->code;
	slot->offset = walk->offset;
	slot->owner = walk->owner;
	walk->count++;
	return 0;
}

static __always_inline u64 mix(u64 hash, u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ (hash >> 29);
}

static long hash_frame(u32 index, struct walk *walk)
{
	int found;

	if (walk->count >= PYTHON_FRAMES)
		return 1;
	found = next_frame(walk);
	if (found <= 0)
		return found < 0;
	walk->hash = mix(walk->hash, walk->code + walk->offset);
	walk->count++;
	return 0;
}

/* Put the cursor on this thread's innermost frame; 0 when it has none. */
static __always_inline bool start_walk(struct walk *walk, struct target *target, u32 global_tid)
{
	u64 state;

	walk->layout = &target->python;
	if (!target->python.runtime)
		return 0;
	state = find_thread_state(walk, global_tid);
	if (!state)
		return 0;
	walk->cursor = read_word(state + target->python.thread_frame);
	if (target->python.cframe_indirect)
		walk->cursor = read_word(walk->cursor + target->python.cframe_frame);
	return 1;
}

static __always_inline void walk_python(struct stack_record *record, struct target *target, u32 global_tid)
{
	struct walk walk = { .record = record };

	walk.tid = own_tid((struct task_struct *)bpf_get_current_task());
	if (!start_walk(&walk, target, global_tid))
		return;
	/* Twice the frames: shim frames take an iteration and no slot. */
	bpf_loop(2 * PYTHON_FRAMES, visit_frame, &walk, 0);
	record->python_count = walk.count;
	if (walk.cursor && walk.count >= PYTHON_FRAMES)
		record->head.flags |= FLAG_TRUNCATED;
}

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

OWN_STACK u64 hash_native(void *ctx, u64 hash)
{
	u64 native[NATIVE_FRAMES] = {};
	u32 index;

	bpf_get_stack(ctx, native, sizeof(native), BPF_F_USER_STACK);
	for (index = 0; index < NATIVE_FRAMES; index++)
		hash = mix(hash, native[index]);
	return hash;
}

OWN_STACK u64 hash_python(struct target *target, u64 hash)
{
	struct walk walk = { .hash = hash };

	if (!target)
		return hash;
	walk.tid = own_tid((struct task_struct *)bpf_get_current_task());
	if (start_walk(&walk, target, bpf_get_current_pid_tgid()))
		bpf_loop(2 * PYTHON_FRAMES, hash_frame, &walk, 0);
	return walk.hash;
}

/* Send the stack an id stands for; 0 when there is no room. */
OWN_STACK u64 send_known(void *ctx, struct target *target, u64 id)
{
	struct stack_record *record;
	long bytes;

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
	bytes = bpf_get_stack(ctx, record->native, sizeof(record->native), BPF_F_USER_STACK);
	record->native_count = bytes > 0 ? bytes / sizeof(u64) : 0;
	walk_python(record, target, bpf_get_current_pid_tgid());
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return id;
}

/*
 * The id of the current thread's stack, 0 for none. The first of its kind is also sent; after that a stack costs its
 * walk and a lookup. Nothing is kept between the two walks of a new stack, so no preemption can mix two threads' frames.
 */
OWN_STACK u64 current_stack(void *ctx, struct target *target)
{
	u32 seen = 1;
	u64 id, sent;

	if (!target)
		return 0;
	id = hash_python(target, hash_native(ctx, mix(0, target->pid)));
	if (!id || bpf_map_lookup_elem(&known_stacks, &id))
		return id;
	if (bpf_map_update_elem(&known_stacks, &id, &seen, BPF_ANY)) {
		count_lost(LOST_STACKS);
		return 0;
	}
	sent = send_known(ctx, target, id);
	if (!sent)
		bpf_map_delete_elem(&known_stacks, &id);
	return sent;
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
	fill_head(record, target, kind, flags, weight);
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
