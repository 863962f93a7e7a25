/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Numbers of the system calls the probes look at, and where their arguments are when they return.
 *
 * A call an architecture does not have gets a number none has. At the exit of a call its arguments are still in the saved
 * registers; only the first one of arm64 has been overwritten, by the result, and is kept elsewhere.
 */
#ifndef WORKBENCH_SYSCALL_NUMBER_H
#define WORKBENCH_SYSCALL_NUMBER_H

#define NO_SUCH_CALL(n) (100000 + (n))

#if defined(__TARGET_ARCH_x86)
#include <asm/ptrace.h>
#define CALL_WRITE 1
#define CALL_OPEN 2
#define CALL_MMAP 9
#define CALL_MUNMAP 11
#define CALL_BRK 12
#define CALL_WRITEV 20
#define CALL_MREMAP 25
#define CALL_CONNECT 42
#define CALL_SENDTO 44
#define CALL_SENDMSG 46
#define CALL_CREAT 85
#define CALL_OPENAT 257
#define CALL_SENDMMSG 307
#define CALL_OPENAT2 437
#define CALL_NUMBER(regs) ((regs)->orig_rax)
#define CALL_ARGUMENT_1(regs) ((regs)->rdi)
#define CALL_ARGUMENT_2(regs) ((regs)->rsi)
#define CALL_ARGUMENT_3(regs) ((regs)->rdx)
#define CALL_ARGUMENT_4(regs) ((regs)->r10)
#define CALL_ARGUMENT_5(regs) ((regs)->r8)
#define CALL_ARGUMENT_6(regs) ((regs)->r9)
#elif defined(__TARGET_ARCH_arm64)
#define CALL_WRITE 64
#define CALL_OPEN NO_SUCH_CALL(1)
#define CALL_MMAP 222
#define CALL_MUNMAP 215
#define CALL_BRK 214
#define CALL_WRITEV 66
#define CALL_MREMAP 216
#define CALL_CONNECT 203
#define CALL_SENDTO 206
#define CALL_SENDMSG 211
#define CALL_CREAT NO_SUCH_CALL(2)
#define CALL_OPENAT 56
#define CALL_SENDMMSG 269
#define CALL_OPENAT2 437
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct pt_regs {
	u64 regs[31];
	u64 orig_x0;
};
#pragma clang attribute pop
#define CALL_NUMBER(r) ((r)->regs[8])
#define CALL_ARGUMENT_1(r) ((r)->orig_x0)
#define CALL_ARGUMENT_2(r) ((r)->regs[1])
#define CALL_ARGUMENT_3(r) ((r)->regs[2])
#define CALL_ARGUMENT_4(r) ((r)->regs[3])
#define CALL_ARGUMENT_5(r) ((r)->regs[4])
#define CALL_ARGUMENT_6(r) ((r)->regs[5])
#else
#error "add the system call numbers of this architecture"
#endif

#endif
