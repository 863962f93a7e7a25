/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What crosses from the kernel to user space: ring buffer records and map values.
 *
 * Mirrored by struct formats in workbench/trace/wire.py; change both together. All identifiers (pid, tid) are the
 * process's own view of itself (innermost PID namespace), the numbers os.getpid() and threading.get_native_id() give.
 */
#ifndef WORKBENCH_RECORD_H
#define WORKBENCH_RECORD_H

#define NATIVE_FRAMES 24
#define PYTHON_FRAMES 128
#define LATENCY_SLOTS 32

enum record_kind {
	RECORD_CPU = 1,
	RECORD_FAULT = 2,
	RECORD_FORK = 3,
	RECORD_EXEC = 4,
};

enum record_flag {
	FLAG_KERNEL = 1,	/* the sample hit kernel code */
	FLAG_TRUNCATED = 2,	/* more Python frames than PYTHON_FRAMES */
};

/* Index into the `lost` map. */
enum lost_reason {
	LOST_RING = 0,		/* ring buffer full: a record was dropped */
	LOST_TARGETS = 1,	/* too many processes: a child is not followed */
	LOST_SCHED = 2,		/* too many threads: a wait was not counted */
	LOST_SYSCALLS = 3,	/* too many (process, number) pairs: a call was not counted */
	LOST_FAULTS = 4,	/* too many processes: a fault was not counted */
	LOST_REASONS = 5,
};

struct record {
	u64 time_ns;		/* CLOCK_MONOTONIC */
	u32 pid;
	u32 tid;
	u32 weight;		/* events this record stands for; RECORD_FORK: pid of the child */
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
	u64 native[NATIVE_FRAMES];			/* leaf first */
	struct python_frame python[PYTHON_FRAMES];	/* leaf first; only python_count are sent */
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
	u32 pid;		/* own view */
	u32 skip_tid;		/* global id of a thread that is not traced (the tracer's own reader) */
};

#endif
