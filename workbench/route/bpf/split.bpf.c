// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * WHAT    gives each new connection of the service's address to a listener of the stable or the canary track
 * ATTACH  sk_lookup, on the network namespace; two more programs only tests run
 * COST    one run for each connection of the machine: 20 ns if it is not ours, about 0.4 us if it is
 * FLIP    the state is read once more after a listener of the canary was assigned: whatever the flip overtook goes to
 *         stable, so that no connection whose last look came after the flip's store is the canary's
 * LOSS    none; without a living replica the SYN is dropped, so the client asks again in a second
 */
#include "policy.h"
#include <bpf/bpf_endian.h>

#define AF_INET 2
#define AF_INET6 10
#define TRIES 32

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define CONNECTOR (2 * REPLICAS)

/* Each replica's listener for HTTP, then each one's for gRPC, then the connector's. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2 * REPLICAS + 1);
	__type(key, u32);
	__type(value, u64);
} listeners SEC(".maps");

/* Which track slot a connection of the connector is for, by its address and port. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, u64);
	__type(value, u32);
} marks SEC(".maps");

/* The compiler must not join two reads of the context into one at a computed place: the verifier refuses that. */
#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))

static __always_inline bool is_ours(struct bpf_sk_lookup *ctx, struct control *c)
{
	u32 address4 = READ_ONCE(ctx->local_ip4), a = READ_ONCE(ctx->local_ip6[0]), b = READ_ONCE(ctx->local_ip6[1]);
	u32 d = READ_ONCE(ctx->local_ip6[2]), e = READ_ONCE(ctx->local_ip6[3]);

	u32 port = READ_ONCE(ctx->local_port);

	if ((port != c->port && (!port || port != c->grpc_port)) || ctx->protocol != 6)
		return 0;
	if (ctx->family == AF_INET)
		return address4 == c->address4;
	return a == c->address6[0] && b == c->address6[1] && d == c->address6[2] && e == c->address6[3];
}

static __always_inline bool is_dead(u32 index)
{
	struct replica *one = replica_at(index);
	u32 pid = one ? one->pid : 0;

	return pid && !bpf_map_lookup_elem(&processes, &pid);
}

static __always_inline bool assign(struct bpf_sk_lookup *ctx, u32 place)
{
	struct bpf_sock *listener = bpf_map_lookup_elem(&listeners, &place);
	long failed;

	if (!listener)
		return 0;
	failed = bpf_sk_assign(ctx, listener, BPF_SK_LOOKUP_F_REPLACE);
	bpf_sk_release(listener);
	return !failed;
}

/*
 * Give the connection to a replica of a track, the next living one in turn; returns its index, or REPLICAS. If none
 * lives, it waits at a dead one's listener for the next process.
 */
static __always_inline u32 give(struct bpf_sk_lookup *ctx, struct control *c, u32 slot, bool grpc)
{
	u32 count, turn, n, index, place, waits = 2 * REPLICAS;

	if (slot >= TRACKS)
		return REPLICAS;
	count = c->counts[slot & (TRACKS - 1)];
	if (!count)
		return REPLICAS;
	turn = __sync_fetch_and_add(&c->turn, 1);
	for (n = 0; n < TRIES; n++) {
		index = (slot & (TRACKS - 1)) * PER_TRACK + (turn + n) % count % PER_TRACK;
		place = grpc ? index + REPLICAS : index;
		if (is_dead(index))
			waits = place;
		else if (assign(ctx, place))
			return index;
	}
	if (waits < 2 * REPLICAS && assign(ctx, waits))
		return waits % REPLICAS;
	return REPLICAS;
}

SEC("sk_lookup")
int split(struct bpf_sk_lookup *ctx)
{
	struct control *c = the_control();
	struct replica *one;
	u32 index = REPLICAS, address4 = READ_ONCE(ctx->remote_ip4), address6 = READ_ONCE(ctx->remote_ip6[3]), ticket;
	bool canary, grpc;
	u32 *mark = NULL;
	u64 key;

	if (!c || !is_ours(ctx, c))
		return SK_PASS;
	grpc = READ_ONCE(ctx->local_port) != c->port;
	key = client_key(ctx->family == AF_INET ? address4 : address6, ctx->remote_port);
	if (c->by_request && !grpc) {
		mark = bpf_map_lookup_elem(&marks, &key);
		if (!mark && assign(ctx, CONNECTOR)) { /* it is gone when its process is dead */
			bpf_map_delete_elem(&given, &key); /* of an earlier connection from that port */
			return SK_PASS;
		}
	}
	if (mark) {
		canary = c->state == ACTIVE && *mark == c->canary;
	} else {
		ticket = __sync_fetch_and_add(&c->ticket, 1);
		canary = c->state == ACTIVE && picks_canary(ticket, c->weight);
	}
	if (canary) {
		index = give(ctx, c, c->canary, grpc);
		if (index == REPLICAS && !grpc) /* its process is gone, and the tracepoint of its exit has yet to come */
			flip(c, CRASH, bpf_ktime_get_ns(), c->canary * PER_TRACK, 0, 0, 0);
		else if (index != REPLICAS && c->state != ACTIVE) { /* looked at last: a flip meanwhile counts */
			__sync_fetch_and_add(&c->overtaken, 1);
			index = REPLICAS;
		}
	}
	if (index == REPLICAS)
		index = give(ctx, c, c->stable, grpc);
	if (index == REPLICAS && c->state == ACTIVE)
		index = give(ctx, c, c->canary, grpc);
	if (index == REPLICAS)
		return SK_DROP;
	one = replica_at(index);
	if (one)
		__sync_fetch_and_add(&one->routed, 1);
	if (grpc) /* many calls share a connection: what it carries is not judged */
		return SK_PASS;
	bpf_map_update_elem(&given, &key, &index, BPF_ANY);
	return SK_PASS;
}

/* For tests: the decisions themselves, without traffic. */
struct pick_case {
	u32 ticket;
	u32 weight;
	u32 canary;
};

SEC("syscall")
int try_pick(struct pick_case *one)
{
	one->canary = picks_canary(one->ticket, one->weight);
	return 0;
}

struct outcome_case {
	u32 metric;
	u32 canary;
	u32 bad;
	u32 state; /* out */
};

SEC("syscall")
int try_observe(struct outcome_case *one)
{
	struct control *c = the_control();

	if (!c)
		return 1;
	observe(one->metric, one->canary, one->bad, c->canary * PER_TRACK, bpf_ktime_get_ns());
	one->state = c->state;
	return 0;
}
