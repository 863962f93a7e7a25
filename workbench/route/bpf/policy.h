/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * workbench/route/policy.py, decision for decision: tests run both over tests/route/vectors.json.
 */
#ifndef WORKBENCH_ROUTE_POLICY_H
#define WORKBENCH_ROUTE_POLICY_H

#include "control.h"

#define WHOLE 10000
#define STEP 2654435769u
#define START (1u << 31)

static __always_inline bool picks_canary(u32 ticket, u32 weight)
{
	u64 cut = ((u64)weight << 32) / WHOLE;

	return (u64)(u32)(ticket * STEP + START) < cut;
}

static __always_inline u32 count_bits(u64 x)
{
	x -= (x >> 1) & 0x5555555555555555ull;
	x = (x & 0x3333333333333333ull) + ((x >> 2) & 0x3333333333333333ull);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (x * 0x0101010101010101ull) >> 56;
}

/* Send the clients of one replica of the canary away, and name it if it is the guilty one. */
static long send_away_from(u64 n, u32 *guilty)
{
	struct control *c = the_control();
	struct replica *one;
	u64 *word;
	u32 index, at;

	if (!c)
		return 1;
	index = (c->canary & (TRACKS - 1)) * PER_TRACK + n;
	one = replica_at(index);
	if (!one || !one->pid)
		return 0;
	if (index == *guilty) {
		c->audit.pid = one->pid;
		__builtin_memcpy(c->audit.command, one->command, sizeof(one->command));
	}
	at = one->word;
	word = bpf_map_lookup_elem(&drains, &at);
	if (word)
		*word |= 1;
	return 0;
}

/* Take the canary's traffic away: the compare-and-swap is the flip, the rest tells about it. Only one caller wins. */
static __always_inline void flip(struct control *c, u32 reason, u64 breach_ns, u32 guilty, u64 observed, u64 stable,
				 u64 budget)
{
	if (__sync_val_compare_and_swap(&c->state, ACTIVE, ROLLED_BACK) != ACTIVE)
		return;
	c->audit.flip_ns = bpf_ktime_get_ns();
	c->audit.breach_ns = breach_ns;
	c->audit.observed = observed;
	c->audit.stable = stable;
	c->audit.budget = budget;
	c->audit.reason = reason;
	bpf_loop(PER_TRACK, send_away_from, &guilty, 0);
}

static __always_inline bool is_canary(struct control *c, u32 index)
{
	return c->state == ACTIVE && index / PER_TRACK == c->canary;
}

static __always_inline u32 *current_replica(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&processes, &tgid);
}

/* Remember one outcome of a track and judge: a canary with `breaches` more bad ones than stable must go. */
__noinline int observe(u32 metric, u32 canary, u32 bad, u32 guilty, u64 now)
{
	struct control *c = the_control();
	u64 *windows, *mine, old;
	u32 mine_bad, stable_bad;

	if (!c || metric >= METRICS)
		return 0;
	bad = !!bad;
	windows = c->windows[metric];
	mine = canary ? &windows[1] : &windows[0];
	/* Two processors may write at once: the loser tries again, a third time is not worth the wait. */
	old = *mine;
	if (__sync_val_compare_and_swap(mine, old, old << 1 | bad) != old) {
		old = *mine;
		__sync_val_compare_and_swap(mine, old, old << 1 | bad);
	}
	mine_bad = count_bits(windows[1]);
	stable_bad = count_bits(windows[0]);
	if (mine_bad >= stable_bad + c->breaches)
		flip(c, ERRORS + metric, now, guilty, mine_bad, stable_bad, c->breaches);
	return 0;
}

#endif
