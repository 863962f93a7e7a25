/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What the kernel itself counts of a thread's turns on a CPU: tells when we were not shown one.
 *
 * A switch is traced in the context of the thread that leaves, and a kernel may have reasons not to run a program there
 * (an agent of the machine's owner, a program of the same kind below us). The thread that comes is ours all the same.
 * When it leaves, in a context we are always shown, its own counters say what was missed.
 */
#ifndef WORKBENCH_SWITCHES_BPF_H
#define WORKBENCH_SWITCHES_BPF_H

#include "common.bpf.h"

/* A thread's counters when it last left a CPU. */
struct turns {
	u64 switches;	/* how often it left one */
	u64 runtime;	/* ns on one */
	u64 delay;	/* ns ready and waiting for one; UNKNOWN where the kernel does not count it */
};

#define UNKNOWN ((u64)-1)

/* Valid for a thread that is not running, or is just leaving. */
static __always_inline void count_turns(struct task_struct *task, struct turns *turns)
{
	turns->switches = task->nvcsw + task->nivcsw;
	turns->runtime = task->se.sum_exec_runtime;
	turns->delay = bpf_core_field_exists(task->sched_info.run_delay) ? task->sched_info.run_delay : UNKNOWN;
}

/* When a thread that is just leaving came, if it left once since `then`. */
static __always_inline u64 arrival(struct turns *then, struct turns *now)
{
	return bpf_ktime_get_ns() - (now->runtime - then->runtime);
}

#endif
