/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The head of an HTTP/1.1 message at the start of a buffer: where it ends and how long the body is. Whatever is not
 * that simple (chunks, upgrades, two lengths, a head in pieces) is odd, and left to who reads it.
 */
#ifndef WORKBENCH_ROUTE_HEAD_H
#define WORKBENCH_ROUTE_HEAD_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>

#define WORD 8
#define LONGEST_HEAD 8192
#define LONGEST_BODY (1ull << 40)

struct head {
	u64 last, before; /* the last 16 bytes in lower case, the newest lowest */
	u64 length;
	u32 bytes; /* of the head; 0: it does not end here */
	u32 at;
	bool has_length, in_number, has_digit, closes, odd;
};

struct walk {
	struct __sk_buff *skb;
	struct head *head;
};

/* Eight letters as they stand in `last`. */
#define TEXT(a, b, c, d, e, f, g, h)                                                                              \
	((u64)(a) << 56 | (u64)(b) << 48 | (u64)(c) << 40 | (u64)(d) << 32 | (u64)(e) << 24 | (u64)(f) << 16 | \
	 (u64)(g) << 8 | (u64)(h))

static __always_inline void take_digit(struct head *h, u8 byte)
{
	if (byte >= '0' && byte <= '9') {
		h->length = h->length * 10 + (byte - '0');
		h->has_digit = 1;
		if (h->length > LONGEST_BODY)
			h->odd = 1;
	} else if (byte == '\r') {
		h->in_number = 0;
		if (!h->has_digit)
			h->odd = 1;
	} else if (byte != ' ' && byte != '\t') {
		h->odd = 1;
	}
}

/* Global, so that the verifier looks at it once and not for every byte. */
__noinline int take(struct head *h, u8 byte)
{
	if (!h || h->bytes)
		return 0;
	if (h->in_number)
		take_digit(h, byte);
	if (byte >= 'A' && byte <= 'Z')
		byte += 'a' - 'A';
	h->before = h->before << 8 | h->last >> 56;
	h->last = h->last << 8 | byte;
	h->at++;
	if (byte == ':') {
		if (h->last == TEXT('-', 'l', 'e', 'n', 'g', 't', 'h', ':') &&
		    h->before == TEXT('\n', 'c', 'o', 'n', 't', 'e', 'n', 't')) {
			h->odd |= h->has_length;
			h->has_length = h->in_number = 1;
		} else if (h->last == TEXT('n', 'c', 'o', 'd', 'i', 'n', 'g', ':') &&
			   h->before == TEXT('a', 'n', 's', 'f', 'e', 'r', '-', 'e')) {
			h->odd = 1;
		} else if (h->last == TEXT('u', 'p', 'g', 'r', 'a', 'd', 'e', ':')) {
			h->odd = 1;
		}
	} else if ((u32)h->last == 0x0d0a0d0a) {
		h->bytes = h->at;
	} else if (byte == 'e') {
		if ((h->last == TEXT('n', ':', ' ', 'c', 'l', 'o', 's', 'e') &&
		     h->before == TEXT('o', 'n', 'n', 'e', 'c', 't', 'i', 'o')) ||
		    (h->last == TEXT('o', 'n', ':', 'c', 'l', 'o', 's', 'e') &&
		     h->before == TEXT('c', 'o', 'n', 'n', 'e', 'c', 't', 'i')))
			h->closes = 1;
	} else if (h->last == TEXT('h', 't', 't', 'p', '/', '1', '.', '0')) {
		h->closes = 1;
	}
	return 0;
}

static long take_word(u64 n, struct walk *w)
{
	u32 at = n * WORD, left, i;
	u8 word[WORD] = {}; /* what the piece does not fill stays 0, which is nothing in a head */

	if (at >= w->skb->len)
		return 1;
	left = w->skb->len - at;
	if (left > WORD)
		left = WORD;
	if (left < 1 || bpf_skb_load_bytes(w->skb, at, word, left))
		return 1;
#pragma unroll
	for (i = 0; i < WORD; i++)
		take(w->head, word[i]);
	return w->head->bytes != 0;
}

static __always_inline void read_head(struct __sk_buff *skb, struct head *h)
{
	struct walk w = {skb, h};

	bpf_loop(LONGEST_HEAD / WORD, take_word, &w, 0);
	if (!h->bytes || h->in_number)
		h->odd = 1;
}

#endif
