/* Convolution as rows times matrix. A pixel's row is what its kernel meets, tap after tap: gathered from where channels lie
 * side by side, or read there if that is one tap of every pixel.
 */

/* Pixels of a chunk; pixels whose sums are written together, whole squares of 16; bytes that stay in a second-level cache. */
enum { MOST_PIXELS = 96, WRITTEN = 48, MOST_GATHERED = 3 << 15 };

typedef int8_t block16 __attribute__((vector_size(16), aligned(1), may_alias));

/* A kernel of one tap that visits every pixel sees one long line. */
static inline int pointwise(const tern_conv_shape *c)
{
	return taps(c) == 1 && c->stride[0] == 1 && c->stride[1] == 1 && !c->padding[0] && !c->padding[1];
}

/* How many of the rows that are left: whole fours, which are turned together, and 8 + 8 rather than 12 + 4. */
static inline int64_t rows_at_once(int64_t left)
{
	const int64_t parts = ceil_div(left, ROWS), some = ceil_div(ceil_div(left, parts), 4) * 4;
	return some < left ? some : left;
}

/* Rows are a whole number of blocks; what lies behind the last tap meets weights of 0. */
static inline void gather_row(const convolution *p, const int8_t *from, int8_t *row)
{
	const tern_conv_shape *c = p->c;
	const int64_t channels = c->channels / c->groups, across = joined(c) ? 1 : c->kernel[1];
	const int64_t length = joined(c) ? c->kernel[1] * channels : channels, step = c->dilation[1] * c->channels;
	for (int64_t ky = 0; ky < c->kernel[0]; ky++, from += c->dilation[0] * wide(c) * c->channels)
		for (int64_t kx = 0; kx < across; kx++, row += length)
			for (int64_t i = 0; i < length; i += 16) /* the next segment overwrites what is too much */
				*(block16 *)(row + i) = *(const block16 *)(from + kx * step + i);
}

/* `count` pixels from `pixel` on, wherever their lines end. */
static int8_t *gather_rows(const convolution *p, const int8_t *input, int64_t pixel, int64_t count)
{
	const tern_conv_shape *c = p->c;
	const int64_t padded = padded_length(p->w), step = c->stride[1] * c->channels;
	int8_t *rows = scratch_take(SCRATCH_CHUNK, (size_t)(count * padded + 16)), *row = rows;
	int64_t ox = pixel % p->out_w, oy = pixel / p->out_w;
	if (!rows)
		atomic_store(p->failed, 1);
	for (int64_t r = 0; rows && r < count; r++, row += padded) {
		gather_row(p, input + oy * c->stride[0] * wide(c) * c->channels + ox * step, row);
		if (++ox == p->out_w)
			ox = 0, oy++;
	}
	return rows;
}

/* Some pixels, all outputs of one group. */
static void pixels_chunk(const void *job, int64_t chunk)
{
	const convolution *p = job;
	const int64_t area = p->out_h * p->out_w, begin = chunk % p->blocks * p->block - p->lead;
	const int64_t group = chunk / p->blocks % p->c->groups, n = chunk / p->blocks / p->c->groups;
	const int64_t pixel = begin > 0 ? begin : 0, end = begin + p->block < area ? begin + p->block : area;
	const int64_t count = end - pixel, padded = padded_length(p->w), ahead = begin < 0 ? (LANES + begin) % LANES : 0;
	const int direct = pointwise(p->c);
	const int64_t step = direct ? p->c->channels : padded;
	const int8_t *input = (const int8_t *)p->input + n * p->sample + group * (p->c->channels / p->c->groups);
	const int8_t *rows = direct ? input + pixel * step : gather_rows(p, input, pixel, count);
	const uint8_t *data = p->w->data + (size_t)group * matrix_bytes(p->w);
	int32_t offset[MOST_PIXELS], sums[WRITTEN * PANEL] __attribute__((aligned(64)));
	if (!rows)
		return;
	/* What pads a row has code 1: it counts whatever bytes follow, and so must the offset. */
	for (int64_t r = 0; r < count; r++)
		offset[r] = sum_of(rows + r * step, padded);
	for (int64_t first = 0; first < p->w->n; first += PANEL) {
		finish f;
		finish_of(p, n, group * p->w->n + first, p->w->n - first < PANEL ? p->w->n - first : PANEL, &f);
		for (int64_t row = 0, next; row < count; row = next) {
			next = row || !ahead ? row + WRITTEN : ahead;
			next = next < count ? next : count;
			for (int64_t r = row, some; r < next; r += some) {
				some = rows_at_once(next - r);
				fetch_pixels(p, &f, pixel + r + some + ROWS);
				micro(TERN_T2, data + panel_offset(p->w, first), panel_tiles(p->w, first), rows + r * step,
				      step, (int)some, group_blocks(p->w), sums + (r - row) * PANEL, 0);
			}
			write_pixels(p, &f, pixel + row, (int)(next - row), sums, offset + row);
		}
	}
}

static int run_gemm(convolution *p, int threads)
{
	if (group_blocks(p->w) > BLOCKS_AT_ONCE)
		return TERN_ESHAPE; /* a row with more than 131072 weights */
	if (!take_input(p, threads))
		return TERN_EMEMORY;
	const int64_t area = p->out_h * p->out_w, fits = MOST_GATHERED / padded_length(p->w) / ROWS * ROWS;
	const int64_t most = fits < ROWS ? ROWS : fits < MOST_PIXELS ? fits : MOST_PIXELS / ROWS * ROWS;
	p->blocks = ceil_div(area, most);
	p->block = ceil_div(ceil_div(area, p->blocks), ROWS) * ROWS;
	p->lead = pixels_before(p->y, area);
	p->blocks = ceil_div(area + p->lead, p->block);
	run_chunks(pixels_chunk, p, p->c->batch * p->c->groups * p->blocks, threads);
	return TERN_OK;
}
