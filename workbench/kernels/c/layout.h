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

/* Where block 0 of that panel lies in its matrix. */
static inline size_t panel_offset(const tern_matrix *w, int64_t first)
{
	return (size_t)(first / LANES * TILE_BYTES * w->groups * group_blocks(w));
}

static inline int code_at(const uint8_t *row, int64_t k) { return row[k >> 2] >> (2 * (k & 3)) & 3; }

/* Four codes from k on, one a byte; 1 past the end. */
static inline uint32_t four_codes(const uint8_t *row, int64_t k, int64_t end)
{
	uint32_t four = 0;
	if (!(k & 3) && k + 4 <= end) {
		uint32_t byte = row[k >> 2];
		return (byte & 3) | (byte & 12) << 6 | (byte & 48) << 12 | (byte & 192) << 18;
	}
	for (int j = 0; j < 4; j++)
		four |= (uint32_t)(k + j < end ? code_at(row, k + j) : 1) << (8 * j);
	return four;
}

/* One lane of one block: 4 bytes. `*bad` collects the sign of a code 3. */
static inline uint32_t pack_lane(const uint8_t *row, int64_t k, int64_t end, int layout, uint32_t *bad)
{
	static const uint8_t t2[] = { 1, 4, 16, 64 }, t5[] = { 1, 3, 9, 28, 84 };
	const int fields = layout == TERN_T5 ? 5 : 4;
	const uint8_t *weight = layout == TERN_T5 ? t5 : t2;
	uint32_t lane = 0;
	for (int f = 0; f < fields; f++) {
		uint32_t four = four_codes(row, k + 4 * f, end);
		*bad |= four & four >> 1;
		lane += four * weight[f]; /* no byte exceeds 251 unless a code is 3 */
	}
	return lane;
}

static uint32_t pack_signs(const tern_matrix *w, const uint8_t *row, int8_t *out)
{
	uint32_t bad = 0;
	for (int64_t k = 0; k < w->k; k++) {
		int code = code_at(row, k);
		bad |= code == 3;
		out[k] = (int8_t)(code - 1);
	}
	return bad;
}

static uint32_t pack_tiles(const tern_matrix *w, const uint8_t *codes, int64_t first, uint8_t *out, int layout)
{
	const int64_t row_bytes = ceil_div(w->k, 4), length = w->k / w->groups, blocks = group_blocks(w);
	const int tiles = panel_tiles(w, first), step = block_weights(layout);
	static const uint8_t nothing[1] = { 0 };
	uint32_t bad = 0;
	for (int t = 0; t < tiles; t++)
		for (int i = 0; i < LANES; i++) {
			int64_t n = first + t * LANES + i;
			const uint8_t *row = n < w->n ? codes + n * row_bytes : nothing;
			uint8_t *to = out + t * TILE_BYTES + 4 * i;
			for (int64_t g = 0; g < w->groups; g++) {
				int64_t k = n < w->n ? g * length : 0, end = n < w->n ? k + length : 0;
				for (int64_t b = 0; b < blocks; b++, k += step, to += tiles * TILE_BYTES) {
					uint32_t lane = pack_lane(row, k, end, layout, &bad);
					memcpy(to, &lane, 4);
				}
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
	const size_t row_bytes = (size_t)ceil_div(w->k, 4);
	for (int64_t c = 0; c < w->count; c++, codes += (size_t)w->n * row_bytes, out += matrix_bytes(w)) {
		if (w->layout == TERN_S8)
			for (int64_t n = 0; n < w->n; n++)
				bad |= pack_signs(w, codes + (size_t)n * row_bytes, (int8_t *)out + n * w->k);
		else
			for (int64_t first = 0; first < w->n; first += PANEL) {
				uint8_t *to = out + panel_offset(w, first);
				bad |= w->layout == TERN_T5 ? pack_tiles(w, codes, first, to, TERN_T5)
							    : pack_tiles(w, codes, first, to, TERN_T2);
			}
	}
	return bad & 0x01010101 ? TERN_ECODE : TERN_OK;
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
		memcpy(out, w->data, tern_packed_bytes(w));
		return TERN_OK;
	}
	for (int64_t c = 0; c < w->count; c++)
		for (int64_t n = 0; n < w->n; n++)
			for (int64_t k = 0; k < w->k; k++)
				*out++ = (int8_t)unpack_one(w, w->data + (size_t)c * matrix_bytes(w), n, k);
	return TERN_OK;
}
