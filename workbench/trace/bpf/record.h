/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What crosses from the kernel to user space: ring buffer records and map values.
 *
 * Mirrored by struct formats in workbench/trace/records.py and wire.py; change both together. All identifiers (pid, tid)
 * are the client's view: for a process that traces itself the numbers os.getpid() and threading.get_native_id() give.
 */
#ifndef WORKBENCH_RECORD_H
#define WORKBENCH_RECORD_H

#define NATIVE_FRAMES 32
#define PYTHON_FRAMES 128
#define LATENCY_SLOTS 32

enum record_kind {
	RECORD_CPU = 1,
	RECORD_FAULT = 2,
	RECORD_FORK = 3,
	RECORD_EXEC = 4,
	RECORD_STACK = 5,
	RECORD_OFFCPU = 6,
	RECORD_AUDIT = 7,
	RECORD_CALL = 8,
	RECORD_MEMORY = 9,
	RECORD_DELAY = 10,	/* a ready thread waited for a CPU; only the head */
};

enum record_flag {
	FLAG_KERNEL = 1,	/* the sample hit kernel code */
	FLAG_TRUNCATED = 2,	/* more Python frames than PYTHON_FRAMES */
};

/* Index into the `lost` map. */
enum lost_reason {
	LOST_RING = 0,		/* ring buffer full: a record was dropped */
	LOST_TARGETS = 1,	/* too many processes: a child is not followed */
	LOST_SCHED = 2,		/* too many threads, or a switch not shown: a wait was not counted */
	LOST_SYSCALLS = 3,	/* too many (process, number) pairs: a call was not counted */
	LOST_FAULTS = 4,	/* too many processes: a fault was not counted */
	LOST_STACKS = 5,	/* too many distinct stacks: an event has none */
	LOST_OFFCPU = 6,	/* too many blocked threads, or a switch not shown: an interval is missing */
	LOST_BLOCKS = 7,	/* too many live blocks: an allocation is not followed */
	LOST_CALLS = 8,		/* too many functions or threads: a call was not timed or counted */
	LOST_REASONS = 9,
};

struct record {
	u64 time_ns;		/* CLOCK_MONOTONIC */
	u32 pid;
	u32 tid;
	u32 weight;		/* events this record stands for; RECORD_FORK: pid of the child; RECORD_DELAY: us */
	u16 size;		/* bytes, header included */
	u8 kind;
	u8 flags;
};

struct python_frame {
	u64 code;		/* address of the code object */
	u32 offset;		/* bytes into its bytecode */
	u32 owner;
};

struct stack_record {
	struct record head;
	u32 native_count;
	u32 python_count;
	u64 id;						/* RECORD_STACK: what other records refer to */
	u64 sp;						/* stack pointer where the native walk began */
	u64 native[NATIVE_FRAMES];			/* leaf first */
	struct python_frame python[PYTHON_FRAMES];	/* leaf first; only python_count are sent */
};

/* A thread was blocked. Stacks are ids of stacks sent before; 0: none. */
struct offcpu_record {
	struct record head;	/* time_ns: when it blocked */
	u64 duration;
	u64 stack;
	u64 waker_stack;
	u32 waker_pid;		/* 0: an interrupt (timer, device) woke it */
	u32 waker_tid;
	char waker[16];
};

enum audit_action {
	AUDIT_OPEN = 1,
	AUDIT_CONNECT = 2,
	AUDIT_SEND = 3,
	AUDIT_EXEC = 4,
	AUDIT_SYSCALL = 5,	/* a call the client asked to be told of; amount: its number */
};

#define TARGET_BYTES 256

struct audit_record {
	struct record head;	/* weight: enum audit_action */
	u64 stack;
	u64 amount;		/* AUDIT_SEND: bytes; AUDIT_OPEN: flags */
	s32 error;		/* 0 or errno */
	u32 parent;
	s32 directory;		/* AUDIT_OPEN: what a relative path is relative to */
	u32 length;		/* bytes of target: a path without its 0, or a struct sockaddr */
	char target[TARGET_BYTES];
};

/* One call of a probed function. */
struct call_record {
	struct record head;	/* time_ns: when it began; weight: number of the function */
	u64 duration;
	u64 bytes;
	u64 stack;
};

enum memory_action {
	MEMORY_MAP = 1,		/* anonymous */
	MEMORY_FILE = 2,	/* a file: replaces what was there */
	MEMORY_UNMAP = 3,
	MEMORY_REMAP = 4,
	MEMORY_BREAK = 5,	/* address: the new end of the heap */
};

struct memory_record {
	struct record head;	/* weight: enum memory_action */
	u64 stack;
	u64 address;
	u64 length;
	u64 old_address;	/* MEMORY_REMAP */
	u64 old_length;
};

/* What the blocks of one allocator, process and stack add up to. */
struct held {
	u64 bytes;
	u64 blocks;
	u64 total_bytes;
	u64 total_blocks;
};

/* Slot k counts durations in [2^k, 2^(k+1)) ns; the last one also everything longer. */
struct latency {
	u64 count;
	u64 errors;
	u64 total_ns;
	u64 max_ns;
	u64 slots[LATENCY_SLOTS];
	u32 pid;
	u32 tid;
};

/* Where CPython keeps what we walk; offsets in bytes. */
struct python_layout {
	u64 runtime;		/* address of _PyRuntime; 0: no Python frames */
	u32 interpreters_head;
	u32 threads_head;
	u32 thread_next;
	u32 thread_native_id;
	u32 thread_frame;
	u32 cframe_frame;
	u32 cframe_indirect;	/* 1: thread_frame points to a cframe that points to the frame */
	u32 frame_code;
	u32 frame_previous;
	u32 frame_instruction;
	u32 frame_owner;
	u32 code_bytes;
};

struct target {
	struct python_layout python;
	u32 pid;		/* as the client sees it */
	u32 skip_tid;		/* global id of a thread that is not traced (the tracer's own reader) */
	u32 level;		/* depth of the client's PID namespace: numbers in records are given at it */
	u32 ruled;		/* its code lies where the rules say: the root process, and its forks */
};

#define FRAME_RULES 16384

enum rule_kind {
	RULE_NONE = 0,
	RULE_STACK = 1,		/* the frame ends at an offset from the stack pointer */
	RULE_BASE = 2,		/* from the frame pointer's register */
	RULE_OUTERMOST = 3,	/* no caller */
};

/* Where the caller of code from this address on is. */
struct frame_rule {
	u64 address;
	u32 offset;
	s16 saved;		/* the caller's frame pointer, from the frame's end; 0: in its register still */
	u16 kind;
};

/* Rules are written behind those in use, then these change. */
struct rules_in_use {
	u32 first;
	u32 count;
};

#endif
