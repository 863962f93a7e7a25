// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * alloc: what is allocated, by whom, and what is never given back.
 *
 * WHAT    c10, torch's CPU allocator: bytes and blocks allocated and still held, by process and stack, exact; or estimated
 *         from a sample, a block with probability size / `every` (1 from there on), which stands for the inverse. The address
 *         space: every anonymous mmap, munmap, mremap and brk as a record; user space does the arithmetic of ranges.
 * ATTACH  uprobe_multi at c10::ProfiledCPUMemoryReporter::New and ::Delete, which the allocator calls with pointer and size
 *         (c10::alloc_cpu itself would need a return probe, which C++ exceptions do not survive); tp_btf/sys_exit
 * COST    two traps of 0.6 to 1.1 us, 1.1 us an allocation (most of it the stack; not for what a sample leaves out) and
 *         0.2 us a release; 60 ns any system call of a traced thread. Native frames of every block are walked by frame
 *         pointers, of a sampled one by rules, which cost 2 us on a stack of torch.
 * LOSS    more than 131,072 live blocks beside 8,192 slots, or 16,384 stacks: the block is not followed, lost[LOST_BLOCKS].
 */
#include "calls.bpf.h"
#include "syscall_number.h"

#define ANONYMOUS 0x20		/* MAP_ANONYMOUS */
#define FAILED(result) ((u64)(result) > (u64)-4096)

struct block {
	u64 address;
	u64 tgid;
};

#define BLOCK 1024	/* a block of a sample is counted in this part of one */

struct allocated {
	u64 bytes;
	u64 stack;
};

struct holder {
	u64 stack;
	u32 pid;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct block);
	__type(value, struct allocated);
} live SEC(".maps");

#define SLOT_BITS 13

enum slot_state {
	SLOT_FREE = 0,
	SLOT_TAKEN = 1,		/* being written */
	SLOT_KEPT = 2,
};

struct slot {
	struct block block;
	struct allocated allocated;
	u64 state;
};

/* Where a block goes whose slot is free: an entry of `live` costs 0.3 us to make and to take away. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << SLOT_BITS);
	__type(key, u32);
	__type(value, struct slot);
} slots SEC(".maps");

/* More than there are stacks: what has none is counted too. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 20480);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct holder);
	__type(value, struct held);
} held SEC(".maps");

/* 0: every block. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} every SEC(".maps");

static __always_inline u64 sampled_every(void)
{
	u32 zero = 0;
	u64 *bytes = bpf_map_lookup_elem(&every, &zero);

	return bytes ? *bytes : 0;
}

static __always_inline bool left_out(u64 size, u64 every_bytes)
{
	return size < every_bytes && bpf_get_prandom_u32() * every_bytes >> 32 >= size;
}

/* What a block of a size counts for; the same when it comes and when it goes. */
static __always_inline u64 bytes_of(u64 size, u64 every_bytes)
{
	return size < every_bytes ? every_bytes : size;
}

static __always_inline u64 blocks_of(u64 size, u64 every_bytes)
{
	if (!every_bytes)
		return 1;
	return size && size < every_bytes ? every_bytes * BLOCK / size : BLOCK;
}

static __always_inline struct held *held_by(struct holder *holder)
{
	struct held fresh = {};

	bpf_map_update_elem(&held, holder, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&held, holder);
}

/* What is held by who allocates here, and his stack: known already where something was. */
static __always_inline struct held *held_here(struct pt_regs *ctx, struct target *target, bool by_rules, u64 *stack)
{
	struct holder holder = { .pid = target->pid };
	struct position at;
	struct held *entry;

	entry_position(ctx, &at, by_rules ? target->ruled : 0);
	holder.stack = name_stack(&at, target);
	entry = bpf_map_lookup_elem(&held, &holder);
	if (!entry) {
		holder.stack = know_stack(&at, target, holder.stack);
		entry = held_by(&holder);
	}
	*stack = holder.stack;
	return entry;
}

static __always_inline struct slot *slot_of(struct block *block)
{
	u32 index = block->address * 0x9e3779b97f4a7c15ULL >> (64 - SLOT_BITS);

	return bpf_map_lookup_elem(&slots, &index);
}

static __always_inline bool lies_in(struct block *block, struct slot *slot)
{
	return slot->state == SLOT_KEPT && slot->block.address == block->address && slot->block.tgid == block->tgid;
}

static __always_inline int keep_block(struct block *block, struct allocated *allocated)
{
	struct slot *slot = slot_of(block);

	if (!slot)
		return -1;
	if (lies_in(block, slot)) {	/* its release was not seen */
		slot->allocated = *allocated;
		return 0;
	}
	if (__sync_val_compare_and_swap(&slot->state, SLOT_FREE, SLOT_TAKEN) != SLOT_FREE)
		return bpf_map_update_elem(&live, block, allocated, BPF_ANY);
	slot->block = *block;
	slot->allocated = *allocated;
	__sync_val_compare_and_swap(&slot->state, SLOT_TAKEN, SLOT_KEPT);
	return 0;
}

/* Forget a block; whether it was known. */
static __always_inline bool take_block(struct block *block, struct allocated *allocated)
{
	struct slot *slot = slot_of(block);
	struct allocated *known;

	if (slot && lies_in(block, slot)) {
		*allocated = slot->allocated;
		__sync_val_compare_and_swap(&slot->state, SLOT_KEPT, SLOT_FREE);
		return 1;
	}
	known = bpf_map_lookup_elem(&live, block);
	if (!known)
		return 0;
	*allocated = *known;
	bpf_map_delete_elem(&live, block);
	return 1;
}

SEC("uprobe")
int handle_new(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct target *target = current_target(id);
	struct block block = { .address = PT_REGS_PARM2(ctx), .tgid = id >> 32 };
	struct allocated allocated = { .bytes = PT_REGS_PARM3(ctx) };
	u64 size = allocated.bytes, sampled = sampled_every();
	struct held *entry;

	if (!target || !block.address || left_out(size, sampled))
		return 0;
	entry = held_here(ctx, target, sampled != 0, &allocated.stack);
	if (!entry || keep_block(&block, &allocated)) {
		count_lost(LOST_BLOCKS);
		return 0;
	}
	__sync_fetch_and_add(&entry->bytes, bytes_of(size, sampled));
	__sync_fetch_and_add(&entry->blocks, blocks_of(size, sampled));
	__sync_fetch_and_add(&entry->total_bytes, bytes_of(size, sampled));
	__sync_fetch_and_add(&entry->total_blocks, blocks_of(size, sampled));
	return 0;
}

SEC("uprobe")
int handle_delete(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct target *target = current_target(id);
	struct block block = { .address = PT_REGS_PARM2(ctx), .tgid = id >> 32 };
	struct holder holder = {};
	struct allocated known = {};
	u64 sampled = sampled_every();
	struct held *entry;

	if (!target || !take_block(&block, &known))
		return 0;
	holder.pid = target->pid;
	holder.stack = known.stack;
	entry = bpf_map_lookup_elem(&held, &holder);
	if (entry) {
		__sync_fetch_and_add(&entry->bytes, -bytes_of(known.bytes, sampled));
		__sync_fetch_and_add(&entry->blocks, -blocks_of(known.bytes, sampled));
	}
	return 0;
}

static __always_inline void send_memory(struct target *target, struct memory_record *record, u32 action)
{
	record->head.time_ns = bpf_ktime_get_ns();
	record->head.pid = target->pid;
	record->head.tid = seen_tid((struct task_struct *)bpf_get_current_task(), target);
	record->head.weight = action;
	record->head.size = sizeof(*record);
	record->head.kind = RECORD_MEMORY;
	record->stack = current_stack(target);
	if (bpf_ringbuf_output(&ring, record, sizeof(*record), BPF_RB_NO_WAKEUP))
		count_lost(LOST_RING);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(handle_memory, struct pt_regs *regs, long result)
{
	struct target *target = current_target(bpf_get_current_pid_tgid());
	struct memory_record record = {};

	if (!target || FAILED(result))
		return 0;
	switch (CALL_NUMBER(regs)) {
	case CALL_MMAP:
		record.address = result;
		record.length = CALL_ARGUMENT_2(regs);
		send_memory(target, &record, CALL_ARGUMENT_4(regs) & ANONYMOUS ? MEMORY_MAP : MEMORY_FILE);
		break;
	case CALL_MUNMAP:
		record.address = CALL_ARGUMENT_1(regs);
		record.length = CALL_ARGUMENT_2(regs);
		send_memory(target, &record, MEMORY_UNMAP);
		break;
	case CALL_MREMAP:
		record.address = result;
		record.length = CALL_ARGUMENT_3(regs);
		record.old_address = CALL_ARGUMENT_1(regs);
		record.old_length = CALL_ARGUMENT_2(regs);
		send_memory(target, &record, MEMORY_REMAP);
		break;
	case CALL_BRK:
		record.address = result;
		send_memory(target, &record, MEMORY_BREAK);
		break;
	}
	return 0;
}
