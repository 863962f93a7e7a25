// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * enforce: refuses connects and datagrams of the traced processes that the policy does not allow.
 *
 * WHAT    A peer no rule covers gets EPERM before anything leaves the machine; the call itself is logged by `audit`, with that
 *         error. On request the process is also sent a signal when the refused call returns.
 * ATTACH  cgroup/connect4, connect6, sendmsg4, sendmsg6 at the root of the cgroup tree; tp_btf/sys_exit
 * COST    one map lookup a connect of any process, 0.1 us plus 10 ns a rule of a traced one.
 * LOSS    none: what cannot be looked up is refused. Sockets of other families (unix, netlink) are not looked at, nor are
 *         sends through a connection that was there before.
 */
#include "common.bpf.h"

#define RULES 64
#define MAPPED 0xffff0000	/* ::ffff:0:0/96, third word in network order on a little-endian machine */

struct rule {
	u32 address[4];		/* network order; IPv4 as ::ffff:a.b.c.d */
	u32 mask[4];
	u16 low_port;
	u16 high_port;
	u32 used;
};

struct settings {
	u32 signal;		/* 0: none */
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RULES);
	__type(key, u32);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* Threads inside a call that was refused. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u32);
} refused SEC(".maps");

static __always_inline bool covers(struct rule *rule, u32 *address, u16 port)
{
	u32 index;

	if (!rule->used || port < rule->low_port || port > rule->high_port)
		return 0;
	for (index = 0; index < 4; index++)
		if ((address[index] & rule->mask[index]) != rule->address[index])
			return 0;
	return 1;
}

static __always_inline int judge(u32 *address, u32 network_port)
{
	u64 id = bpf_get_current_pid_tgid();
	u16 port = __builtin_bswap16((u16)network_port);
	u32 index, tid = id, yes = 1;
	struct rule *rule;

	if (!current_target(id))
		return 1;
	for (index = 0; index < RULES; index++) {
		u32 key = index;

		rule = bpf_map_lookup_elem(&rules, &key);
		if (!rule || !rule->used)
			break;
		if (covers(rule, address, port))
			return 1;
	}
	bpf_map_update_elem(&refused, &tid, &yes, BPF_ANY);
	return 0;
}

static __always_inline int judge_4(struct bpf_sock_addr *ctx)
{
	u32 address[4] = { 0, 0, MAPPED, ctx->user_ip4 };

	return judge(address, ctx->user_port);
}

static __always_inline int judge_6(struct bpf_sock_addr *ctx)
{
	u32 address[4] = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] };

	return judge(address, ctx->user_port);
}

SEC("cgroup/connect4")
int allow_connect4(struct bpf_sock_addr *ctx)
{
	return judge_4(ctx);
}

SEC("cgroup/connect6")
int allow_connect6(struct bpf_sock_addr *ctx)
{
	return judge_6(ctx);
}

SEC("cgroup/sendmsg4")
int allow_send4(struct bpf_sock_addr *ctx)
{
	return judge_4(ctx);
}

SEC("cgroup/sendmsg6")
int allow_send6(struct bpf_sock_addr *ctx)
{
	return judge_6(ctx);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(handle_refused, struct pt_regs *regs, long result)
{
	u32 tid = bpf_get_current_pid_tgid(), zero = 0;
	struct settings *wanted;

	if (!bpf_map_lookup_elem(&refused, &tid))
		return 0;
	bpf_map_delete_elem(&refused, &tid);
	wanted = bpf_map_lookup_elem(&settings, &zero);
	if (wanted && wanted->signal)
		bpf_send_signal(wanted->signal);
	return 0;
}
