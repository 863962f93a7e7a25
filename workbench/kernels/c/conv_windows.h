/* Convolution of few channels a group, depthwise above all, by windows: lanes are output pixels, and each byte of a lane is one of
 * four taps of a kernel's row, so that a step is 64 products and nothing is turned: planes come as they lie, and so do outputs.
 *
 * A channel's pixels become bytes q + 128, padded with 128. Each of their rows is spread once, into the windows of 16
 * outputs across it, for every part (four taps) of a kernel's row; the outputs of that row and of its neighbours above and
 * below share them, and so do all outputs of a group. Sums are dot(q + 128, t), from which 128 sum(t) is taken. */
#ifdef ROUND_AVX512
#define CONV_WINDOWS

enum { ROWS_ABREAST = 8 /* of outputs, at most: their sums are in registers */ };
enum { LARGEST_PLANE = 1 << 20, FEWEST_ACROSS = 9 /* with fewer, channels as lanes waste less */, FEWEST_TAPS = 3 };

/* Four taps of a kernel's row are a word. */
typedef struct window_weights {
	int64_t deep, parts; /* channels of a group, words of a kernel's row */
	int64_t steps, all;  /* words of a kernel; outputs, in whole LANES */
	int32_t *words, *offset;   /* [step][all] of four signed bytes; [all] */
} window_weights;

/* What the channels of a call share. */
typedef struct window_plan {
	window_weights w;
	int64_t columns;		/* vectors across an output row */
	int64_t before, plane, spread;	/* bytes: padding ahead of the pixels, all of a plane, windows of a band */
	uint64_t *inside;		/* [column][part]: bytes of a window that are no padding beside the image */
	__mmask16 real;			/* lanes of a vector */
	__m512i from;			/* which byte of a row becomes which of a window */
} window_plan;

static window_weights window_sizes(const tern_conv_shape *c)
{
	const int64_t parts = ceil_div(c->kernel[1], 4), deep = c->channels / c->groups;
	return (window_weights){ .deep = deep, .parts = parts, .steps = deep * parts * c->kernel[0],
				 .all = ceil_div(c->outputs, LANES) * LANES };
}

static size_t window_bytes(const window_weights *w) { return (size_t)(w->all * (w->steps + 1)) * sizeof(int32_t); }

/* The last vector of a row overlaps the one before it. */
static inline int64_t first_of_column(const convolution *p, int64_t column)
{
	const int64_t at = column * LANES, last = p->out_w - LANES;
	return at < last || last < 0 ? at : last;
}

/* The plan but for its memory; 0: windows do not suit this shape. */
static int plan_windows(const convolution *p, window_plan *plan)
{
	const tern_conv_shape *c = p->c;
	const int64_t step = c->stride[1], reach = c->dilation[0] * (c->kernel[0] - 1);
	const int depthwise = c->channels == c->groups && p->w->n == 1; /* else words of few taps are worth less than planes */
	if ((!depthwise && c->kernel[1] < FEWEST_TAPS) || p->out_h < 2 || p->out_w < FEWEST_ACROSS ||
	    (LANES - 1) * step + 3 * c->dilation[1] >= 64)
		return 0;
	const int64_t last = (p->out_h - 1) * c->stride[0] + reach, band = (ROWS_ABREAST - 1) * c->stride[0] + reach;
	plan->w = window_sizes(c);
	plan->columns = ceil_div(p->out_w, LANES);
	plan->before = ceil_div(c->padding[0] * c->width + c->padding[1], 64) * 64;
	const int64_t most = (last + 1) * c->width + c->padding[1] + 4 * plan->w.parts * c->dilation[1];
	plan->plane = plan->before + ceil_div(most, 64) * 64 + 128; /* windows are read 64 bytes at a time */
	plan->spread = ((band < last ? band : last) + 1) * plan->w.deep * plan->w.parts * 64;
	plan->real = first_lanes(p->out_w);
	uint8_t from[64];
	for (int i = 0; i < 64; i++)
		from[i] = (uint8_t)(i / 4 * step + i % 4 * c->dilation[1]);
	plan->from = _mm512_loadu_si512(from);
	return plan->plane < LARGEST_PLANE && plan->spread < LARGEST_PLANE;
}

/* Four rows of bytes to words of four, those of a column. */
static inline __m512i words_of(const __m128i t[4])
{
	const __m128i low = _mm_unpacklo_epi8(t[0], t[1]), high = _mm_unpacklo_epi8(t[2], t[3]);
	const __m128i low8 = _mm_unpackhi_epi8(t[0], t[1]), high8 = _mm_unpackhi_epi8(t[2], t[3]);
	__m512i words = _mm512_castsi128_si512(_mm_unpacklo_epi16(low, high));
	words = _mm512_inserti32x4(words, _mm_unpackhi_epi16(low, high), 1);
	words = _mm512_inserti32x4(words, _mm_unpacklo_epi16(low8, high8), 2);
	return _mm512_inserti32x4(words, _mm_unpackhi_epi16(low8, high8), 3);
}

/* Weights lie [channel of a group][tap][output]; four of a kernel's row become a word. */
static void pack_windows(const convolution *p, window_weights *w, void *memory)
{
	const tern_conv_shape *c = p->c;
	w->offset = memory;
	w->words = w->offset + w->all;
	for (int64_t output = 0; output < w->all; output += LANES) {
		const __mmask16 real = first_lanes(c->outputs - output);
		__m512i offset = _mm512_setzero_si512();
		int32_t *to = w->words + output;
		for (int64_t step = 0; step < w->steps; step++, to += w->all) { /* [row of the kernel][channel][part] */
			const int64_t part = step % w->parts, row = step / w->parts, channel = row % w->deep, ky = row / w->deep;
			const int64_t kx = 4 * part, tap = (channel * c->kernel[0] + ky) * c->kernel[1] + kx;
			__m128i t[4];
			for (int i = 0; i < 4; i++)
				t[i] = _mm_maskz_loadu_epi8(kx + i < c->kernel[1] ? real : 0,
							    p->w->data + (tap + i) * c->outputs + output);
			const __m512i words = words_of(t);
			_mm512_storeu_si512(to, words);
			offset = _mm512_dpbusd_epi32(offset, _mm512_set1_epi8((char)128), words);
		}
		_mm512_storeu_si512(w->offset + output, offset);
	}
}

static void window_insides(const convolution *p, const window_plan *plan)
{
	const tern_conv_shape *c = p->c;
	uint64_t *to = plan->inside;
	for (int64_t column = 0; column < plan->columns; column++)
		for (int64_t part = 0; part < plan->w.parts; part++, to++) {
			const int64_t first = first_of_column(p, column) * c->stride[1] + 4 * part * c->dilation[1] - c->padding[1];
			*to = 0;
			for (int i = 0; i < 64; i++) {
				const int64_t at = first + i / 4 * c->stride[1] + i % 4 * c->dilation[1];
				*to |= (uint64_t)(at >= 0 && at < c->width) << i;
			}
		}
}

/* A plane, of which up to 63 bytes more are written: padding. */
static void window_plane(const float *x, int64_t count, float s, uint8_t *plane)
{
	const __m512 reciprocal = _mm512_set1_ps(1.0f / s);
	const int divide = isinf(1.0f / s);
	int64_t i = 0;
	for (; i + 64 <= count; i += 64)
		_mm512_storeu_si512(plane + i, round_64(x + i, s, reciprocal, divide));
	if (i < count) {
		float rest[64];
		for (int v = 0; v < 64; v += LANES)
			_mm512_storeu_ps(rest + v, _mm512_maskz_loadu_ps(first_lanes(count - i - v), x + i + v));
		_mm512_storeu_si512(plane + i, round_64(rest, s, reciprocal, divide));
	}
}

/* A channel's rows of pixels, and those of padding, to the windows of a column: out[row][channel][part]. */
INLINE void spread_windows(const convolution *p, const window_plan *plan, const uint8_t *plane, int64_t rows, int64_t column,
			   __m512i *out)
{
	const __m512i zero = _mm512_set1_epi8((char)128), from = plan->from;
	const int64_t parts = plan->w.parts, all = plan->w.deep * parts, width = p->c->width, four = 4 * p->c->dilation[1];
	const uint64_t *inside = plan->inside + column * parts;
	plane += first_of_column(p, column) * p->c->stride[1] - p->c->padding[1];
	for (int64_t part = 0; part < parts; part++, out++, plane += four) {
		const __mmask64 real = _cvtu64_mask64(inside[part]);
		const uint8_t *row = plane;
		for (__m512i *to = out, *end = out + rows * all; to < end; to += all, row += width)
			*to = _mm512_mask_permutexvar_epi8(zero, real, from, _mm512_loadu_si512(row));
	}
}

typedef struct window_finish {
	__m512 scale, bias;
	__m512i offset;
	__mmask16 real;
} window_finish;

/* Some rows of a column. */
INLINE void window_rows(const convolution *p, const window_plan *plan, const __m512i *windows, const int32_t *weights,
			const window_finish *f, const int abreast, float *y)
{
	const int64_t parts = plan->w.deep * plan->w.parts, all = plan->w.all, step = p->c->stride[0] * parts, out_w = p->out_w;
	const int64_t between = p->c->dilation[0] * parts;
	__m512i s[ROWS_ABREAST];
#pragma GCC unroll 8
	for (int r = 0; r < abreast; r++) {
		__builtin_prefetch(y + (r + abreast) * out_w, 1); /* too far for the processor to foresee */
		s[r] = _mm512_setzero_si512();
	}
	for (int64_t ky = 0; ky < p->c->kernel[0]; ky++, windows += between) {
		const __m512i *at = windows;
		for (int64_t part = 0; part < parts; part++, weights += all, at++) {
			const __m512i w = _mm512_set1_epi32(*weights);
#pragma GCC unroll 8
			for (int r = 0; r < abreast; r++)
				DOT(s[r], at[r * step], w);
		}
	}
#pragma GCC unroll 8
	for (int r = 0; r < abreast; r++) {
		const __m512 out = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(s[r], f->offset)), f->scale);
		_mm512_mask_storeu_ps(y + r * out_w, f->real, _mm512_add_ps(out, f->bias));
	}
}

#define WINDOW_ROWS(n) \
	static void window_rows_##n(const convolution *p, const window_plan *plan, const __m512i *windows, \
				    const int32_t *weights, const window_finish *f, float *y) \
	{ \
		window_rows(p, plan, windows, weights, f, n, y); \
	}
WINDOW_ROWS(1) WINDOW_ROWS(2) WINDOW_ROWS(3) WINDOW_ROWS(4) WINDOW_ROWS(5) WINDOW_ROWS(6) WINDOW_ROWS(7) WINDOW_ROWS(8)
typedef void window_kernel(const convolution *, const window_plan *, const __m512i *, const int32_t *, const window_finish *,
			   float *);
static window_kernel *const window_kernels[] = { NULL, window_rows_1, window_rows_2, window_rows_3, window_rows_4,
						 window_rows_5, window_rows_6, window_rows_7, window_rows_8 };

/* A chunk's working memory: two sets of a group's planes, since what has just been stored takes long to load at other places, so
 * that the next is made before one is used. */
typedef struct window_memory {
	uint8_t *planes[2];
	__m512i *windows;
	window_finish *finish; /* of a group's outputs */
} window_memory;

static int take_windows(const convolution *p, const window_plan *plan, window_memory *mine)
{
	const size_t each = (size_t)(plan->w.deep * plan->plane), finish = (size_t)p->w->n * sizeof *mine->finish;
	uint8_t *memory = scratch_take(SCRATCH_CHUNK, 2 * each + (size_t)plan->spread + finish);
	if (!memory) {
		atomic_store(p->failed, 1);
		return 0;
	}
	memset(memory, 128, 2 * each);
	*mine = (window_memory){ .planes = { memory + plan->before, memory + each + plan->before },
				 .windows = (__m512i *)(memory + 2 * each) };
	mine->finish = (window_finish *)((uint8_t *)mine->windows + plan->spread);
	return 1;
}

static void group_planes(const convolution *p, const window_plan *plan, int64_t n, int64_t group, uint8_t *planes)
{
	const int64_t area = p->c->height * p->c->width;
	const float *x = p->x + (n * p->c->channels + group * plan->w.deep) * area;
	for (int64_t i = 0; i < plan->w.deep && p->scale[n] > 0; i++, x += area, planes += plan->plane)
		window_plane(x, area, p->scale[n], planes);
}

/* Outputs of one group, whose pixels lie in `planes`. */
INLINE void window_outputs(const convolution *p, const window_plan *plan, const uint8_t *planes, int64_t output,
			   const int64_t deep, const int64_t count, const window_memory *mine, float *y)
{
	const tern_conv_shape *c = p->c;
	const int64_t down = c->stride[0], reach = c->dilation[0] * (c->kernel[0] - 1);
	for (int64_t top = 0, bands = ceil_div(p->out_h, ROWS_ABREAST); top < p->out_h; bands--) {
		const int64_t rows = ceil_div(p->out_h - top, bands), lines = (rows - 1) * down + reach + 1;
		const uint8_t *from = planes + (top * down - c->padding[0]) * c->width;
		for (int64_t column = 0; column < plan->columns; column++) {
			float *to = y + top * p->out_w + first_of_column(p, column);
			for (int64_t i = 0; i < deep; i++)
				spread_windows(p, plan, from + i * plan->plane, lines, column, mine->windows + i * plan->w.parts);
			for (int64_t i = 0; i < count; i++)
				window_kernels[rows](p, plan, mine->windows, plan->w.words + output + i, mine->finish + i,
						     to + i * p->out_h * p->out_w);
		}
		top += rows;
	}
}

/* Some outputs of a sample. */
static void windows_chunk(const void *job, int64_t chunk)
{
	const convolution *p = job;
	const window_plan *plan = p->input;
	const int64_t n = chunk / p->blocks, begin = chunk % p->blocks * p->block, outputs = p->w->n;
	const int64_t end = begin + p->block < p->c->outputs ? begin + p->block : p->c->outputs;
	int64_t group = begin / outputs;
	window_memory mine;
	if (!take_windows(p, plan, &mine))
		return;
	group_planes(p, plan, n, group, mine.planes[0]);
	for (int64_t first = begin, next, which = 0; first < end; first = next, which = !which, group++) {
		const int64_t last = (group + 1) * outputs;
		float *y = p->y + (n * p->c->outputs + first) * p->out_h * p->out_w;
		next = last < end ? last : end;
		for (int64_t o = first; o < next; o++)
			mine.finish[o - first] = (window_finish){ _mm512_set1_ps(p->scale[n] * p->w_scale[o]),
								  _mm512_set1_ps(p->bias ? p->bias[o] : 0.0f),
								  _mm512_set1_epi32(plan->w.offset[o]), plan->real };
		if (next < end)
			group_planes(p, plan, n, group + 1, mine.planes[!which]);
		if (plan->w.deep == 1 && outputs == 1) /* numbers the compiler knows */
			window_outputs(p, plan, mine.planes[which], first, 1, 1, &mine, y);
		else
			window_outputs(p, plan, mine.planes[which], first, plan->w.deep, next - first, &mine, y);
		activate(y, (next - first) * p->out_h * p->out_w, p->activation);
	}
}

static int run_windows(convolution *p, window_plan *plan, int threads)
{
	const tern_conv_shape *c = p->c;
	const int64_t scales = ceil_div(c->batch, 16) * 16, insides = plan->columns * plan->w.parts;
	p->scale = scratch_take(SCRATCH_CALL, (size_t)(scales * 4 + insides * 8) + window_bytes(&plan->w));
	if (!p->scale)
		return TERN_EMEMORY;
	p->input = plan;
	plan->inside = (uint64_t *)(p->scale + scales);
	pack_windows(p, &plan->w, plan->inside + insides);
	window_insides(p, plan);
	/* One group's outputs share windows, which every chunk makes anew. */
	const int64_t each = c->groups > 1 ? p->w->n : 1, chunks = threads * (c->groups > 1 ? CHUNKS_A_THREAD : 1);
	p->block = ceil_div(c->outputs / each, threads > 1 ? chunks : 1) * each;
	p->blocks = ceil_div(c->outputs, p->block);
	run_chunks(find_scale, p, c->batch, threads);
	run_chunks(windows_chunk, p, c->batch * p->blocks, threads);
	return TERN_OK;
}
#endif
