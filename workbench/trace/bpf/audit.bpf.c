// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * audit: what the traced processes do with the world: files opened, peers connected to, bytes sent, programs run.
 *
 * WHAT    One record each, failed ones too: the path as given or the peer's address, the stack, the parent process. Sends
 *         are send, sendto, sendmsg, sendmmsg, and write and writev on a socket.
 * ATTACH  tp_btf/sys_exit, tp_btf/sched_process_fork, tp_btf/sched_process_exec
 * COST    about 60 ns a system call of a traced thread, 1.5 us an audited one.
 * LOSS    ring buffer full: the event is dropped and counted in lost[LOST_RING]. A call that has not returned when tracing
 *         ends is not seen; nor is what is submitted through io_uring. Paths are cut at 255 bytes.
 */
#include "stack.bpf.h"
#include "syscall_number.h"

#define FAMILY_INET 2
#define FAMILY_INET6 10
#define ADDRESS_BYTES 128
#define HERE -100		/* AT_FDCWD */
#define TYPE_MASK 0170000
#define TYPE_SOCKET 0140000
#define MESSAGES 16		/* of one sendmmsg whose sizes are added up */

/* As user space lays them out. */
struct user_message {
	u64 name;
	u32 name_length;
	u32 pad;
	u64 rest[5];
};

struct user_messages {
	struct user_message message;
	u32 length;
	u32 pad;
};

#define CALLS 512

/* System calls the client asked to be told of, by number. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CALLS);
	__type(key, u32);
	__type(value, u32);
} watched SEC(".maps");

/* The stack a child was forked from: after exec its own says nothing. By global tgid. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u64);
} births SEC(".maps");

static __always_inline struct audit_record *reserve(struct target *target, u32 action)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct audit_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count_lost(LOST_RING);
		return NULL;
	}
	record->head.time_ns = bpf_ktime_get_ns();
	record->head.pid = target->pid;
	record->head.tid = seen_tid(task, target);
	record->head.weight = action;
	record->head.size = sizeof(*record);
	record->head.kind = RECORD_AUDIT;
	record->head.flags = 0;
	record->stack = 0;
	record->amount = 0;
	record->error = 0;
	record->parent = seen_tid(BPF_CORE_READ(task, real_parent, group_leader), target);
	record->directory = HERE;
	record->length = 0;
	return record;
}

static __always_inline struct file *file_of(u32 handle)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file = NULL;

	if (handle < BPF_CORE_READ(table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), files + handle);
	return file;
}

static __always_inline bool is_socket(struct file *file)
{
	return file && (BPF_CORE_READ(file, f_inode, i_mode) & TYPE_MASK) == TYPE_SOCKET;
}

/* The peer of a connected socket, as a struct sockaddr. */
static __always_inline void fill_peer(struct audit_record *record, struct file *file)
{
	struct socket *socket = (struct socket *)BPF_CORE_READ(file, private_data);
	struct sock *sock = BPF_CORE_READ(socket, sk);
	u16 family = BPF_CORE_READ(sock, __sk_common.skc_family);
	u16 port = BPF_CORE_READ(sock, __sk_common.skc_dport);
	u32 address;

	*(u16 *)record->target = family;
	record->length = sizeof(family);
	if (family == FAMILY_INET) {
		*(u16 *)(record->target + 2) = port;
		address = BPF_CORE_READ(sock, __sk_common.skc_daddr);
		*(u32 *)(record->target + 4) = address;
		record->length = 16;
	} else if (family == FAMILY_INET6) {
		*(u16 *)(record->target + 2) = port;
		BPF_CORE_READ_INTO((struct in6_addr *)(record->target + 8), sock, __sk_common.skc_v6_daddr);
		record->length = 28;
	}
}

static __always_inline void fill_address(struct audit_record *record, u64 address, u64 length)
{
	if (length > ADDRESS_BYTES)
		length = ADDRESS_BYTES;
	if (!bpf_probe_read_user(record->target, length, (void *)address))
		record->length = length;
}

static __always_inline void fill_path(struct audit_record *record, u64 path)
{
	long bytes = bpf_probe_read_user_str(record->target, sizeof(record->target), (void *)path);

	record->length = bytes > 0 ? bytes - 1 : 0;
}

static __always_inline void end_record(struct audit_record *record, long result)
{
	if (result < 0)
		record->error = -result;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

static __always_inline void audit_open(struct target *target, u64 stack, s32 directory, u64 path, u64 flags,
				       long result)
{
	struct audit_record *record = reserve(target, AUDIT_OPEN);

	if (!record)
		return;
	record->stack = stack;
	record->directory = directory;
	record->amount = flags;
	fill_path(record, path);
	end_record(record, result);
}

static __always_inline void audit_connect(struct target *target, u64 stack, u64 address, u64 length, long result)
{
	struct audit_record *record = reserve(target, AUDIT_CONNECT);

	if (!record)
		return;
	record->stack = stack;
	fill_address(record, address, length);
	end_record(record, result);
}

static __always_inline void audit_send(struct target *target, u64 stack, struct file *file, u64 address,
				       u64 length, u64 bytes, long result)
{
	struct audit_record *record = reserve(target, AUDIT_SEND);

	if (!record)
		return;
	record->stack = stack;
	record->amount = bytes;
	if (address && length)
		fill_address(record, address, length);
	else
		fill_peer(record, file);
	end_record(record, result);
}

static __always_inline u64 sum_messages(u64 messages, u32 count)
{
	u64 total = 0;
	u32 index, bytes;

	for (index = 0; index < MESSAGES; index++) {
		if (index >= count)
			break;
		bytes = 0;
		bpf_probe_read_user(&bytes, sizeof(bytes),
				    (void *)(messages + index * sizeof(struct user_messages)
					     + __builtin_offsetof(struct user_messages, length)));
		total += bytes;
	}
	return total;
}

static __always_inline void handle_send(struct target *target, u64 stack, struct pt_regs *regs, u64 number, long result)
{
	struct user_message message = {};
	u64 bytes = result > 0 ? result : 0;

	if (number == CALL_SENDTO) {
		message.name = CALL_ARGUMENT_5(regs);
		message.name_length = CALL_ARGUMENT_6(regs);
	} else if (number == CALL_SENDMSG || number == CALL_SENDMMSG) {
		bpf_probe_read_user(&message, sizeof(message), (void *)CALL_ARGUMENT_2(regs));
	}
	if (number == CALL_SENDMMSG)
		bytes = sum_messages(CALL_ARGUMENT_2(regs), bytes);
	audit_send(target, stack, file_of(CALL_ARGUMENT_1(regs)), message.name, message.name_length, bytes, result);
}

static __always_inline void handle_open(struct target *target, u64 stack, struct pt_regs *regs, u64 number, long result)
{
	u64 path = CALL_ARGUMENT_2(regs), flags = CALL_ARGUMENT_3(regs);
	s32 directory = CALL_ARGUMENT_1(regs);

	if (number == CALL_OPENAT2) {
		flags = 0;
		bpf_probe_read_user(&flags, sizeof(flags), (void *)CALL_ARGUMENT_3(regs));
	} else if (number == CALL_OPEN || number == CALL_CREAT) {
		directory = HERE;
		path = CALL_ARGUMENT_1(regs);
		flags = number == CALL_OPEN ? CALL_ARGUMENT_2(regs) : 01101;
	}
	audit_open(target, stack, directory, path, flags, result);
}

static __always_inline bool is_watched(u64 number)
{
	u32 key = number, *wanted = bpf_map_lookup_elem(&watched, &key);

	return wanted && *wanted;
}

static __always_inline void audit_watched(struct target *target, u64 stack, u64 number, long result)
{
	struct audit_record *record = reserve(target, AUDIT_SYSCALL);

	if (!record)
		return;
	record->stack = stack;
	record->amount = number;
	end_record(record, result);
}

static __always_inline u32 action_of(struct pt_regs *regs, u64 number)
{
	switch (number) {
	case CALL_OPENAT:
	case CALL_OPENAT2:
	case CALL_OPEN:
	case CALL_CREAT:
		return AUDIT_OPEN;
	case CALL_CONNECT:
		return AUDIT_CONNECT;
	case CALL_SENDTO:
	case CALL_SENDMSG:
	case CALL_SENDMMSG:
	case CALL_WRITE:
	case CALL_WRITEV:
		return is_socket(file_of(CALL_ARGUMENT_1(regs))) ? AUDIT_SEND : 0;
	}
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(handle_return, struct pt_regs *regs, long result)
{
	struct target *target = current_target(bpf_get_current_pid_tgid());
	u64 number, stack;
	u32 action;
	bool watch;

	if (!target)
		return 0;
	number = CALL_NUMBER(regs);
	action = action_of(regs, number);
	watch = is_watched(number);
	if (!action && !watch)
		return 0;
	/* In one place: the verifier follows each call of it from the start. */
	stack = current_stack(target);
	if (watch)
		audit_watched(target, stack, number, result);
	if (action == AUDIT_OPEN)
		handle_open(target, stack, regs, number, result);
	else if (action == AUDIT_CONNECT)
		audit_connect(target, stack, CALL_ARGUMENT_2(regs), CALL_ARGUMENT_3(regs), result);
	else if (action == AUDIT_SEND)
		handle_send(target, stack, regs, number, result);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(handle_birth, struct task_struct *parent, struct task_struct *child)
{
	u32 parent_tgid = parent->tgid, child_tgid = child->tgid;
	struct target *target = bpf_map_lookup_elem(&targets, &parent_tgid);
	u64 stack;

	if (!target || parent_tgid == child_tgid)
		return 0;
	stack = current_stack(target);
	bpf_map_update_elem(&births, &child_tgid, &stack, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(handle_program, struct task_struct *task, int old_pid, struct linux_binprm *program)
{
	u32 tgid = task->tgid;
	struct target *target = bpf_map_lookup_elem(&targets, &tgid);
	struct audit_record *record;
	u64 *stack;
	long bytes;

	if (!target)
		return 0;
	record = reserve(target, AUDIT_EXEC);
	if (!record)
		return 0;
	stack = bpf_map_lookup_elem(&births, &tgid);
	if (stack)
		record->stack = *stack;
	bytes = bpf_probe_read_kernel_str(record->target, sizeof(record->target), BPF_CORE_READ(program, filename));
	record->length = bytes > 0 ? bytes - 1 : 0;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}
