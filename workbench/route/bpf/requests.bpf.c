// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * WHAT    carries each request of a kept HTTP/1.1 connection to the stable or the canary track, and its answer back
 * ATTACH  sk_skb verdict, on a map of sockets: a client's and one of each track, put there by connector.py
 * COST    about 1 us for a message's head, 0.2 us for each further piece of its body
 * LOSS    none; a connection whose messages cannot be told apart stays with the track it was at (`stuck`)
 * CLOSE   a track whose replica has closed is asked no more from that instant on, whenever the connector hears of it; a
 *         request that nobody can take waits in the client's socket, where the connector finds it
 *
 * A client asks again when it has its answer; whoever sends its next request before (pipelining) keeps its track.
 */
#include "policy.h"
#include "head.h"

#define PAIRS 8192
#define ENDS (1 + TRACKS) /* the client, then a socket for each track slot */
#define TCP_ESTABLISHED 1

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* ASKED: no byte of the answer has come; ANSWERED: not all of it; REFUSED: nobody could be asked, the connector must */
enum phase { QUIET, ASKED, ANSWERED, REFUSED };

/* One client and its sockets. The connector writes `open` and `lost`, and clears the rest before the client enters. */
struct pair {
	u32 open; /* track slots that may be asked, a bit each */
	u32 slot; /* that was asked last */
	u32 stable; /* the stable slot then */
	u32 phase;
	u32 stuck;
	u32 no_body; /* the answer to HEAD has none */
	u32 closes; /* request or answer said that the connection ends with it */
	u32 lost; /* track slots whose replica has closed: what is left of a request to them goes nowhere */
	u64 asked_left; /* bytes of the request that have yet to come */
	u64 answer_left;
	u64 answered; /* bytes sent to the client */
	u64 asked[TRACKS]; /* and to each track */
};

struct tally {
	u64 requests; /* that were told apart */
	u64 canary; /* of these */
	u64 stuck; /* connections */
	u64 refused; /* requests nobody was there for; the connector takes them over, or answers them */
};

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, PAIRS * ENDS);
	__type(key, u32);
	__type(value, u64);
} sockets SEC(".maps");

/* A socket's place in `sockets` by its cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PAIRS * ENDS);
	__type(key, u64);
	__type(value, u32);
} members SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PAIRS);
	__type(key, u32);
	__type(value, struct pair);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tally);
} tallies SEC(".maps");

static __always_inline struct tally *the_tally(void)
{
	u32 first = 0;

	return bpf_map_lookup_elem(&tallies, &first);
}

static __always_inline void stick(struct pair *p)
{
	struct tally *t = the_tally();

	if (p->stuck)
		return;
	p->stuck = 1;
	if (t)
		__sync_fetch_and_add(&t->stuck, 1);
}

/* What comes from now on waits in the client's socket, until the connector has read it and made the pair `stuck`. */
static __always_inline void refuse(struct pair *p)
{
	struct tally *t = the_tally();

	p->phase = REFUSED;
	if (t)
		__sync_fetch_and_add(&t->refused, 1);
}

/* Whether a track may be asked: the connector says so, and its replica has not closed since. */
static __always_inline bool has(struct pair *p, u32 index, u32 slot)
{
	u32 place = index * ENDS + 1 + slot;
	struct bpf_sock *sk;
	bool open;

	if (slot >= TRACKS || !(p->open >> (slot & (TRACKS - 1)) & 1))
		return 0;
	sk = bpf_map_lookup_elem(&sockets, &place);
	if (!sk)
		return 0;
	open = sk->state == TCP_ESTABLISHED;
	bpf_sk_release(sk);
	return open;
}

/* The track slot of the next request; TRACKS when nobody is there. */
static __always_inline u32 choose(struct control *c, struct pair *p, u32 index)
{
	u32 ticket = __sync_fetch_and_add(&c->ticket, 1), slot = c->stable;
	bool picked = has(p, index, c->canary) && (picks_canary(ticket, c->weight) || !has(p, index, slot));
	struct tally *t = the_tally();

	if (t)
		__sync_fetch_and_add(&t->requests, 1);
	if (picked && c->state == ACTIVE) { /* looked at last: whoever was picked in the instant of the flip stays away */
		if (t)
			__sync_fetch_and_add(&t->canary, 1);
		return c->canary;
	}
	if (!has(p, index, slot)) /* a swap a moment ago: who was stable answers, and sends the client away */
		slot = p->stable;
	if (!has(p, index, slot))
		return TRACKS;
	p->stable = slot;
	return slot;
}

/* Bytes of a client: whose are they? 0: nobody's. */
static __always_inline bool ask(struct __sk_buff *skb, struct control *c, struct pair *p, u32 index)
{
	struct head h = {};
	u32 slot, first = 0;

	if (p->stuck)
		return 1;
	if (p->phase == REFUSED)
		return 0;
	if (p->asked_left) {
		if (skb->len > p->asked_left)
			stick(p);
		else
			p->asked_left -= skb->len;
		return 1;
	}
	if (p->phase != QUIET) { /* pipelined: who answers the first answers both, in order */
		stick(p);
		return 1;
	}
	read_head(skb, &h);
	slot = choose(c, p, index); /* just before the bytes go there, so that a flip meanwhile counts */
	if (slot >= TRACKS) {
		refuse(p);
		return 0;
	}
	p->slot = slot;
	bpf_skb_load_bytes(skb, 0, &first, sizeof(first));
	p->no_body = first == 0x44414548; /* HEAD */
	p->closes = h.closes;
	p->phase = ASKED;
	if (h.odd || skb->len - h.bytes > h.length)
		stick(p);
	else
		p->asked_left = h.length - (skb->len - h.bytes);
	return 1;
}

/* The answer begins; whether it does: 100 (Continue) by itself only announces it. */
static __always_inline bool read_answer(struct __sk_buff *skb, struct pair *p)
{
	u32 status = 0, body;
	struct head h = {};
	u8 line[12] = {};

	read_head(skb, &h);
	if (!bpf_skb_load_bytes(skb, 0, line, sizeof(line)))
		status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
	if (status == 100 && !h.odd && h.bytes == skb->len)
		return 0;
	if (p->no_body || status == 204 || status == 304) {
		h.length = 0;
		h.has_length = 1;
	}
	p->closes |= h.closes;
	body = skb->len - h.bytes;
	if (h.odd || status < 200 || !h.has_length || body > h.length)
		stick(p);
	else
		p->answer_left = h.length - body;
	if (p->asked_left) /* answered early: whether the rest of the request comes still, only its replica knows */
		stick(p);
	return 1;
}

/* Bytes of a track: 0 when nobody asked for them, such as a farewell to a client that was idle. */
static __always_inline bool answer(struct __sk_buff *skb, struct pair *p, u32 slot)
{
	if (p->slot != slot || ((p->phase == QUIET || p->phase == REFUSED) && !p->stuck))
		return 0;
	if (!p->stuck) {
		if (p->phase == ASKED) {
			if (!read_answer(skb, p)) {
				__sync_fetch_and_add(&p->answered, skb->len);
				return 1;
			}
		} else if (skb->len > p->answer_left)
			stick(p);
		else
			p->answer_left -= skb->len;
	}
	__sync_fetch_and_add(&p->answered, skb->len);
	p->phase = p->stuck || p->answer_left ? ANSWERED : QUIET;
	return 1;
}

SEC("sk_skb")
int carry(struct __sk_buff *skb)
{
	u64 cookie = bpf_get_socket_cookie(skb);
	struct control *c = the_control();
	u32 *place, index, end, slot;
	struct pair *p;
	bool fresh;

	if (!skb->len) /* that a side has closed comes as a piece too; carried on it would break the pipe */
		return SK_DROP;
	place = bpf_map_lookup_elem(&members, &cookie);
	if (!place || !c)
		return SK_PASS;
	index = *place / ENDS;
	end = *place % ENDS;
	p = bpf_map_lookup_elem(&pairs, &index);
	if (!p)
		return SK_PASS;
	if (end) {
		if (!answer(skb, p, end - 1))
			return SK_DROP;
		return bpf_sk_redirect_map(skb, &sockets, index * ENDS, 0);
	}
	fresh = p->phase == QUIET && !p->stuck && !p->asked_left;
	if (!ask(skb, c, p, index))
		return SK_PASS;
	slot = p->slot & (TRACKS - 1);
	if (p->lost >> slot & 1)
		return SK_DROP;
	if (bpf_sk_redirect_map(skb, &sockets, index * ENDS + 1 + slot, 0) == SK_PASS) {
		__sync_fetch_and_add(&p->asked[slot], skb->len);
		return SK_PASS;
	}
	if (!fresh)
		return SK_DROP;
	/* It left the map just now: as if nobody had been asked. */
	p->stuck = 0;
	p->closes = 0;
	p->asked_left = 0;
	refuse(p);
	return SK_PASS;
}
