// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * WHAT    refuses connections and datagrams of a control group to addresses that are not on its list: EPERM, before a packet
 * ATTACH  cgroup/connect4, connect6, sendmsg4, sendmsg6, on the group's own folder
 * COST    one lookup in a small trie for each connect and each datagram that names its destination, about 0.2 us
 * LOSS    none: without an entry the answer is no. Unix sockets, and connections that others opened to us, are not looked at
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define REFUSED 0
#define ALLOWED 1

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct address {
	__u32 bits;		/* of the prefix */
	__u32 words[4];		/* network order; IPv4 as ::ffff:a.b.c.d */
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 256);
	__type(key, struct address);
	__type(value, __u32);
} allowed SEC(".maps");

/* How often the answer was no. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} refused SEC(".maps");

static __always_inline int decide(struct address *to)
{
	__u32 zero = 0;
	__u64 *count;

	to->bits = 128;
	if (bpf_map_lookup_elem(&allowed, to))
		return ALLOWED;
	count = bpf_map_lookup_elem(&refused, &zero);
	if (count)
		__sync_fetch_and_add(count, 1);
	return REFUSED;
}

static __always_inline int decide4(struct bpf_sock_addr *ctx)
{
	struct address to = {};

	to.words[2] = __builtin_bswap32(0xffff);
	to.words[3] = ctx->user_ip4;
	return decide(&to);
}

/* The verifier takes loads of single words only; volatile keeps the compiler from joining them. */
#define WORD(at) (*(volatile __u32 *)&ctx->user_ip6[at])

static __always_inline int decide6(struct bpf_sock_addr *ctx)
{
	struct address to = {};

	to.words[0] = WORD(0);
	to.words[1] = WORD(1);
	to.words[2] = WORD(2);
	to.words[3] = WORD(3);
	return decide(&to);
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return decide4(ctx);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	return decide6(ctx);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	return decide4(ctx);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	return decide6(ctx);
}
