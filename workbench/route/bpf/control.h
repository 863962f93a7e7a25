/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What the route's programs and its controllers share: layout.py mirrors every structure here.
 *
 * A track slot holds the replicas of one version. `stable` and `canary` name slots, so a promotion is one store.
 * The canary gets traffic only while `state` is ACTIVE: taking its traffic away is one compare-and-swap, and no
 * late writer of a weight can give it back.
 */
#ifndef WORKBENCH_ROUTE_CONTROL_H
#define WORKBENCH_ROUTE_CONTROL_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>

#define TRACKS 4
#define PER_TRACK 64
#define REPLICAS (TRACKS * PER_TRACK)
#define NO_TRACK TRACKS
#define DRAIN_WORDS 65536
#define BUCKETS 104 /* as workbench.route.meters.Histogram: four an octave, from a microsecond up */

enum state { IDLE, ACTIVE, ROLLED_BACK };
enum reason { NONE, ERRORS, LATENCY, JITTER, MEMORY, SYSCALL, CRASH, HANG, CUDA_ERRORS, CUDA_LAUNCHES };
enum metric { BY_ERRORS, BY_LATENCY, BY_JITTER, METRICS };

/* Why the canary lost its traffic; written once, by whoever wins the compare-and-swap. */
struct audit {
	u64 breach_ns; /* CLOCK_MONOTONIC: the program saw the breach, the traffic was gone */
	u64 flip_ns;
	u64 observed;
	u64 stable;
	u64 budget;
	u32 reason;
	u32 pid;
	char command[16];
};

struct control {
	u32 state;
	u32 weight; /* of 10,000 */
	u32 ticket; /* of the next connection; see policy.py */
	u32 turn;
	u32 port; /* host order */
	u32 address4; /* network order */
	u32 address6[4];
	u32 stable; /* track slots */
	u32 canary;
	u32 counts[TRACKS];
	u32 versions[TRACKS];
	u32 generation;
	u32 breaches;
	u64 latency_ns; /* budgets; 0 is off */
	u64 jitter_ns;
	u64 memory_pages;
	u64 hang_ns;
	u64 syscalls[8]; /* forbidden ones, a bit each */
	u64 windows[METRICS][2]; /* the last 64 outcomes of the stable and the canary track */
	u64 overtaken; /* connections that were picked for the canary before the flip, and given to stable after it */
	struct audit audit;
	u32 grpc_port; /* of the service for gRPC, host order; 0: none. New fields come last: what is pinned stays readable */
	u32 by_request; /* clients go to the connector, their requests to the tracks; see requests.bpf.c */
	u32 cuda_errors; /* budgets; 0 is off; see cuda.bpf.c */
	u32 cuda_launches;
};

struct replica {
	u64 routed;
	u64 connections; /* open ones */
	u64 unread; /* requests nobody has read from */
	u64 in_flight; /* requests without an answer */
	u64 unread_since_ns; /* or when one was last read */
	u64 progress_ns; /* when one was last answered, or the first began to wait */
	u64 requests;
	u64 errors;
	u64 waited_ns; /* for a processor, all its threads */
	u64 queued_since_ns; /* it waits for one now; 0: no */
	u64 unread_waited_ns; /* waited_ns at unread_since_ns and at progress_ns */
	u64 progress_waited_ns;
	u64 memory_pages;
	u64 memory_base;
	u32 word; /* its place in `drains` */
	u32 pid;
	char command[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct control);
} control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REPLICAS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct replica);
} replicas SEC(".maps");

/*
 * One word a replica, which maps it for reading. Lowest byte: not 0 sends its clients away with their next answer;
 * next byte: its track, 1 stable, 2 canary.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DRAIN_WORDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, u64);
} drains SEC(".maps");

/* Replica index by process: a replica's own, and those it forked. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u32);
} processes SEC(".maps");

/* Which replica a client's connection was given to, until its socket exists. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u32);
} given SEC(".maps");

static __always_inline struct control *the_control(void)
{
	u32 first = 0;

	return bpf_map_lookup_elem(&control, &first);
}

static __always_inline struct replica *replica_at(u32 index)
{
	return bpf_map_lookup_elem(&replicas, &index);
}

/* A client by its address and port (network order). */
static __always_inline u64 client_key(u32 address, u16 port)
{
	return (u64)address << 16 | port;
}

#endif
