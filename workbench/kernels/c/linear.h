/* Rows of activations times a packed matrix: one row or many, exact sums or a whole layer. */

enum { STAYS = 1 << 18 /* bytes of weights that all rows pass before the next; in a second-level cache */ };
enum { CHUNKS_A_THREAD = 8, BLOCKS_AT_ONCE = 8192 /* T2: 2^31 / (64 * 2 * 128 * 4 products) bounds it by 32768 */ };

/* Rows in the form kernels read: int8, each group padded to whole blocks. */
typedef struct rows {
	int8_t *q;
	float *scale;  /* [m] */
	int32_t *sums; /* [m][groups] */
	int64_t m, stride;
} rows;

typedef struct multiply {
	const tern_matrix *w;
	const uint8_t *data;
	rows a;
	const float *w_scale, *bias;
	const float *x;
	float *y;     /* a layer's output, or */
	int32_t *acc; /* exact sums */
	int64_t ld, panels_a_chunk, rows_a_chunk, row_chunks;
	int activation;
} multiply;

static inline int64_t padded_length(const tern_matrix *w) { return group_blocks(w) * block_weights(w->layout); }

/* An odd number of cache lines: rows 4096 bytes apart would all compete for the same few. */
static inline int64_t row_stride(int64_t bytes) { return (ceil_div(bytes, 64) | 1) * 64; }

static size_t rows_bytes(const tern_matrix *w, int64_t m)
{
	const size_t row = (size_t)row_stride(w->groups * padded_length(w));
	return (size_t)m * (row + sizeof(float) + (size_t)w->groups * sizeof(int32_t)) + 192;
}

static rows rows_place(const tern_matrix *w, int64_t m, void *memory)
{
	rows a = { .q = memory, .m = m, .stride = row_stride(w->groups * padded_length(w)) };
	a.scale = (float *)(a.q + m * a.stride);
	a.sums = (int32_t *)(a.scale + m);
	return a;
}

static void quantize_chunk(const void *job, int64_t r)
{
	const multiply *p = job;
	const int64_t length = p->w->k / p->w->groups, padded = padded_length(p->w);
	const float *x = p->x + r * p->w->k;
	p->a.scale[r] = scale_of(x, p->w->k);
	for (int64_t i = 0; i < p->w->k && r + 1 < p->a.m; i += LANES) /* the next row, while this one is rounded */
		__builtin_prefetch(x + p->w->k + i, 0, 2);
	for (int64_t g = 0; g < p->w->groups; g++)
		p->a.sums[r * p->w->groups + g] = quantize(x + g * length, length, padded, p->a.scale[r],
							   p->a.q + r * p->a.stride + g * padded);
}

static void copy_row(const tern_matrix *w, const rows *a, int64_t r, const int8_t *q)
{
	const int64_t length = w->k / w->groups, padded = padded_length(w);
	for (int64_t g = 0; g < w->groups; g++, q += length) {
		int8_t *to = a->q + r * a->stride + g * padded;
		memcpy(to, q, (size_t)length);
		memset(to + length, 0, (size_t)(padded - length));
		a->sums[r * w->groups + g] = sum_of(q, length);
	}
}

/* Sums of up to ROWS rows of one group with one panel: out[row][lane] = dot(t + 1, q). */
static inline void group_sums(const multiply *p, int64_t first, int64_t row, int rows, int64_t g, int32_t *out)
{
	const tern_matrix *w = p->w;
	const int64_t blocks = group_blocks(w);
	const int tiles = panel_tiles(w, first), step = block_weights(w->layout);
	const uint8_t *data = p->data + panel_offset(w, first) + g * blocks * tiles * TILE_BYTES;
	const int8_t *a = p->a.q + row * p->a.stride + g * blocks * step;
	for (int64_t b = 0; b < blocks; b += BLOCKS_AT_ONCE) {
		int64_t now = blocks - b < BLOCKS_AT_ONCE ? blocks - b : BLOCKS_AT_ONCE;
		micro(w->layout, data + b * tiles * TILE_BYTES, tiles, a + b * step, p->a.stride, rows, now, out, b > 0);
	}
}

/* y += float(sum) * (s * w_scale) for the lanes of a panel; the first group stores. */
static inline void add_scaled(const multiply *p, int64_t first, int lanes, int64_t row, int64_t g, const int32_t *sums,
			      float *y)
{
	const int64_t groups = p->w->groups;
	const float s = p->a.scale[row], *w_scale = p->w_scale + first * groups + g;
	const int32_t offset = p->a.sums[row * groups + g];
	if (groups == 1 && lanes == PANEL) /* as many as the compiler knows of: 1.2 times as fast */
		for (int i = 0; i < PANEL; i++)
			y[i] = (float)(sums[i] - offset) * (s * w_scale[i]);
	else
		for (int i = 0; i < lanes; i++) {
			float part = (float)(sums[i] - offset) * (s * w_scale[i * groups]);
			y[i] = g ? y[i] + part : part;
		}
}

static void finish_row(const multiply *p, int64_t first, int lanes, float *y)
{
	if (p->bias)
		for (int i = 0; i < lanes; i++)
			y[i] += p->bias[first + i];
	if (p->activation)
		activate(y, lanes, p->activation);
}

/* Rows of y lie pages apart; asked for before the sums are made, they are near when these are done. */
static inline void fetch_output(const float *y, int lanes)
{
	for (int i = 0; i < lanes; i += LANES)
		__builtin_prefetch(y + i, 1);
	__builtin_prefetch(y + lanes - 1, 1);
}

/* What becomes of the sums of some rows with one group of a panel. */
static void finish_rows(const multiply *p, int64_t first, int64_t row, int64_t rows, int64_t g, const int32_t *sums)
{
	const int lanes = panel_lanes(p->w, first);
	const int64_t groups = p->w->groups;
	for (int64_t r = row; r < row + rows; r++, sums += PANEL) {
		const int64_t at = r * p->ld + first;
		if (p->y) {
			add_scaled(p, first, lanes, r, g, sums, p->y + at);
			if (g == groups - 1)
				finish_row(p, first, lanes, p->y + at);
			continue;
		}
		const int32_t offset = p->a.sums[r * groups + g];
		for (int i = 0; i < lanes; i++)
			p->acc[at + i] = (g ? p->acc[at + i] : 0) + sums[i] - offset;
	}
}

static void panel_rows(const multiply *p, int64_t first, int64_t row, int rows)
{
	const int lanes = panel_lanes(p->w, first);
	int32_t sums[ROWS * PANEL] __attribute__((aligned(64)));
	for (int r = 0; r < rows && rows > 1 && p->y; r++)
		fetch_output(p->y + (row + r) * p->ld + first, lanes);
	for (int64_t g = 0; g < p->w->groups; g++) {
		group_sums(p, first, row, rows, g, sums);
		finish_rows(p, first, row, rows, g, sums);
	}
}

#ifndef SCALED_ROW
static void scaled_row(int layout, const uint8_t *w, const int8_t *a, int64_t blocks, const scaling *f)
{
	int32_t sums[PANEL] __attribute__((aligned(64)));
	micro(layout, w, TILES, a, 0, 1, blocks, sums, 0);
	for (int i = 0; i < PANEL; i++)
		f->y[i] = (float)(sums[i] - f->offset) * (f->s * f->w_scale[i]);
}
#endif

/* Whole panels of a weight with one scale a row, times one row of activations. */
static void one_row_panels(const multiply *p, int64_t begin, int64_t end)
{
	const int64_t blocks = group_blocks(p->w), bytes = blocks * TILES * TILE_BYTES;
	const uint8_t *data = p->data + panel_offset(p->w, begin);
	scaling f = { .s = p->a.scale[0], .offset = p->a.sums[0], .w_scale = p->w_scale + begin, .y = p->y + begin };
	for (int64_t n = begin; n < end; n += PANEL, data += bytes, f.w_scale += PANEL, f.y += PANEL)
		scaled_row(p->w->layout, data, p->a.q, blocks, &f);
	finish_row(p, begin, (int)(end - begin), p->y + begin);
}

#ifdef KEEPS_FIELDS
enum { KEPT_ROWS = 128 /* that one decoding is for: it is 1 % of what they do with it */ };

/* Sums of many rows of one group with one panel, a part of it decoded after the other. */
static void kept_sums(const multiply *p, int64_t first, int64_t row, int64_t rows, int64_t g, uint8_t *kept, int32_t *sums)
{
	const int64_t blocks = group_blocks(p->w);
	const int tiles = panel_tiles(p->w, first), step = block_weights(p->w->layout);
	const uint8_t *data = p->data + panel_offset(p->w, first) + g * blocks * tiles * TILE_BYTES;
	const int8_t *a = p->a.q + row * p->a.stride + g * blocks * step;
	const int lanes = panel_lanes(p->w, first);
	int64_t fetched = 0;
	for (int64_t b = 0; b < blocks; b += KEPT_BLOCKS, data += KEPT_BLOCKS * tiles * TILE_BYTES, a += KEPT_BLOCKS * step) {
		const int64_t now = blocks - b < KEPT_BLOCKS ? blocks - b : KEPT_BLOCKS;
		for (; fetched < rows * (b + now) / blocks && p->y; fetched++)
			fetch_output(p->y + (row + fetched) * p->ld + first, lanes);
		for (int t = 0; t < tiles; t += PAIR)
			micro_kept(p->w->layout, data + t * TILE_BYTES, tiles * TILE_BYTES, tiles - t < PAIR ? 1 : PAIR, a,
				   p->a.stride, rows, now, sums + t * LANES, b > 0, kept);
	}
}

/* Returns 0 where rows are too few, or there is no memory to keep anything in. */
static int multiply_kept(const multiply *p, int64_t begin, int64_t end, int64_t top, int64_t bottom)
{
	if (bottom - top < KEPT_FROM)
		return 0;
	uint8_t *kept = scratch_take(SCRATCH_CHUNK, KEPT_BYTES + KEPT_ROWS * PANEL * sizeof(int32_t));
	if (!kept)
		return 0;
	for (int64_t row = top, parts = ceil_div(bottom - top, KEPT_ROWS), rows; row < bottom; row += rows, parts--) {
		rows = ceil_div(bottom - row, parts);
		for (int64_t first = begin; first < end; first += PANEL)
			for (int64_t g = 0; g < p->w->groups; g++) {
				int32_t *sums = (int32_t *)(kept + KEPT_BYTES);
				kept_sums(p, first, row, rows, g, kept, sums);
				finish_rows(p, first, row, rows, g, sums);
			}
	}
	return 1;
}
#else
static int multiply_kept(const multiply *p, int64_t begin, int64_t end, int64_t top, int64_t bottom)
{
	(void)p, (void)begin, (void)end, (void)top, (void)bottom;
	return 0;
}
#endif

static void multiply_chunk(const void *job, int64_t chunk)
{
	const multiply *p = job;
	int64_t begin = chunk / p->row_chunks * p->panels_a_chunk * PANEL, last = begin + p->panels_a_chunk * PANEL;
	const int64_t end = last < p->w->n ? last : p->w->n;
	const int64_t top = chunk % p->row_chunks * p->rows_a_chunk;
	const int64_t bottom = top + p->rows_a_chunk < p->a.m ? top + p->rows_a_chunk : p->a.m;
	if (p->a.m == 1 && p->y && p->w->groups == 1 && group_blocks(p->w) <= BLOCKS_AT_ONCE) {
		const int64_t whole = begin + (end - begin) / PANEL * PANEL;
		one_row_panels(p, begin, whole);
		begin = whole; /* and what is left */
	}
	if (multiply_kept(p, begin, end, top, bottom))
		return;
	const int64_t stay = STAYS / panel_offset(p->w, PANEL), step = (stay > 1 ? stay : 1) * PANEL;
	for (int64_t from = begin; from < end; from += step)
		for (int64_t row = top, parts = ceil_div(bottom - top, ROWS); row < bottom; parts--) {
			const int rows = (int)ceil_div(bottom - row, parts); /* 13 rows: 7 + 6, not 12 + 1 */
			for (int64_t first = from; first < from + step && first < end; first += PANEL)
				panel_rows(p, first, row, rows);
			row += rows;
		}
}

/* Multiply with `threads`, in chunks small enough that a late helper still finds one. */
static void multiply_all(multiply *p, int threads)
{
	const int64_t panels = ceil_div(p->w->n, PANEL);
	const int64_t wanted = threads > 1 ? (int64_t)threads * CHUNKS_A_THREAD : 1;
	p->panels_a_chunk = ceil_div(panels, wanted);
	const int64_t panel_chunks = ceil_div(panels, p->panels_a_chunk);
	p->rows_a_chunk = ceil_div(p->a.m, ceil_div(wanted, panel_chunks));
	if (p->rows_a_chunk < ROWS)
		p->rows_a_chunk = ROWS;
	p->row_chunks = ceil_div(p->a.m, p->rows_a_chunk);
	run_chunks(multiply_chunk, p, panel_chunks * p->row_chunks, threads);
}

static int check_linear(const tern_matrix *w, int64_t m)
{
	if (m < 0 || w->count != 1)
		return TERN_ESHAPE;
	return w->layout == TERN_S8 ? TERN_ELAYOUT : check_matrix(w);
}

int tern_linear(const tern_matrix *w, const float *w_scale, const float *bias, const float *x, float *y, int64_t m,
		int activation, int threads)
{
	int error = check_linear(w, m);
	if (error || !m)
		return error;
	void *memory = scratch_take(SCRATCH_CALL, rows_bytes(w, m));
	if (!memory)
		return TERN_EMEMORY;
	multiply p = { .w = w, .data = w->data, .a = rows_place(w, m, memory), .w_scale = w_scale, .bias = bias,
		       .x = x, .y = y, .ld = w->n, .activation = activation };
	run_chunks(quantize_chunk, &p, m, m > 1 ? threads : 1);
	multiply_all(&p, threads);
	return TERN_OK;
}

int tern_accumulate(const tern_matrix *w, const int8_t *q, int32_t *acc, int64_t m, int threads)
{
	int error = check_linear(w, m);
	if (error || !m)
		return error;
	void *memory = scratch_take(SCRATCH_CALL, rows_bytes(w, m));
	if (!memory)
		return TERN_EMEMORY;
	multiply p = { .w = w, .data = w->data, .a = rows_place(w, m, memory), .acc = acc, .ld = w->n };
	for (int64_t r = 0; r < m; r++)
		copy_row(w, &p.a, r, q + r * w->k);
	multiply_all(&p, threads);
	return TERN_OK;
}
