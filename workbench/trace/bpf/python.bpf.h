/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Walks the frames of CPython 3.11, 3.12 and 3.13 of the current thread.
 *
 * It needs no help from the target: _PyRuntime -> interpreter -> the thread state whose native id is this thread's ->
 * current frame -> previous ... All reads are of user memory that may be paged out or changing under us; a failed read
 * gives 0 and ends the walk, a torn one gives a frame that user space refuses (its type does not match).
 */
#ifndef WORKBENCH_PYTHON_BPF_H
#define WORKBENCH_PYTHON_BPF_H

#include "common.bpf.h"

#define THREADS_SEARCHED 1024
#define OWNED_BY_C_STACK 3	/* _PyInterpreterFrame.owner of a shim frame (3.12 and later), which has no code */

#define FRAME_BYTES 80		/* of every _PyInterpreterFrame: its fields and one local */
#define LAST_WORD (FRAME_BYTES - 8)
#define WORD_MASK 0x78		/* shows the verifier that a word's offset is within SLACK_BYTES */
#define SLACK_BYTES 128
#define PAGE_BYTES 4096ULL
#define WINDOW_BYTES (PAGE_BYTES + FRAME_BYTES)
#define WINDOWS 8		/* of a walk; a frame of a generator lies apart and would take one each */

/* The page of the thread's stack of frames up to the one we are at: callers lie before it, so one read serves many. */
struct window {
	u64 start;		/* where the page is */
	u64 used;		/* bytes read */
	u32 busy;
	u32 thread;		/* the thread last seen here, by its global number: found without a search */
	u32 tid;		/* as it sees itself */
	u32 pad;
	u64 state;
	u8 bytes[PAGE_BYTES + SLACK_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct window);
} windows SEC(".maps");

struct walk {
	struct python_layout *layout;
	struct stack_record *record;
	struct window *window;	/* NULL: another walk on this CPU, which we have preempted, has it */
	u64 cursor;		/* the thread state or frame to look at next */
	u64 hash;
	u32 tid;
	u32 count;
	u64 code;		/* of the frame read last */
	u32 offset;
	u32 windows;
	u64 owner;
	u8 bytes[SLACK_BYTES];	/* of a thread state, or of a frame outside the window */
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

/* Read a thread state from the frame pointer on, its thread's number with it; whether that is the thread we are in. */
static __always_inline bool read_state(struct walk *walk, u64 state)
{
	struct python_layout *layout = walk->layout;
	u32 apart = layout->thread_native_id - layout->thread_frame;

	if (apart > WORD_MASK || bpf_probe_read_user(walk->bytes, SLACK_BYTES, (void *)state + layout->thread_frame))
		return 0;
	return *(u32 *)&walk->bytes[apart & WORD_MASK] == walk->tid;
}

/* Find and read the current thread's state; 0 when it has none. */
static __always_inline u64 search_state(struct walk *walk, u32 global_tid)
{
	struct python_layout *layout = walk->layout;
	u64 *known = bpf_map_lookup_elem(&thread_states, &global_tid);
	u64 interpreter;

	if (known && read_state(walk, *known))
		return *known;
	interpreter = read_word(layout->runtime + layout->interpreters_head);
	if (!interpreter)
		return 0;
	walk->cursor = read_word(interpreter + layout->threads_head);
	bpf_loop(THREADS_SEARCHED, visit_thread, walk, 0);
	if (!walk->cursor || !read_state(walk, walk->cursor))
		return 0;
	bpf_map_update_elem(&thread_states, &global_tid, &walk->cursor, BPF_ANY);
	return walk->cursor;
}

static __always_inline void move_window(struct window *window, u64 frame)
{
	u64 start = frame & ~(PAGE_BYTES - 1), size = (frame & (PAGE_BYTES - 1)) + FRAME_BYTES;

	/* Keeps the compiler from folding the bound away: the verifier must see it on this register. */
	barrier_var(size);
	if (size > WINDOW_BYTES)
		return;
	window->start = start;
	window->used = bpf_probe_read_user(window->bytes, size, (void *)start) ? 0 : size;
}

/* The frame at the cursor, in the window; NULL when it does not lie there. */
static __always_inline u8 *frame_inside(struct walk *walk, struct window *window)
{
	u64 at = walk->cursor - window->start;

	if (at >= PAGE_BYTES || at + FRAME_BYTES > window->used)
		return NULL;
	/* Keeps the compiler from adding first and comparing then: the verifier must see the bound on this register. */
	barrier_var(at);
	return window->bytes + (at & (PAGE_BYTES - 1));
}

static __always_inline u8 *read_frame(struct walk *walk)
{
	struct window *window = walk->window;
	u8 *frame;

	if (window) {
		frame = frame_inside(walk, window);
		if (frame)
			return frame;
		if (walk->windows++ < WINDOWS) {
			move_window(window, walk->cursor);
			frame = frame_inside(walk, window);
			if (frame)
				return frame;
		}
	}
	return bpf_probe_read_user(walk->bytes, FRAME_BYTES, (void *)walk->cursor) ? NULL : walk->bytes;
}

static __always_inline u64 frame_word(u8 *frame, u32 offset)
{
	return *(u64 *)(frame + (offset & WORD_MASK));
}

/* Take the frame at the cursor and move on; 1: a frame with code, 0: a shim, -1: the end. */
static __always_inline int next_frame(struct walk *walk)
{
	struct python_layout *layout = walk->layout;
	u8 *frame;

	if (!walk->cursor)
		return -1;
	frame = read_frame(walk);
	if (!frame)
		return -1;
	walk->cursor = frame_word(frame, layout->frame_previous);
	walk->owner = frame[layout->frame_owner & (SLACK_BYTES - 1)];
	if (walk->owner == OWNED_BY_C_STACK)
		return 0;
	walk->code = frame_word(frame, layout->frame_code);
	walk->offset = frame_word(frame, layout->frame_instruction) - walk->code - layout->code_bytes;
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

static __always_inline void take_window(struct walk *walk)
{
	u32 zero = 0;
	struct window *window = bpf_map_lookup_elem(&windows, &zero);

	if (!window || __sync_fetch_and_add(&window->busy, 1))
		return;
	window->start = window->used = 0;
	walk->window = window;
}

static __always_inline void end_walk(void)
{
	u32 zero = 0;
	struct window *window = bpf_map_lookup_elem(&windows, &zero);

	if (window)
		__sync_fetch_and_add(&window->busy, -1);
}

static __always_inline bool within_frame(struct python_layout *layout)
{
	return layout->frame_previous <= LAST_WORD && layout->frame_code <= LAST_WORD &&
	       layout->frame_instruction <= LAST_WORD && layout->frame_owner < FRAME_BYTES;
}

/* Read the current thread's state: where it was last on this CPU, or after a search. */
static __always_inline bool find_state(struct walk *walk, u32 global_tid)
{
	struct window *window = walk->window;

	if (window && window->thread == global_tid) {
		walk->tid = window->tid;
		if (read_state(walk, window->state))
			return 1;
	}
	walk->tid = current_own_tid();
	walk->cursor = search_state(walk, global_tid);
	if (!walk->cursor)
		return 0;
	if (window) {
		window->thread = global_tid;
		window->tid = walk->tid;
		window->state = walk->cursor;
	}
	return 1;
}

/* Put the cursor on this thread's innermost frame; 0 when it has none. In any case there must be an end_walk. */
static __always_inline bool start_walk(struct walk *walk, struct target *target, u32 global_tid)
{
	walk->layout = &target->python;
	take_window(walk);
	if (!target->python.runtime || !within_frame(&target->python) || !find_state(walk, global_tid))
		return 0;
	walk->cursor = *(u64 *)walk->bytes;
	if (target->python.cframe_indirect)
		walk->cursor = read_word(walk->cursor + target->python.cframe_frame);
	return 1;
}

static __always_inline void walk_python(struct stack_record *record, struct target *target, u32 global_tid)
{
	struct walk walk = { .record = record };

	/* Twice the frames: shim frames take an iteration and no slot. */
	if (start_walk(&walk, target, global_tid))
		bpf_loop(2 * PYTHON_FRAMES, visit_frame, &walk, 0);
	end_walk();
	record->python_count = walk.count;
	if (walk.cursor && walk.count >= PYTHON_FRAMES)
		record->head.flags |= FLAG_TRUNCATED;
}

#endif
