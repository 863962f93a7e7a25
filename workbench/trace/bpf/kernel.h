/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The few kernel structures the probes read, as fragments.
 *
 * preserve_access_index makes every field access a CO-RE relocation: libbpf rewrites the offsets from the running
 * kernel's BTF at load time, so the objects build on any machine and need no dumped vmlinux.h. Only names and types
 * matter here; order and missing fields do not.
 */
#ifndef WORKBENCH_KERNEL_H
#define WORKBENCH_KERNEL_H

#include <linux/types.h>
#include <linux/bpf.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef _Bool bool;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct upid {
	int nr;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct workbench_counter {
	int counter;
};

struct signal_struct {
	struct workbench_counter live;
};

struct task_struct {
	int pid;
	int tgid;
	unsigned int __state;
	struct pid *thread_pid;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct signal_struct *signal;
};

struct bpf_iter__task {
	struct task_struct *task;
};

#pragma clang attribute pop

struct pt_regs;
struct linux_binprm;

#endif
