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
typedef __s16 s16;
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

struct sched_entity {
	u64 sum_exec_runtime;
};

struct sched_info {
	unsigned long long run_delay;
};

struct task_struct {
	struct sched_entity se;
	struct sched_info sched_info;
	unsigned long nvcsw;
	unsigned long nivcsw;
	int pid;
	int tgid;
	unsigned int __state;
	struct pid *thread_pid;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct signal_struct *signal;
	struct files_struct *files;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct inode {
	u16 i_mode;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

struct in6_addr {
	u8 in6_u[16];
};

struct sock_common {
	u16 skc_family;
	u16 skc_dport;
	u32 skc_daddr;
	struct in6_addr skc_v6_daddr;
};

struct sock {
	struct sock_common __sk_common;
};

struct socket {
	struct sock *sk;
};

struct linux_binprm {
	const char *filename;
};

struct bpf_iter__task {
	struct task_struct *task;
};

#pragma clang attribute pop

struct pt_regs;

#endif
