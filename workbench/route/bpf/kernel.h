/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The few kernel structures the route reads, as fragments; CO-RE finds their fields in the running kernel. */
#ifndef WORKBENCH_ROUTE_KERNEL_H
#define WORKBENCH_ROUTE_KERNEL_H

#include <linux/types.h>
#include <linux/bpf.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
typedef _Bool bool;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr_words {
	u32 u6_addr32[4];
};

struct in6_addr {
	struct in6_addr_words in6_u;
};

struct sock_common {
	u32 skc_daddr;
	u16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
};

struct sock {
	struct sock_common __sk_common;
};

struct percpu_counter {
	s64 count;
};

struct mm_struct {
	struct percpu_counter rss_stat[4];
};

struct task_struct {
	int pid;
	int tgid;
	int exit_code;
	unsigned int __state;
	struct mm_struct *mm;
};

struct sigaction {
	void *sa_handler;
};

struct k_sigaction {
	struct sigaction sa;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long di, si, dx, ax;
};
#define ARGUMENT_1(regs) BPF_CORE_READ(regs, di)
#define ARGUMENT_2(regs) BPF_CORE_READ(regs, si)
#define ARGUMENT_3(regs) BPF_CORE_READ(regs, dx)
#define RETURNED(regs) BPF_CORE_READ(regs, ax)
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs_view {
	u64 regs[31];
};
struct pt_regs {
	u64 regs[31];
};
#define ARGUMENT_1(regs) BPF_CORE_READ(regs, regs[0])
#define ARGUMENT_2(regs) BPF_CORE_READ(regs, regs[1])
#define ARGUMENT_3(regs) BPF_CORE_READ(regs, regs[2])
#define RETURNED(regs) BPF_CORE_READ(regs, regs[0])
#endif

#pragma clang attribute pop

#endif
