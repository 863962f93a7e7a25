/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Counting and timing calls of probed functions. A function is a number the tracing process gave it (the cookie of its
 * probe); user space knows the name.
 */
#ifndef WORKBENCH_CALLS_BPF_H
#define WORKBENCH_CALLS_BPF_H

#include "stack.bpf.h"

#define EVENTS 20000	/* calls sent one by one; after that they are only counted */

struct function {
	u32 pid;
	u32 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct function);
	__type(value, struct latency);
} functions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} sent_events SEC(".maps");

static __always_inline struct latency *function_entry(u32 pid, u32 number)
{
	struct function key = { .pid = pid, .number = number };
	struct latency *entry = bpf_map_lookup_elem(&functions, &key), fresh = { .pid = pid };

	if (entry)
		return entry;
	bpf_map_update_elem(&functions, &key, &fresh, BPF_NOEXIST);
	entry = bpf_map_lookup_elem(&functions, &key);
	if (!entry)
		count_lost(LOST_CALLS);
	return entry;
}

/* Whether one more event may be sent: a bounded number, so that a hot loop cannot flood the reader. */
static __always_inline bool take_event(void)
{
	u32 zero = 0;
	u64 *sent = bpf_map_lookup_elem(&sent_events, &zero);

	return sent && *sent < EVENTS && __sync_fetch_and_add(sent, 1) < EVENTS;
}

static __always_inline void send_call(struct target *target, u32 number, u64 since, u64 duration, u64 bytes, u64 stack)
{
	struct call_record record = {};

	record.head.time_ns = since;
	record.head.pid = target->pid;
	record.head.tid = seen_tid((struct task_struct *)bpf_get_current_task(), target);
	record.head.weight = number;
	record.head.size = sizeof(record);
	record.head.kind = RECORD_CALL;
	record.duration = duration;
	record.bytes = bytes;
	record.stack = stack;
	if (bpf_ringbuf_output(&ring, &record, sizeof(record), BPF_RB_NO_WAKEUP))
		count_lost(LOST_RING);
}

#endif
