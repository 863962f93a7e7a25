// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * WHAT    takes the traffic of a canary away whose CUDA calls fail, or that launches without end: more launches than its
 *         budget between two answers
 * ATTACH  uprobe_multi, on launches and on the returns of the calls of the CUDA driver and runtime, in one replica
 * COST    about 2 us a call
 * LOSS    none; a library loaded later is watched from the supervisor's next look (half a second) on
 */
#include "policy.h"
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#define NOT_READY 600 /* the answer of a query, no failure */

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct calls {
	u64 errors; /* since the library is watched */
	u64 launches; /* since the last answer */
	u64 answered;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REPLICAS);
	__type(key, u32);
	__type(value, struct calls);
} cuda_calls SEC(".maps");

SEC("uprobe")
int on_cuda_return(struct pt_regs *regs)
{
	u32 code = RETURNED(regs), *index = current_replica();
	struct control *c = the_control();
	struct calls *calls;
	u64 errors;

	if (!code || code == NOT_READY || !index || !c || !is_canary(c, *index))
		return 0;
	calls = bpf_map_lookup_elem(&cuda_calls, index);
	if (!calls)
		return 0;
	errors = __sync_fetch_and_add(&calls->errors, 1) + 1;
	if (c->cuda_errors && errors >= c->cuda_errors)
		flip(c, CUDA_ERRORS, bpf_ktime_get_ns(), *index, errors, code, c->cuda_errors);
	return 0;
}

SEC("uprobe")
int on_cuda_launch(struct pt_regs *regs)
{
	u32 *index = current_replica();
	struct control *c = the_control();
	struct replica *one;
	struct calls *calls;
	u64 launches;

	if (!index || !c || !is_canary(c, *index))
		return 0;
	one = replica_at(*index);
	calls = bpf_map_lookup_elem(&cuda_calls, index);
	if (!one || !calls)
		return 0;
	if (calls->answered != one->requests) {
		calls->answered = one->requests;
		calls->launches = 0;
	}
	launches = __sync_fetch_and_add(&calls->launches, 1) + 1;
	if (c->cuda_launches && launches > c->cuda_launches)
		flip(c, CUDA_LAUNCHES, bpf_ktime_get_ns(), *index, launches, 0, c->cuda_launches);
	return 0;
}
