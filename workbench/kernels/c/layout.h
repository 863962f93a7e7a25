/* The packed layouts: one order of bytes for every instruction set.
 *
 * Rows lie in panels of 64 outputs = 4 tiles of 16 lanes; the last panel has as many tiles as it needs. A block is 16
 * weights of a row (T2) or 20 (T5); each group of scales begins a new block. Panel after panel, block after block,
 * tile after tile, lane after lane, 4 bytes j = 0..3 each: one linear stream for whoever multiplies a panel.
 *
 *   T2: byte j holds fields f = 0..3 at bits 2f:  k = 16 block + 4 f + j
 *   T5: byte j = t0 + 3 t1 + 9 t2 + 28 (t3 + 3 t4), tf the code of k = 20 block + 4 f + j
 *
 * So each field of a 4-byte lane meets 4 activations that lie side by side, as dot-product instructions want it. In T5,
 * 28 is a multiple of 4: t3 and t4 are functions of byte >> 2, a table of 64 entries. Codes are t + 1, so kernels
 * compute dot(t + 1, q), and the caller subtracts sum(q) once a row. Weights that pad have code 1 (t = 0).
 */
#include <string.h>

#include "ternary.h"

enum { LANES = 16, TILE_BYTES = 64, PANEL = 64, TILES = PANEL / LANES };

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int block_weights(int layout) { return layout == TERN_T5 ? 20 : 16; }
static inline int64_t group_blocks(const tern_matrix *w)
{
	return ceil_div(w->k / w->groups, block_weights(w->layout));
}

static int check_matrix(const tern_matrix *w)
{
	if (w->layout != TERN_T2 && w->layout != TERN_T5 && w->layout != TERN_S8)
		return TERN_ELAYOUT;
	if (w->n < 1 || w->k < 1 || w->groups < 1 || w->count < 1 || w->k % w->groups)
		return TERN_ESHAPE;
	/* 2^31 weights a row or rows would already overflow an int32 sum. */
	return w->n > INT32_MAX || w->k > INT32_MAX / 256 || w->count > INT32_MAX ? TERN_ESHAPE : TERN_OK;
}

static size_t matrix_bytes(const tern_matrix *w)
{
	if (w->layout == TERN_S8)
		return (size_t)w->n * (size_t)w->k;
	return (size_t)(ceil_div(w->n, LANES) * TILE_BYTES * w->groups * group_blocks(w));
}

size_t tern_packed_bytes(const tern_matrix *w)
{
	return check_matrix(w) ? 0 : (size_t)w->count * matrix_bytes(w);
}

/* Tiles of the panel that begins at output `first`. */
static inline int panel_tiles(const tern_matrix *w, int64_t first)
{
	int64_t tiles = ceil_div(w->n - first, LANES);
	return tiles < TILES ? (int)tiles : TILES;
}

/* Its outputs. */
static inline int panel_lanes(const tern_matrix *w, int64_t first)
{
	return w->n - first < PANEL ? (int)(w->n - first) : PANEL;
}

/* Where block 0 of that panel lies in its matrix. */
static inline size_t panel_offset(const tern_matrix *w, int64_t first)
{
	return (size_t)(first / LANES * TILE_BYTES * w->groups * group_blocks(w));
}

static inline int code_at(const uint8_t *row, int64_t k) { return row[k >> 2] >> (2 * (k & 3)) & 3; }

/* Codes k..k+3 of a row as two bits each, as they are stored; 1 past the end. */
static inline uint32_t code_byte(const uint8_t *row, int64_t k, int64_t end)
{
	uint32_t byte = 0;
	if (!(k & 3) && k + 4 <= end)
		return row[k >> 2];
	for (int j = 0; j < 4; j++)
		byte |= (uint32_t)(k + j < end ? code_at(row, k + j) : 1) << (2 * j);
	return byte;
}

/* 16 codes, two bits each: field f of byte j trades places with field j of byte f. */
static inline uint32_t transposed(uint32_t codes)
{
	uint32_t swap = (codes >> 6 ^ codes) & 0x00cc00cc;
	codes ^= swap ^ swap << 6;
	swap = (codes >> 12 ^ codes) & 0x0000f0f0;
	return codes ^ swap ^ swap << 12;
}

/* One lane of one block from 16 codes and, for T5, 4 more. No byte exceeds 251 unless a code is 3. */
static inline uint32_t lane_of(uint32_t codes, uint32_t last, const int layout)
{
	const uint32_t each = 0x03030303;
	codes = transposed(codes);
	if (layout == TERN_T2)
		return codes;
	last = (last | last << 6 | last << 12 | last << 18) & each;
	return (codes & each) + 3 * ((codes >> 2 & each) + 3 * (codes >> 4 & each)) + 28 * ((codes >> 6 & each) + 3 * last);
}

/* S8 is ordered [k][row], so that the same weight of all rows, the channels of a depthwise convolution, lies together. */
static uint32_t pack_signs(const tern_matrix *w, const uint8_t *codes, int8_t *out)
{
	const int64_t rows = w->count * w->n, row_bytes = ceil_div(w->k, 4);
	uint32_t bad = 0;
	for (int64_t n = 0; n < rows; n++)
		for (int64_t k = 0; k < w->k; k++) {
			const int code = code_at(codes + n * row_bytes, k);
			bad |= (uint32_t)(code & code >> 1);
			out[k * rows + n] = (int8_t)(code - 1);
		}
	return bad;
}

/* Low bits of each code 3; the codes become lanes in place. */
static inline uint32_t to_lanes(uint32_t *codes, const uint32_t *last, const int layout)
{
	uint32_t bad = 0;
	for (int i = 0; i < LANES; i++) {
		bad |= (codes[i] & codes[i] >> 1) | (last[i] & last[i] >> 1);
		codes[i] = lane_of(codes[i], last[i], layout);
	}
	return bad;
}

/* One block of the 16 lanes of a tile, of which the first `real` have rows. */
static inline uint32_t pack_block(const uint8_t *rows, int64_t row_bytes, int64_t k, int64_t end, int real, uint8_t *out,
				  const int layout)
{
	uint32_t codes[LANES] = { 0 }, last[LANES] = { 0 };
	for (int i = 0; i < LANES; i++) {
		const uint8_t *row = rows + (i < real ? i : 0) * row_bytes;
		for (int f = 0; f < 4; f++)
			codes[i] |= code_byte(row, k + 4 * f, i < real ? end : 0) << (8 * f);
		last[i] = layout == TERN_T5 ? code_byte(row, k + 16, i < real ? end : 0) : 0;
	}
	const uint32_t bad = to_lanes(codes, last, layout);
	memcpy(out, codes, sizeof codes);
	return bad;
}

/* Four blocks of 16 rows that are all there, `step` bytes apart in `out`: 4 words a row, T5 5, whose order becomes that of
 * the lanes in one go. Loads and work are loops of their own, so that the work is done on vectors. */
static inline uint32_t pack_four(const uint8_t *from, int64_t row_bytes, uint8_t *out, int64_t step, const int layout)
{
	uint32_t words[LANES][8], codes[4][LANES], last[4][LANES], bad = 0;
#pragma GCC unroll 16
	for (int i = 0; i < LANES; i++)
		memcpy(words[i], from + i * row_bytes, layout == TERN_T5 ? 20 : 16);
	for (int i = 0; i < LANES; i++) {
		const uint32_t a = words[i][0], b = words[i][1], c = words[i][2], d = words[i][3];
		const uint32_t e = layout == TERN_T5 ? words[i][4] : 0;
		codes[0][i] = a;
		codes[1][i] = layout == TERN_T5 ? b >> 8 | c << 24 : b;
		codes[2][i] = layout == TERN_T5 ? c >> 16 | d << 16 : c;
		codes[3][i] = layout == TERN_T5 ? d >> 24 | e << 8 : d;
		last[0][i] = layout == TERN_T5 ? b & 255 : 0;
		last[1][i] = layout == TERN_T5 ? c >> 8 & 255 : 0;
		last[2][i] = layout == TERN_T5 ? d >> 16 & 255 : 0;
		last[3][i] = layout == TERN_T5 ? e >> 24 : 0;
	}
	for (int b = 0; b < 4; b++) {
		bad |= to_lanes(codes[b], last[b], layout);
		memcpy(out + b * step, codes[b], sizeof codes[b]);
	}
	return bad;
}

/* Tile by tile: more rows at once, often a power of two apart, would push one another out of the cache. */
static inline uint32_t pack_panel(const tern_matrix *w, const uint8_t *codes, int64_t first, uint8_t *out,
				  const int layout)
{
	const int64_t row_bytes = ceil_div(w->k, 4), length = w->k / w->groups, blocks = group_blocks(w);
	const int64_t weights = block_weights(layout), step = panel_tiles(w, first) * TILE_BYTES;
	uint32_t bad = 0;
	for (int t = 0; t < panel_tiles(w, first); t++) {
		const int64_t n = first + t * LANES;
		const int real = w->n - n < LANES ? (int)(w->n - n) : LANES;
		uint8_t *to = out + t * TILE_BYTES;
		for (int64_t g = 0; g < w->groups; g++) {
			const int64_t end = (g + 1) * length, whole = length / weights;
			const uint8_t *rows = codes + n * row_bytes;
			int64_t k = g * length, b = 0;
			if (real == LANES && k % 4 == 0)
				for (; b + 4 <= whole; b += 4, k += 4 * weights, to += 4 * step)
					bad |= pack_four(rows + k / 4, row_bytes, to, step, layout);
			for (; b < blocks; b++, k += weights, to += step)
				bad |= pack_block(rows, row_bytes, k, end, real, to, layout);
		}
	}
	return bad;
}

int tern_pack(const tern_matrix *w, const uint8_t *codes, uint8_t *out)
{
	int error = check_matrix(w);
	uint32_t bad = 0;
	if (error)
		return error;
	if (w->layout == TERN_S8)
		return pack_signs(w, codes, (int8_t *)out) ? TERN_ECODE : TERN_OK;
	const int64_t row_bytes = ceil_div(w->k, 4);
	for (int64_t c = 0; c < w->count; c++, codes += w->n * row_bytes, out += matrix_bytes(w))
		for (int64_t first = 0; first < w->n; first += PANEL) {
			uint8_t *to = out + panel_offset(w, first);
			bad |= w->layout == TERN_T5 ? pack_panel(w, codes, first, to, TERN_T5) :
						      pack_panel(w, codes, first, to, TERN_T2);
		}
	return bad & 0x55555555 ? TERN_ECODE : TERN_OK;
}

static int unpack_one(const tern_matrix *w, const uint8_t *data, int64_t n, int64_t k)
{
	const int64_t length = w->k / w->groups, blocks = group_blocks(w), g = k / length;
	const int64_t first = n / PANEL * PANEL, lane = n - first, within = k % length;
	const int step = block_weights(w->layout), tiles = panel_tiles(w, first);
	const int64_t block = g * blocks + within / step;
	const int f = (int)(within % step) / 4, j = (int)within % step % 4;
	int byte = data[panel_offset(w, first) + (size_t)(block * tiles * TILE_BYTES + lane * 4 + j)];
	static const uint8_t power[] = { 1, 3, 9, 1, 3 };
	if (w->layout == TERN_T2)
		return (byte >> (2 * f) & 3) - 1;
	return (f < 3 ? byte % 28 : byte / 28) / power[f] % 3 - 1;
}

int tern_unpack(const tern_matrix *w, int8_t *out)
{
	int error = check_matrix(w);
	if (error)
		return error;
	if (w->layout == TERN_S8) {
		for (int64_t n = 0, rows = w->count * w->n; n < rows; n++)
			for (int64_t k = 0; k < w->k; k++)
				*out++ = ((const int8_t *)w->data)[k * rows + n];
		return TERN_OK;
	}
	for (int64_t c = 0; c < w->count; c++)
		for (int64_t n = 0; n < w->n; n++)
			for (int64_t k = 0; k < w->k; k++)
				*out++ = (int8_t)unpack_one(w, w->data + (size_t)c * matrix_bytes(w), n, k);
	return TERN_OK;
}
