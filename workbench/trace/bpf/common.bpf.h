/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Maps and helpers every probe shares.
 *
 * Each object declares these maps; the loader makes all objects of a session use the same ones (map fd reuse), so a
 * probe is one file and the set of traced processes is one map.
 */
#ifndef WORKBENCH_COMMON_BPF_H
#define WORKBENCH_COMMON_BPF_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "record.h"

/* Traced processes by global tgid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct target);
} targets SEC(".maps");

/* 4 MiB: 6,000 deep stacks, a hundred milliseconds at 60,000 samples a second. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LOST_REASONS);
	__type(key, u32);
	__type(value, u64);
} lost SEC(".maps");

/* Stacks that were sent, by id; every object of a session refers to the same. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u32);
} known_stacks SEC(".maps");

/* Thread states found before, by global tid; checked at each use. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, u64);
} thread_states SEC(".maps");

/* Sorted; user space learns them for the functions that stacks show (native.bpf.h). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * FRAME_RULES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct frame_rule);
} frame_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rules_in_use);
} rules_in_use SEC(".maps");

static __always_inline void count_lost(u32 reason)
{
	u64 *count = bpf_map_lookup_elem(&lost, &reason);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* The current task's target, or NULL when it is not traced. */
static __always_inline struct target *current_target(u64 id)
{
	u32 tgid = id >> 32;
	struct target *target = bpf_map_lookup_elem(&targets, &tgid);

	return target && target->skip_tid != (u32)id ? target : NULL;
}

/* What a thread is called in the PID namespace at a level that it is in. */
static __always_inline u32 number_at(struct pid *pid, u32 level)
{
	void *slot = (void *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid);
	int number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), slot + bpf_core_field_offset(struct upid, nr));
	return number;
}

/* A thread's number at one PID namespace level; 0: it is not in that one. */
static __always_inline u32 tid_at(struct task_struct *task, u32 level)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);

	return !pid || level > BPF_CORE_READ(pid, level) ? 0 : number_at(pid, level);
}

/* The current thread's number as it sees itself. */
static __always_inline u32 current_own_tid(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();

	return number_at(task->thread_pid, task->thread_pid->level);
}

/* The target of any task, or NULL. */
static __always_inline struct target *task_target(struct task_struct *task)
{
	u32 tgid = task->tgid;
	struct target *target = bpf_map_lookup_elem(&targets, &tgid);

	return target && target->skip_tid != task->pid ? target : NULL;
}

/* A thread's number as the client sees it. */
static __always_inline u32 seen_tid(struct task_struct *task, struct target *target)
{
	return tid_at(task, target->level);
}

/* floor(log2(ns)), at most LATENCY_SLOTS - 1 (over 2 s). */
static __always_inline u32 latency_slot(u64 ns)
{
	u32 slot = 0;

	if (ns >> 32)
		return LATENCY_SLOTS - 1;
	if (ns >> 16) {
		ns >>= 16;
		slot += 16;
	}
	if (ns >> 8) {
		ns >>= 8;
		slot += 8;
	}
	if (ns >> 4) {
		ns >>= 4;
		slot += 4;
	}
	if (ns >> 2) {
		ns >>= 2;
		slot += 2;
	}
	return (slot + (ns >> 1)) & (LATENCY_SLOTS - 1);
}

static __always_inline void add_latency(struct latency *entry, u64 elapsed)
{
	__sync_fetch_and_add(&entry->total_ns, elapsed);
	__sync_fetch_and_add(&entry->slots[latency_slot(elapsed)], 1);
	/* A lost race here loses a maximum by another thread within the same few ns: accepted. */
	if (elapsed > entry->max_ns)
		entry->max_ns = elapsed;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#endif
